"""A template, a tool, a reader of events and a guard, for every server where this package is installed."""

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from runwright import BuildContext, Loop, Template, tool
from runwright.agents.input import read_messages
from runwright.core.event import Event
from runwright.core.run import Run
from runwright.errors import GuardError
from runwright.guard import Call, Proceed

log = logging.getLogger("acme_report")


class Report(Template):
    """Writes a report about what it is told."""

    name: ClassVar[str] = "report"
    version: ClassVar[str] = "1.0.0"

    class Config(BaseModel):
        """How long it is."""

        model: str = "demo"
        lines: int = 3

    def build(self, config: Config, context: BuildContext) -> Loop:
        """A model that is told how long."""
        return Loop(model=config.model, instructions=f"Write {config.lines} lines.", read_input=read_messages)


@tool(effect="read")
async def office_hours(day: str) -> str:
    """Say when the office is open."""
    return f"On {day} the office is open from 9 to 17."


class Ends:
    """Logs how runs end. It is called in the journal's thread, after what it reads is on disk."""

    def record(self, run: Run, events: Sequence[Event]) -> None:
        """Note the end of a run."""
        for event in events:
            if event.is_terminal:
                log.info("run %s of %s: %s", run.id, run.agent, run.status)


class Confidential:
    """Refuses calls of models and tools in whose content one of these words stands."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = [word.lower() for word in words]

    async def __call__(self, call: Call[Any], proceed: Proceed[Any]) -> Any:  # noqa: ANN401 - what the call gives
        """Look, and let it be made. Raises GuardError."""
        said = str(call.content).lower()
        for word in self.words:
            if word in said:
                raise GuardError(f"{word!r} is not told to {call.target}")
        return await proceed(call)

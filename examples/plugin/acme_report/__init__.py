"""A template, a tool and a reader of events, for every server where this package is installed."""

import logging
from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel

from runwright import BuildContext, Loop, Template, tool
from runwright.agents.input import read_messages
from runwright.core.event import Event
from runwright.core.run import Run

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

"""What a person says of a step that needs a person."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from runwright.agents.output import output_check
from runwright.core.agent import BuiltAgent
from runwright.core.event import Event, RunWaiting, StepCompleted, StepFailed, StepHeld, StepResolved, StepStarted
from runwright.core.need import OF_PERSON, Need, NeedsApproval, NeedsInput
from runwright.core.ports import RunStore
from runwright.core.run import Run, error_info
from runwright.core.step import Resolved, Step
from runwright.engine.drive import Rows
from runwright.errors import ConfigError, Conflict, Denied, InvalidRequest, OutputInvalid
from runwright.journal.read import JournalReader
from runwright.journal.write import Record

ANSWERS = frozenset({"approve", "deny", "answer"})
"""What is said of a step that is held; all else is said of one whose outcome is unknown."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says about a step of unknown outcome, or one that is held.

    `result` of one that is done, or the answer, is JSON text, and so are the `arguments` that are approved, where they
    are others than were asked for.
    """

    action: Resolved
    step: int | None = None
    result: bytes = b"null"
    arguments: bytes = b"null"
    by: str = ""
    note: str = ""


class Fitting(Protocol):
    """Finds the agent that a run goes on with, and what differs from the one that began it. Raises Diverged."""

    def __call__(self, run: Run, events: Sequence[Event], *, is_forced: bool) -> tuple[BuiltAgent, tuple[str, ...]]:
        """Find them."""
        ...


class Resolutions:
    """Finds the steps that people speak of, and whether what they say fits."""

    def __init__(self, rows: Rows, *, fitting: Fitting) -> None:
        self._rows = rows
        self._fitting = fitting

    async def fit(self, run: Run, outcome: Outcome) -> Outcome:
        """An outcome with the step that it is about. Raises Conflict or InvalidRequest."""
        if outcome.action not in ANSWERS:
            return replace(outcome, step=(await self._unknown_step(run, outcome.step)).seq)
        events = await asyncio.to_thread(lambda: list(self._rows.reader.events(run.id)))
        step = held_step(run, events, outcome)
        asked = next(event.data for event in events if event.seq == step)
        assert isinstance(asked, StepStarted)
        if outcome.action == "answer":
            check_answer(asked, outcome.result)
        elif outcome.arguments != b"null":
            agent, _ = self._fitting(run, events, is_forced=False)
            tool = agent.flow.tools.get(asked.name)
            if tool is not None:
                tool.check(outcome.arguments.decode())
        return replace(outcome, step=step)

    async def refuse_second(self, run: Run, outcome: Outcome) -> None:
        """Raises Conflict where somebody has spoken of the step already, and the run has not heard it yet."""
        for signal in await asyncio.to_thread(self._rows.signals.pending, (run.id,)):
            if signal.kind == "resolve":
                left = msgspec.json.decode(signal.body, type=Outcome)
                if left.step == outcome.step and left.action in ANSWERS:
                    raise Conflict(_told(run.id, left, step=left.step, at=signal.created_at))

    async def has_unknown(self, run: Run) -> bool:
        """Whether a run has a step whose outcome is not known."""
        return bool(await self._unknown(run))

    async def _unknown_step(self, run: Run, seq: int | None) -> Step:
        """The step that a resolution is about. Raises Conflict or InvalidRequest."""
        if run.status != "waiting" or run.reason != "unknown_effect":
            raise Conflict(f"{run.id} is {run.status}; only a run that waits for an unknown effect can be resolved.")
        unknown = await self._unknown(run)
        chosen = [step for step in unknown if seq is None or step.seq == seq]
        if len(chosen) != 1:
            names = ", ".join(f"{step.seq} ({step.name})" for step in unknown)
            raise InvalidRequest(f"Say which step is resolved; unknown are {names or 'none'}.")
        return chosen[0]

    async def _unknown(self, run: Run) -> Sequence[Step]:
        steps = await asyncio.to_thread(all_steps, self._rows.runs, run.id)
        return [step for step in steps if step.status == "unknown"]


def all_steps(runs: RunStore, run_id: str) -> Sequence[Step]:
    """Every step of a run, in order."""
    steps: list[Step] = []
    while True:
        page = runs.steps(run_id, after=steps[-1].seq if steps else 0)
        if not page:
            return steps
        steps.extend(page)


def wait_of(run: Run, reader: JournalReader) -> RunWaiting | None:
    """How a run told that it waits: the last thing that it said, unless something came late. Reads the store."""
    last = _waiting(reader.page(run.id, after=run.last_seq - 1, limit=1))
    return last or _waiting(reader.events(run.id))


def _waiting(events: Iterable[Event]) -> RunWaiting | None:
    return next((event.data for event in reversed(list(events)) if isinstance(event.data, RunWaiting)), None)


def open_needs(events: Sequence[Event]) -> Mapping[int, Need]:
    """What steps of a run need that are held, by their numbers."""
    found: dict[int, Need] = {}
    for event in events:
        if isinstance(event.data, StepHeld) and event.data.need is not None:
            found[event.data.need.step] = event.data.need
        elif event.step is not None and isinstance(event.data, StepResolved | StepCompleted | StepFailed):
            found.pop(event.step, None)
    return found


def held_step(run: Run, events: Sequence[Event], outcome: Outcome) -> int:
    """The step that an answer is about. Raises Conflict or InvalidRequest."""
    wanted = _ABOUT[outcome.action]
    held = [step for step, need in open_needs(events).items() if isinstance(need, wanted) and not run.is_over]
    if not held or (outcome.step is not None and outcome.step not in held):
        raise Conflict(_why_not(run, events, outcome))
    if outcome.step is None and len(held) > 1:
        raise InvalidRequest(f"Say which step is meant; held are {', '.join(map(str, held))}.")
    return held[0] if outcome.step is None else outcome.step


_ABOUT: Mapping[str, tuple[type, ...]] = {"approve": (NeedsApproval,), "answer": (NeedsInput,), "deny": OF_PERSON}
SAID: Mapping[str, str] = {"approve": "approved", "deny": "denied", "answer": "answered"}
"""What became of a step that somebody spoke of."""


def _why_not(run: Run, events: Sequence[Event], outcome: Outcome) -> str:
    for event in reversed(events):
        data = event.data
        if isinstance(data, StepResolved) and data.action in ANSWERS and outcome.step in (None, event.step):
            return _told(run.id, data, step=event.step, at=event.ts)
    what = "an answer" if outcome.action == "answer" else "an approval"
    who = "it" if outcome.step is None else f"step {outcome.step}"
    return f"{run.id} is {run.status}; {who} does not wait for {what}."


def _told(run_id: str, said: StepResolved | Outcome, *, step: int | None, at: datetime) -> str:
    by = f" by {said.by}" if said.by else ""
    return f"Step {step} of {run_id} was {SAID[said.action]} already{by}, at {at:%Y-%m-%d %H:%M:%S} UTC."


def check_answer(asked: StepStarted, answer: bytes) -> None:
    """Whether an answer fits the schema of its question. Raises InvalidRequest."""
    schema = msgspec.json.decode(asked.request, type=dict[str, Any]).get("schema")
    if schema is None:
        return
    try:
        output_check(schema).check(answer.decode())
    except (OutputInvalid, ConfigError) as error:
        raise InvalidRequest(f"The answer does not fit: {error.message}") from error


def records_of(outcome: Outcome) -> Sequence[Record]:
    """What is recorded of an outcome."""
    assert outcome.step is not None
    resolved = StepResolved(
        action=outcome.action, by=outcome.by, note=outcome.note, arguments=msgspec.Raw(outcome.arguments)
    )
    records: list[Record] = [(resolved, outcome.step)]
    if outcome.action in ("done", "answer"):
        records.append((StepCompleted(result=msgspec.Raw(outcome.result)), outcome.step))
    if outcome.action == "deny":
        told = f"{outcome.by or 'A person'} did not allow it" + (f": {outcome.note}" if outcome.note else ".")
        records.append(_denied(told, outcome.step))
    return records


def expired(need: Need) -> Sequence[Record]:
    """What is recorded when no answer came in time."""
    told = "Nobody allowed it in time." if isinstance(need, NeedsApproval) else "Nobody answered in time."
    return (StepResolved(action="deny", note="no answer came in time"), need.step), _denied(told, need.step)


def _denied(told: str, step: int) -> Record:
    return StepFailed(error=error_info(Denied(told), step=step)), step

"""Steps with what was said in them: read from the events of a run, or of one step alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from runwright.core.event import (
    Data,
    Event,
    GuardDecided,
    MemoryWritten,
    MessageCompleted,
    StepCompleted,
    StepResolved,
    StepRestarted,
    StepStarted,
)
from runwright.core.ports import RunStore
from runwright.core.step import Step
from runwright.errors import NotFound
from runwright.journal.read import JournalReader
from runwright.journal.requests import sent_messages
from runwright.service.costs import step_costs
from runwright.service.views import StepCost, StepView, step_view

Told = StepRestarted | StepResolved | MemoryWritten


class StepDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A step, what each part of it cost, and what happened in it beside: new attempts, what people said, memory."""

    step: StepView
    cost: StepCost | None
    told: Sequence[Told]


class Bodies:
    """Requests and results of steps, and what the guard did with them, from the events of their run."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._started = {event.seq: event.data for event in events if isinstance(event.data, StepStarted)}
        self._sent = sent_messages(events)
        self._answers: dict[int, Event] = {}
        self._decisions: dict[int, list[GuardDecided]] = {}
        for event in events:
            if event.step is not None and isinstance(event.data, GuardDecided):
                self._decisions.setdefault(event.step, []).append(event.data)
            if event.step is not None and isinstance(event.data, MessageCompleted | StepCompleted):
                held = self._answers.get(event.step)
                if held is None or not isinstance(held.data, MessageCompleted):
                    self._answers[event.step] = event

    def view(self, step: Step) -> StepView:
        """The view of a step with its bodies."""
        answer = self._answers.get(step.seq)
        result = b"null"
        if answer is not None and isinstance(answer.data, MessageCompleted):
            result = msgspec.json.encode({"message": answer.data.message, "reasoning": answer.data.reasoning})
        elif answer is not None and isinstance(answer.data, StepCompleted):
            result = bytes(answer.data.result)
        decisions = self._decisions.get(step.seq, ())
        return step_view(step, request=self._request(step), result=result, decisions=decisions)

    def _request(self, step: Step) -> bytes:
        data = self._started.get(step.seq)
        if data is None:
            return b"null"
        if data.kind != "model":
            return bytes(data.request)
        whole: Mapping[str, msgspec.Raw] = msgspec.json.decode(data.request, type=dict[str, msgspec.Raw])
        return msgspec.json.encode({**whole, "messages": self._sent.get(step.seq, ()), "tools": self._tools(data)})

    def _tools(self, data: StepStarted) -> msgspec.Raw:
        """Tools are recorded with the first model step of a chain."""
        while data.base is not None and data.base in self._started:
            data = self._started[data.base]
        return data.tools


def find_detail(store: RunStore, reader: JournalReader, run_id: str, *, seq: int) -> StepDetail:
    """A step of a run, from as few events as it takes: its own, and the beginnings of those that it goes on from.

    Raises NotFound.
    """
    rows = store.steps(run_id, after=seq - 1, limit=1)
    if not rows or rows[0].seq != seq:
        raise NotFound(f"{run_id} has no step {seq}.")
    step = rows[0]
    own = _own_events(reader, step)
    chain = _chain(reader, own)
    costs = step_costs(own)
    told = tuple(event.data for event in own if isinstance(event.data, StepRestarted | StepResolved | MemoryWritten))
    return StepDetail(step=Bodies([*chain, *own]).view(step), cost=costs[0] if costs else None, told=told)


def _own_events(reader: JournalReader, step: Step) -> list[Event]:
    found: list[Event] = []
    for event in reader.events(step.run_id, after=step.seq - 1):
        if event.seq == step.seq or event.step == step.seq:
            found.append(event)
        # What a late outcome of a `once` tool adds stands behind the end.
        if step.end_seq is not None and event.seq >= step.end_seq:
            break
    return found


def _chain(reader: JournalReader, own: Sequence[Event]) -> list[Event]:
    """The model steps that a step's messages go on from, the first one first."""
    chain: list[Event] = []
    data: Data | None = own[0].data if own else None
    while isinstance(data, StepStarted) and data.base is not None:
        base = data.base
        found = next(
            (event for event in reader.page(own[0].run_id, after=base - 1, limit=1) if event.seq == base), None
        )
        if found is None:
            break
        chain.append(found)
        data = found.data
    return chain[::-1]

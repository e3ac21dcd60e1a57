"""The steps of two runs, side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from runwright.core.event import Event, MessageCompleted, StepCompleted, StepRestarted, StepStarted
from runwright.core.message import digest
from runwright.core.step import SUPERSEDED, Step
from runwright.journal.project import STEP_EVENTS, StepEvent, project_step
from runwright.journal.wording import Passage, passages

NOTHING = StepCompleted()


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A step and what was asked and answered in it.

    `own` are its messages since the step `base`, as text, and `asked` is the digest of its whole request, so that
    requests can be compared but for the ids of tool calls. `root` is the step that recorded its tools.
    """

    step: Step
    data: StepStarted
    own: tuple[Passage, ...] = ()
    heard: bytes = b""
    root: int = 0
    answer: MessageCompleted | None = None
    end: StepCompleted = NOTHING

    @property
    def asked(self) -> bytes:
        """The digest of a model step's request."""
        return digest(self.heard + bytes(self.data.request))


Pair = tuple[Told | None, Told | None]


def read_steps(events: Iterable[Event]) -> Mapping[int, Told]:
    """The steps that events tell of, by number. One that gave way to another after a crash is none."""
    found: dict[int, Told] = {}
    named: dict[str, str] = {}
    for event in events:
        data = event.data
        if isinstance(data, StepStarted):
            found[event.seq] = _begun(event, data, found, named=named)
        elif event.step is not None and event.step in found:
            found[event.step] = _after(found[event.step], event)
    return {seq: told for seq, told in found.items() if not _is_superseded(told.step)}


def _begun(event: Event, data: StepStarted, found: Mapping[int, Told], *, named: dict[str, str]) -> Told:
    told = Told(step=project_step(None, event, data), data=data, root=event.seq)
    if data.kind != "model":
        return told
    base = found.get(data.base) if data.base is not None else None
    head = digest(bytes(data.tools)) if base is None else base.heard
    own = passages(data.messages, named)
    for each in own:
        head = digest(head + digest(f"{each.heading}\0{each.text}".encode()))
    return replace(told, own=own, heard=head, root=told.root if base is None else base.root)


def _after(told: Told, event: Event) -> Told:
    data = event.data
    if type(data) in STEP_EVENTS:
        told = replace(told, step=project_step(told.step, event, _of_step(data)))
    if isinstance(data, MessageCompleted):
        return replace(told, answer=data)
    if isinstance(data, StepCompleted):
        return replace(told, end=data)
    return replace(told, answer=None, end=NOTHING) if isinstance(data, StepRestarted) else told


def _of_step(data: object) -> StepEvent:
    assert isinstance(data, StepEvent)
    return data


def _is_superseded(step: Step) -> bool:
    return step.error is not None and step.error.code == SUPERSEDED


def align(left: Sequence[Told], right: Sequence[Told]) -> list[Pair]:
    """Pairs in the order of the left story; a step of the right run alone follows the pair before it there.

    Steps pair up by lane, kind, key and occurrence. Of the others those between the same pairs of a lane do, by order,
    kind and name, and then those that are left. So a changed request is one pair, also where the model is another.
    """
    found: dict[int, int] = {}
    _pair([told.step.match for told in left], [told.step.match for told in right], found)
    there = {place: place for place in found}
    _pair(_between(left, there), _between(right, {other: place for place, other in found.items()}), found)
    _pair(_between(left, {}), _between(right, {}), found)
    return list(_story(left, right, found))


def _pair(left: Sequence[Hashable], right: Sequence[Hashable], found: dict[int, int]) -> None:
    """Pair what bears the same mark and has no partner, by order."""
    taken = set(found.values())
    waiting: dict[Hashable, deque[int]] = {}
    for place, mark in enumerate(right):
        if place not in taken:
            waiting.setdefault(mark, deque()).append(place)
    for place, mark in enumerate(left):
        if place not in found and waiting.get(mark):
            found[place] = waiting[mark].popleft()


def _between(steps: Sequence[Told], anchors: Mapping[int, int]) -> list[Hashable]:
    """For each step its lane, what it is, and the last anchor before it in its lane."""
    last: dict[str, int] = {}
    marks: list[Hashable] = []
    for place, told in enumerate(steps):
        lane, kind = told.step.lane, told.step.kind
        if place in anchors:
            last[lane] = anchors[place]
        marks.append((lane, kind, "" if kind == "model" else told.step.name, last.get(lane)))
    return marks


def _story(left: Sequence[Told], right: Sequence[Told], found: Mapping[int, int]) -> Iterable[Pair]:
    partners = {other: place for place, other in found.items()}
    after: dict[int, list[Told]] = {}
    last: dict[str, int] = {}
    newest = -1
    for place, told in enumerate(right):
        if place in partners:
            newest = last[told.step.lane] = partners[place]
        else:
            after.setdefault(last.get(told.step.lane, newest), []).append(told)
    held = [*after.get(-1, ())]
    for place, told in enumerate(left):
        if place in found:
            yield from ((None, extra) for extra in held)
            held.clear()
        yield told, right[found[place]] if place in found else None
        held += after.get(place, ())
    yield from ((None, extra) for extra in held)

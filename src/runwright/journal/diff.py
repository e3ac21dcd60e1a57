"""The difference of two runs: their steps side by side, where they part, and by how much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from runwright.core.event import NULL, Event, RunCompleted, RunQueued
from runwright.core.money import Cost
from runwright.core.run import ErrorInfo, Run, RunStatus, WaitReason
from runwright.core.step import Step, StepKind, StepStatus
from runwright.core.usage import Usage
from runwright.journal.align import Pair, Told, align, read_steps
from runwright.journal.requests import sent_messages
from runwright.journal.wording import Passage, conversation, json_text, passages, unified

ROOM = 20_000
"""Characters that a text diff may have."""

ROOM_AT_LEAST = 2_000
ROOM_OF_ALL = 1_000_000
"""Characters that the text diffs of all steps may have together, beyond what each has at least."""

USUAL_FINISH = {"", "stop", "tool_calls"}

What = Literal[
    "input",
    "config",
    "output",
    "error",
    "settings",
    "tools",
    "instructions",
    "messages",
    "arguments",
    "request",
    "result",
]
"""What a text diff is about."""

Texts = tuple[What, str, str]

StepMark = Literal["same", "changed_request", "changed_result", "only_left", "only_right"]
"""What became of a step. One whose request changed counts as that, whatever its result."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A run with its events, as far as it went."""

    run: Run
    events: Sequence[Event]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A unified diff from left to right of what was said or given. `cut` counts the characters that were left out."""

    what: What
    text: str
    cut: int = 0


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """What a run or a step took, or right minus left of that.

    `nano_usd` is None where a price is not known, `duration_s` where something is not over.
    """

    input_tokens: int
    output_tokens: int
    nano_usd: int | None
    duration_s: float | None


class RunSide(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two runs."""

    run_id: str
    agent: str
    version: str
    status: RunStatus
    reason: WaitReason | None
    steps: int
    measure: Measure


class StepSide(msgspec.Struct, frozen=True, kw_only=True):
    """A step in one of the two runs; `seq` is its number there."""

    seq: int
    name: str
    status: StepStatus
    attempt: int
    measure: Measure


class StepDiff(msgspec.Struct, frozen=True, kw_only=True):
    """A step of both runs, or of one.

    `since` is the step that its messages are compared since, by its number in the left run, or in the only one: those
    before stand there.
    """

    mark: StepMark
    lane: str
    kind: StepKind
    left: StepSide | None
    right: StepSide | None
    delta: Measure | None
    since: int | None = None
    changes: tuple[Change, ...] = ()


class RunDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How the right run differs from the left one.

    `is_same` says that input, steps, outcome and status are the same: not how long it took, nor which version of an
    agent did it. `steps` are in the order of the left run, and `first_divergence` is the place in them of the first
    one that is not the same. `changes` are those of the runs themselves; steps have their own.
    """

    left: RunSide
    right: RunSide
    is_same: bool
    delta: Measure
    first_divergence: int | None
    changes: tuple[Change, ...]
    steps: tuple[StepDiff, ...]

    @property
    def divergence(self) -> StepDiff | None:
        """The first step that is not the same."""
        return None if self.first_divergence is None else self.steps[self.first_divergence]


def diff_runs(left: Recorded, right: Recorded) -> RunDiff:
    """How the right run differs from the left one. Ids of tool calls are not compared: providers make them up."""
    sides = (_Side(left), _Side(right))
    pairs = align(*(list(side.steps.values()) for side in sides))
    steps = _Comparison(sides, pairs).steps()
    changes = tuple(_changes(_of_runs(left, right), room=ROOM))
    first = next((place for place, step in enumerate(steps) if step.mark != "same"), None)
    one, other = (_run_side(side) for side in sides)
    return RunDiff(
        left=one,
        right=other,
        is_same=first is None and not changes and (one.status, one.reason) == (other.status, other.reason),
        delta=_delta(one.measure, other.measure),
        first_divergence=first,
        changes=changes,
        steps=tuple(steps),
    )


class _Side:
    """A run as it is compared."""

    def __init__(self, recorded: Recorded) -> None:
        self.run = recorded.run
        self.steps = read_steps(recorded.events)
        self._events = recorded.events
        self._sent: Mapping[int, tuple[msgspec.Raw, ...]] | None = None

    def said(self, told: Told | None) -> Sequence[Passage]:
        """All messages that a model step was sent."""
        if told is None or told.data.base is None:
            return () if told is None else told.own
        if self._sent is None:
            self._sent = sent_messages(self._events)
        return passages(self._sent[told.step.seq], {})

    def tools(self, told: Told | None) -> msgspec.Raw:
        """The tools that a model step could call."""
        return NULL if told is None else self.steps[told.root].data.tools


class _Comparison:
    """Compares steps that were paired."""

    def __init__(self, sides: tuple[_Side, _Side], pairs: Sequence[Pair]) -> None:
        self._left, self._right = sides
        self._pairs = pairs
        self._partners = {one.step.seq: other.step.seq for one, other in pairs if one is not None and other is not None}

    def steps(self) -> list[StepDiff]:
        """All of them; the first that differs has the most room for its texts."""
        marks: list[StepMark] = [_mark(left, right) for left, right in self._pairs]
        count = sum(mark != "same" for mark in marks)
        found: list[StepDiff] = []
        room = ROOM
        for mark, (left, right) in zip(marks, self._pairs, strict=True):
            found.append(self._compare((left, right), mark=mark, room=room))
            if mark != "same":
                room = min(ROOM, max(ROOM_AT_LEAST, ROOM_OF_ALL // count))
        return found

    def _compare(self, pair: Pair, *, mark: StepMark, room: int) -> StepDiff:
        left, right = pair
        step = _either(pair).step
        since = None if mark in {"same", "changed_result"} else self._since(pair)
        texts = () if mark == "same" else self._texts(pair, mark=mark, since=since)
        one, other = _step_side(left), _step_side(right)
        return StepDiff(
            mark=mark,
            lane=step.lane,
            kind=step.kind,
            left=one,
            right=other,
            delta=None if one is None or other is None else _delta(one.measure, other.measure),
            since=since,
            changes=tuple(_changes(texts, room=room)),
        )

    def _since(self, pair: Pair) -> int | None:
        """The model step that a pair went on from, if it is a pair too; a step without a partner has its own."""
        left, right = pair
        if left is None or right is None:
            return _either(pair).data.base
        base = left.data.base
        return base if base is not None and self._partners.get(base) == right.data.base else None

    def _texts(self, pair: Pair, *, mark: StepMark, since: int | None) -> Iterator[Texts]:
        if mark != "changed_result":
            yield from self._of_model(pair, since) if _either(pair).step.kind == "model" else _of_request(pair)
        is_error = any(told is not None and told.step.error is not None for told in pair)
        yield "error" if is_error else "result", _outcome(pair[0]), _outcome(pair[1])

    def _of_model(self, pair: Pair, since: int | None) -> Iterator[Texts]:
        left, right = pair
        yield "settings", _request(left), _request(right)
        if since is None:
            yield "tools", _text(self._left.tools(left)), _text(self._right.tools(right))
        one = self._left.said(left) if since is None else _own(left)
        other = self._right.said(right) if since is None else _own(right)
        yield "instructions", _said(one, "system"), _said(other, "system")
        yield "messages", _said(one, "others"), _said(other, "others")


def _of_request(pair: Pair) -> Iterator[Texts]:
    left, right = pair
    yield "arguments" if _either(pair).step.kind == "tool" else "request", _request(left), _request(right)


def _either(pair: Pair) -> Told:
    told = pair[0] or pair[1]
    assert told is not None
    return told


def _own(told: Told | None) -> Sequence[Passage]:
    return () if told is None else told.own


def _said(said: Sequence[Passage], by: Literal["system", "others"]) -> str:
    return conversation(each for each in said if each.is_instruction == (by == "system"))


def _mark(left: Told | None, right: Told | None) -> StepMark:
    if left is None or right is None:
        return "only_right" if left is None else "only_left"
    if not _is_same_request(left, right):
        return "changed_request"
    if left.step.status == right.step.status and _raw_outcome(left) == _raw_outcome(right):
        return "same"
    is_same = (left.step.status, _outcome(left)) == (right.step.status, _outcome(right))
    return "same" if is_same else "changed_result"


def _is_same_request(left: Told, right: Told) -> bool:
    if left.step.key == right.step.key:
        return True
    if left.step.kind == "model":
        return left.asked == right.asked
    return left.step.name == right.step.name and _request(left) == _request(right)


def _request(told: Told | None) -> str:
    """What a step was asked for, a model's messages and tools aside."""
    return "" if told is None else json_text(bytes(told.data.request))


def _raw_outcome(told: Told) -> tuple[object, ...]:
    answer = (NULL, None) if told.answer is None else (told.answer.message, told.answer.reasoning)
    return (*answer, told.end.result, told.end.finish_reason, told.step.error)


def _outcome(told: Told | None) -> str:
    """What a step gave: a model's words, another step's result, or its error; nothing while it runs."""
    if told is None or told.step.status == "running":
        return ""
    if told.step.error is not None:
        return _error(told.step.error)
    if told.answer is None:
        return json_text(bytes(told.end.result))
    answer = passages((told.answer.message,), {})
    if told.answer.reasoning:
        answer = (Passage("reasoning", told.answer.reasoning), *answer)
    if told.end.finish_reason not in USUAL_FINISH:
        answer = (*answer, Passage("finish_reason", told.end.finish_reason))
    return conversation(answer)


def _error(error: ErrorInfo | None) -> str:
    return "" if error is None else f"{error.code}: {error.message}"


def _changes(texts: Iterable[Texts], *, room: int) -> Iterator[Change]:
    for what, left, right in texts:
        if left != right:
            text, cut = unified(left, right, room=room)
            yield Change(what=what, text=text, cut=cut)


def _of_runs(left: Recorded, right: Recorded) -> Iterator[Texts]:
    """What was given to the runs, and what they gave."""
    (given, end), (other_given, other_end) = (_ends(recorded) for recorded in (left, right))
    yield "input", _text(given and given.input), _text(other_given and other_given.input)
    yield "config", _text(given and given.config), _text(other_given and other_given.config)
    yield "output", _text(end and end.output), _text(other_end and other_end.output)
    yield "error", _error(left.run.error), _error(right.run.error)


def _ends(recorded: Recorded) -> tuple[RunQueued | None, RunCompleted | None]:
    begins = (event.data for event in recorded.events if isinstance(event.data, RunQueued))
    ends = (event.data for event in reversed(recorded.events) if isinstance(event.data, RunCompleted))
    return next(begins, None), next(ends, None)


def _text(raw: msgspec.Raw | None) -> str:
    return "" if raw is None or raw == NULL else json_text(bytes(raw))


def _run_side(side: _Side) -> RunSide:
    run = side.run
    return RunSide(
        run_id=run.id,
        agent=run.agent,
        version=run.version,
        status=run.status,
        reason=run.reason,
        steps=len(side.steps),
        measure=_measure(*_taken(run, side.steps.values()), begin=run.started_at, end=run.ended_at),
    )


def _taken(run: Run, steps: Iterable[Told]) -> tuple[Usage, Cost]:
    """What a run took. What the tape answered in a replay counts as it was recorded, though it was not spent again."""
    usage, cost = run.usage, run.cost
    for told in steps:
        if told.step.taped is not None:
            usage, cost = usage + told.step.usage, cost + told.step.cost
    return usage, cost


def _step_side(told: Told | None) -> StepSide | None:
    if told is None:
        return None
    step: Step = told.step
    return StepSide(
        seq=step.seq,
        name=step.name,
        status=step.status,
        attempt=step.attempt,
        measure=_measure(step.usage, step.cost, begin=step.started_at, end=step.ended_at),
    )


def _measure(usage: Usage, cost: Cost, *, begin: datetime | None, end: datetime | None) -> Measure:
    return Measure(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        nano_usd=cost.nano_usd,
        duration_s=None if begin is None or end is None else (end - begin).total_seconds(),
    )


def _delta(left: Measure, right: Measure) -> Measure:
    nano_usd = duration_s = None
    if left.nano_usd is not None and right.nano_usd is not None:
        nano_usd = right.nano_usd - left.nano_usd
    if left.duration_s is not None and right.duration_s is not None:
        duration_s = round(right.duration_s - left.duration_s, 6)
    return Measure(
        input_tokens=right.input_tokens - left.input_tokens,
        output_tokens=right.output_tokens - left.output_tokens,
        nano_usd=nano_usd,
        duration_s=duration_s,
    )

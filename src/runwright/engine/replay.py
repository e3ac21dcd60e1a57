"""Replays: a run whose steps are answered by what another run recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from difflib import unified_diff

import msgspec
from msgspec.structs import replace

from runwright.core.event import (
    DELTAS,
    Event,
    MemoryWritten,
    ReplayDiverged,
    RunCancelled,
    RunFailed,
    RunQueued,
    RunStarted,
    StepCompleted,
    StepFailed,
    StepStarted,
)
from runwright.core.message import Said
from runwright.core.ports import Model, Models
from runwright.core.replay import Replay
from runwright.core.run import ErrorInfo, Run, RunRequest
from runwright.core.step import SUPERSEDED, StepKey
from runwright.engine.decide import Fail, Finish
from runwright.engine.end import UNANSWERED, Cancel, End
from runwright.errors import Conflict, DeadlineExceeded, Diverged, InvalidRequest
from runwright.journal.project import RUN_EVENTS
from runwright.journal.requests import readable, sent_messages
from runwright.journal.tape import Taped, read_tape
from runwright.journal.write import Record, RunLog

LIVE = ("model", "tool", "http", "clock", "random", "id", "env", "sleep", "memory", "all")
"""What a replay may let go to the world."""

TURNS = 1000
"""Turns of the loop that other branches get to ask for their steps before a run ends as its recording did."""

DIFFERENCE = 8_000
"""Characters of a difference that are recorded."""


class Stopped(BaseException):
    """The replay goes no further, whatever the code makes of it. Not an Exception, so that no handler swallows it."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A step that a replay is about to begin, with all messages of its request if it is a model's."""

    step: StepStarted
    messages: Sequence[Said] = ()

    @property
    def match(self) -> StepKey:
        """What it is matched by."""
        return StepKey(self.step.lane, self.step.kind, self.step.key, self.step.nth)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded step that answers; `is_drifted` if it was asked something else, None for `step` if nothing came."""

    taped: Taped
    is_drifted: bool = False

    @property
    def is_missing(self) -> bool:
        """Whether the recorded step never got an answer: its run, or its own code, gave it up."""
        return not self.taped.is_final or (self.taped.error is not None and self.taped.error.code in UNANSWERED)


class Player:
    """Answers the steps of one replay from the events of the recorded run. `end` is set when it goes no further."""

    def __init__(self, replay: Replay, events: Sequence[Event], *, own: Iterable[Event] = ()) -> None:
        """`own` are the events that the replay has already, if it goes on after a crash. Raises InvalidRequest."""
        self._replay = replay
        self._events = events
        steps = [step for step in read_tape(events) if step.error is None or step.error.code != SUPERSEDED]
        _check(replay, steps)
        self._left = {step.match: step for step in steps if step.seq >= (replay.at or 0)}
        used = {event.data.taped for event in own if isinstance(event.data, StepCompleted | StepFailed)}
        for match in [step.match for step in self._left.values() if step.seq in used]:
            del self._left[match]
        self._imposed = _imposed_end(events)
        self.end: End | None = None
        self._divergence: ReplayDiverged | None = None

    @property
    def replay(self) -> Replay:
        """What is replayed, and how."""
        return self._replay

    def models(self, models: Models) -> Models:
        """The models as the replay finds them."""
        names = (event.data.name for event in self._events if isinstance(event.data, StepStarted))
        kinds = (event.data.kind for event in self._events if isinstance(event.data, StepStarted))
        default = next((name for name, kind in zip(names, kinds, strict=True) if kind == "model"), None)
        return _RecordedModels(models, default)

    async def answer(self, asked: Asked) -> Answer | None:
        """The recorded step that answers; None when the step is live. Raises Stopped."""
        step = asked.step
        if self.end is not None:
            raise Stopped
        if self._replay.is_live(step.kind, step.name, effect=step.effect):
            return None
        taped = self._left.pop(asked.match, None)
        if taped is not None:
            return Answer(taped=self._edited(taped))
        near = self._nearest(asked)
        if near is not None and near.name == step.name and not self._replay.is_strict:
            del self._left[near.match]
            return Answer(taped=self._edited(near), is_drifted=True)
        if self._imposed is not None and not self._has_left(step.lane):
            await self.stop_as_recorded()
        raise self._diverged(asked, near)

    async def stop_as_recorded(self) -> None:
        """If somebody or a time limit ended the recorded run, end this one so, when other branches got as far.

        Raises Stopped; returns when the recorded run came to its end by itself.
        """
        if self._imposed is None or not self._replay.is_strict:
            return
        for _ in range(TURNS):
            if not any(map(_is_answer, self._left.values())):
                break
            await asyncio.sleep(0)
        self.end = self.end or self._imposed
        raise Stopped

    def take_divergence(self) -> ReplayDiverged | None:
        """What is to be recorded of a divergence, once."""
        divergence, self._divergence = self._divergence, None
        return divergence

    def judge(self, end: End) -> End:
        """How a replay ends that came to this end: it diverged if it never asked for what was recorded."""
        if self.end is not None:
            return self.end
        if not self._replay.is_strict or not isinstance(end, Finish | Fail):
            return end
        missed = min(filter(_is_answer, self._left.values()), key=lambda step: step.seq, default=None)
        if missed is None:
            return end
        how = "ended" if isinstance(end, Finish) else f"failed ({end.error.message})"
        detail = f"The replay {how} without asking for {missed.name!r} (step {missed.seq})."
        self._divergence = ReplayDiverged(detail=detail, taped=missed.seq)
        return _failed(detail)

    def _edited(self, taped: Taped) -> Taped:
        result = self._replay.results.get(taped.seq)
        return taped if result is None else replace(taped, status="completed", result=bytes(result), error=None)

    def _has_left(self, lane: str) -> bool:
        return any(step.match.lane == lane and _is_answer(step) for step in self._left.values())

    def _nearest(self, asked: Asked) -> Taped | None:
        """The first step left of the same lane, kind and name, else of the same lane and kind."""
        step = asked.step
        same = [each for each in self._left.values() if (each.match.lane, each.match.kind) == (step.lane, step.kind)]
        named = (each for each in same if each.name == step.name)
        return next(named, next(iter(same), None))

    def _diverged(self, asked: Asked, near: Taped | None) -> Stopped:
        step = asked.step
        detail = f"The replay asks for {step.name!r} with a request that was not recorded"
        difference = ""
        if near is None:
            detail += f": no {step.kind} step is left."
        else:
            difference, place = self._difference(asked, near)
            detail += f"; nearest is step {near.seq} ({near.name!r}){place}."
        if step.effect != "read" and not self._replay.is_strict:
            detail += f" It has effects: it goes to the world only if you say --live {step.kind}:{step.name}."
        self._divergence = ReplayDiverged(detail=detail, taped=near and near.seq, difference=difference)
        self.end = _failed(detail)
        return Stopped()

    def _difference(self, asked: Asked, near: Taped) -> tuple[str, str]:
        """A unified diff from the recorded request to the asked one, and which message differs first."""
        recorded = next(event.data for event in self._events if event.seq == near.seq)
        assert isinstance(recorded, StepStarted)
        sent = [bytes(raw) for raw in sent_messages(self._events).get(near.seq, ())]
        asks = [entry.raw for entry in asked.messages]
        before, after = readable(recorded, sent), readable(asked.step, asks)
        lines = list(unified_diff(before, after, "recorded", "asked", n=2, lineterm=""))
        text = "\n".join(lines)
        if len(text) > DIFFERENCE:
            text = f"{text[:DIFFERENCE]}\n... {len(text) - DIFFERENCE} characters more"
        pairs = enumerate(zip(sent, asks, strict=False))
        first = next((index for index, (left, right) in pairs if left != right), min(len(sent), len(asks)))
        place = f", which differs from message {first} on" if sent[first:] or asks[first:] else ""
        return text, place


class _RecordedModels:
    """Models under the names that the recorded run used, so that a default that changed is no difference."""

    def __init__(self, models: Models, default: str | None) -> None:
        self._models = models
        self._default = default

    def ref(self, ref: str | None) -> str:
        """The reference; the recorded one for None."""
        return self._models.ref(self._default if ref is None else ref)

    def resolve(self, ref: str | None) -> Model:
        """The model itself, for a step that is live."""
        return self._models.resolve(self._default if ref is None else ref)


class Recording:
    """A recorded run, as a replay begins with it."""

    def __init__(self, run: Run, events: Sequence[Event], replay: Replay) -> None:
        """Raises InvalidRequest when the replay names steps that the run does not have, Conflict while it goes on."""
        if not run.is_over and replay.at is None:
            raise Conflict(f"{run.id} is {run.status}; a run can be replayed when it is over, and forked before.")
        self._run = run
        self._events = events
        self._replay = replay
        self.player = Player(replay, events)

    def complete(self, request: RunRequest) -> RunRequest:
        """A request for a replay with everything that it leaves as it was recorded."""
        queued = self._events[0].data
        assert isinstance(queued, RunQueued)
        config: dict[str, object] = msgspec.json.decode(queued.config, type=dict[str, object] | None) or {}
        return replace(
            request,
            agent=request.agent or self._run.agent,
            input=request.input or bytes(queued.input),
            config={**config, **request.config},
            user=self._run.user,
        )

    def begin(self, log: RunLog) -> tuple[Event, ...]:
        """Append the beginning of a replay: its start with the recorded history, and what a fork takes over."""
        started = next(filter(_is_start, self._events))
        events = log.append((_start(started), None))
        numbers: dict[int, int] = {}
        for event in () if self._replay.at is None else _prefix(self._events, self._replay.at):
            (copy,) = log.append(_copied(event, numbers))
            if isinstance(event.data, StepStarted):
                numbers[event.seq] = copy.seq
            events += (copy,)
        return events


def _is_start(event: Event) -> bool:
    return isinstance(event.data, RunStarted)


def _start(event: Event) -> RunStarted:
    """The start of a replay: it sees memory as the recorded run did."""
    assert isinstance(event.data, RunStarted)
    return replace(event.data, memory=event.position if event.data.memory is None else event.data.memory)


def _prefix(events: Sequence[Event], at: int) -> Sequence[Event]:
    """What a fork at a step takes over: all that is told of the steps before it, wherever it stands."""
    kept: list[Event] = []
    for event in events:
        if type(event.data) in RUN_EVENTS or isinstance(event.data, DELTAS):
            continue
        if event.seq < at if event.step is None else event.step < at:
            kept.append(event)
    return kept


def _copied(event: Event, numbers: dict[int, int]) -> Record:
    """An event of a recorded run as a record of its fork; `numbers` maps steps to those of the fork."""
    data = event.data
    if isinstance(data, StepStarted) and data.base is not None:
        data = replace(data, base=numbers[data.base])
    elif isinstance(data, StepCompleted | StepFailed | MemoryWritten):
        data = replace(data, taped=event.step)
    return data, None if event.step is None else numbers.get(event.step)


def _check(replay: Replay, steps: Sequence[Taped]) -> None:
    for each in replay.live:
        kind, separator, _ = each.partition(":")
        if kind not in LIVE or (kind == "all" and separator):
            hint = f"{', '.join(LIVE)}, or one tool as tool:NAME"
            raise InvalidRequest(f"Nothing is called {each!r} that could be live; there are {hint}.")
    known = {step.seq: step for step in steps}
    if replay.at is not None and replay.at not in known:
        raise InvalidRequest(f"{replay.of} has no step {replay.at} to fork at; look with: runwright runs show.")
    for seq in replay.results:
        if seq not in known:
            raise InvalidRequest(f"{replay.of} has no step {seq} whose result could be another.")
        if known[seq].match.kind == "model":
            raise InvalidRequest(f"Step {seq} is a model call; results are given for steps of other kinds.")


def _is_answer(step: Taped) -> bool:
    return not Answer(taped=step).is_missing


def _imposed_end(events: Sequence[Event]) -> End | None:
    """The end of a run that its own code did not bring about."""
    data = next((event.data for event in reversed(events) if event.is_terminal), None)
    if isinstance(data, RunCancelled):
        return Cancel(reason=data.reason)
    if isinstance(data, RunFailed) and data.error.code == DeadlineExceeded.code:
        return Fail(error=data.error)
    return None


def _failed(detail: str) -> Fail:
    return Fail(error=ErrorInfo(code=Diverged.code, message=detail))

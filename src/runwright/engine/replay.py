"""Replays: a run whose steps are answered by what another run recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

import msgspec
from msgspec.structs import replace

from runwright.core.event import (
    DELTAS,
    Data,
    Event,
    MemoryWritten,
    ReplayDiverged,
    RunInterrupted,
    RunQueued,
    RunStarted,
    StepCompleted,
    StepFailed,
    StepStarted,
    StoppedBy,
    TimerFired,
)
from runwright.core.message import Said
from runwright.core.ports import Model, Models
from runwright.core.replay import Replay
from runwright.core.run import ErrorInfo, Run, RunRequest
from runwright.core.step import StepKey
from runwright.engine.decide import Fail, Finish
from runwright.engine.end import UNANSWERED, Cancel, End
from runwright.engine.fold import LOOP_VERSION
from runwright.engine.order import Mark, Order
from runwright.engine.pace import Pace
from runwright.engine.past import Past, is_answered
from runwright.errors import Conflict, Diverged, InvalidRequest
from runwright.journal.project import RUN_EVENTS
from runwright.journal.requests import sent_messages
from runwright.journal.tape import GIVEN_UP, Taped
from runwright.journal.wording import conversation, json_text, passages, unified
from runwright.journal.write import Record, RunLog

LIVE = ("model", "tool", "http", "clock", "random", "id", "env", "sleep", "memory", "child", "all")
"""What a replay may let go to the world."""

UNANSWERED_S = 60.0
"""Seconds beyond the recorded time that code may wait for a recorded step without an answer, if something is live."""

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
    """A recorded step that answers; `is_drifted` if it was asked something else."""

    taped: Taped
    is_drifted: bool = False

    @property
    def is_missing(self) -> bool:
        """Whether the recorded step never got an answer: its run, or its own code, gave it up."""
        return not is_answered(self.taped)


class Performance(Protocol):
    """A replay that is being executed."""

    def stop(self) -> None:
        """It goes no further."""
        ...

    def interrupt(self, by: StoppedBy | None, reason: str | None) -> None:
        """Its code is stopped as it was then, by None if it does nothing after that; the reason if it was cancelled."""
        ...


class Player:
    """Answers the steps of one replay from the events of the recorded run. `end` is set when it goes no further."""

    def __init__(self, replay: Replay, events: Sequence[Event], *, own: Iterable[Event] = ()) -> None:
        """`own` are the events that the replay has already, if it goes on after a crash. Raises InvalidRequest."""
        self._replay = replay
        self._past = past = Past(events)
        _check(replay, past.steps)
        self._left = {step.match: step for step in past.steps if step.seq >= (replay.at or 0)}
        own = list(own)
        self._used = {event.data.taped for event in own if isinstance(event.data, StepCompleted | StepFailed)}
        self._own = Past(own)
        for match in [step.match for step in self._left.values() if step.seq in self._used]:
            del self._left[match]
        self._before = {step.match for step in past.steps if past.is_before(step)}
        self._divergence: ReplayDiverged | None = None
        self.end: End | None = None
        self._is_closed = False
        self._is_stopped = replay.is_strict and past.is_stopped
        self.is_stopping = self._is_stopped and bool(self._own.told_stops)

    @property
    def replay(self) -> Replay:
        """What is replayed, and how."""
        return self._replay

    def begin(self, performance: Performance, *, pace: Pace | None) -> None:
        """The replay begins, of a flow with this pace or of a loop. Called on the event loop."""
        self._performance = performance
        self._is_loop = pace is None
        self._order = self._ordered(pace or Pace())
        self._expect_stop()

    def models(self, models: Models) -> Models:
        """The models as the replay finds them."""
        return _RecordedModels(models, self._past.model)

    def has(self, match: StepKey) -> bool:
        """Whether a step of exactly this key was recorded, and answered nothing yet."""
        return match in self._left

    def is_past(self, match: StepKey) -> bool:
        """Whether the recorded run had the answer of this step before it went on for the last time."""
        return self._replay.is_strict and match in self._before

    async def find(self, asked: Asked) -> Answer | None:
        """The recorded step that answers; None when the step is live. Raises Stopped."""
        step = asked.step
        if self.end is not None or self._is_closed:
            raise Stopped
        if self._replay.is_live(step.kind, step.name, effect=step.effect):
            return None
        taped = self._left.pop(asked.match, None)
        near = taped or _nearest(self._left.values(), step)
        if _is_undone(self._replay, step, near):
            return None
        if taped is not None:
            return self._found(asked, Answer(taped=_edited(self._replay, taped)))
        if near is not None and near.name == step.name and not self._replay.is_strict:
            del self._left[near.match]
            return self._found(asked, Answer(taped=_edited(self._replay, near), is_drifted=True))
        # The recorded run, or another branch of its code, may have been stopped before it began this.
        await self._order.stuck()
        if self.end is not None or self._is_closed:
            raise Stopped
        raise self._diverged(asked, near)

    async def turn(self, answer: Answer) -> None:
        """Wait until it is the turn of an answer that was found; a missing one never comes."""
        self._expect_stop()
        if self._is_loop and answer.is_missing and not self._is_stopped:
            # The run went on and ended without it: there is nothing that ends it but that.
            return
        if answer.is_missing:
            if self.is_stopping and answer.taped.status == "unknown":
                # The code got no further then: the run that was being stopped did not wait for an answer.
                self._order.when_stuck(partial(self._stay, answer.taped.end))
            await self._order.hang(answer.taped.end)
        else:
            await self._order.turn(answer.taped.end)

    def leave(self) -> None:
        """The run is cancelled, or the process stops: nothing waits any more."""
        self._order.leave()

    def close(self) -> None:
        """The replay is over."""
        self._is_closed = True
        self._order.leave()

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
        # What was done by other code need not be asked for.
        missed = next((step for step in self._left.values() if not step.is_past), None)
        if missed is not None:
            how = "ended" if isinstance(end, Finish) else f"failed ({end.error.message})"
            detail = f"The replay {how} without asking for {missed.name!r} (step {missed.seq})."
            self._divergence = ReplayDiverged(detail=detail, taped=missed.seq)
            return _failed(detail)
        return self._past.end if self._is_stopped and self._past.end is not None else end

    def _ordered(self, pace: Pace) -> Order:
        """The recorded order; if something is live, only how long what hangs may hang."""
        over = self._past.end_mark()
        if not self._replay.is_strict:
            return Order([Mark(over.number, over.after_s + UNANSWERED_S)], pace=pace, lost=self._unanswered)
        order = Order([*self._past.marks(), over], pace=pace, lost=self._unanswered, timers=self._past.timers)
        had = {step.end for step in self._past.steps if step.seq in self._used}
        had |= {number for nth, number in self._past.timers.items() if nth in self._own.timers}
        for number, told in self._past.told_stops.items():
            if self.is_stopping:
                had.add(int(number))
            else:
                order.expect(number, partial(_soon, self._interrupt, number, told.by))
        for number in had:
            order.passed(number)
        pace.timers.append(order)
        return order

    def _expect_stop(self) -> None:
        """A run whose stop was not told, as that of a loop, was stopped after all that it had begun by then."""
        if self._past.told_stops or not self._is_stopped:
            return
        for number in self._past.stops:
            if not any(step.seq < number for step in self._left.values()):
                self._order.expect(number, partial(_soon, self._interrupt, number, None))

    def _found(self, asked: Asked, answer: Answer) -> Answer:
        if answer.is_missing and not self._replay.is_strict and not answer.taped.is_given_up:
            raise self._diverged(asked, answer.taped, why="that was never answered")
        return answer

    def _interrupt(self, number: float, by: StoppedBy | None) -> None:
        self.is_stopping = True
        end = self._past.end
        if by is None and isinstance(end, Fail):
            self.end = end
        self._performance.interrupt(by, end.reason if isinstance(end, Cancel) else None)
        self._order.passed(number)

    def _stay(self, number: float) -> None:
        if self.end is None and not self._order.has_passed(number):
            self.end = self._past.end
            _soon(self._performance.stop)

    def _unanswered(self, number: float) -> None:
        if self._order.set_off():
            return
        step = next((step for step in self._past.steps if step.end == number), None)
        what = "something that did not come to the recorded run" if step is None else f"{step.name!r} (step {step.seq})"
        detail = f"The replay waits, and does not come to {what}."
        self._divergence = ReplayDiverged(detail=detail, taped=step and step.seq)
        self._end(detail)

    def _end(self, detail: str) -> None:
        self.end = _failed(detail)
        # Other branches may wait for what never comes.
        _soon(self._performance.stop)

    def _diverged(self, asked: Asked, near: Taped | None, *, why: str = "that was not recorded") -> Stopped:
        step = asked.step
        detail = f"The replay asks for {step.name!r} with a request {why}"
        difference = ""
        if near is None:
            detail += f": no {step.kind} step is left."
        else:
            difference, place = _difference(self._past.events, asked, near)
            detail += f"; nearest is step {near.seq} ({near.name!r}){place}."
        if step.effect != "read" and not self._replay.is_strict:
            detail += f" It has effects: it goes to the world only if you say --live {step.kind}:{step.name}."
        self._divergence = ReplayDiverged(detail=detail, taped=near and near.seq, difference=difference)
        self._end(detail)
        return Stopped()


def _soon(act: Callable[..., None], *args: object) -> None:
    """Not from within a step: that has to come to its end first."""
    asyncio.get_running_loop().call_soon(act, *args)


def _edited(replay: Replay, taped: Taped) -> Taped:
    result = replay.results.get(taped.seq)
    return taped if result is None else replace(taped, status="completed", result=bytes(result), error=None)


def _is_undone(replay: Replay, step: StepStarted, near: Taped | None) -> bool:
    """Whether a fork begins a run: the recorded one did not, or that came to no result."""
    is_answered = near is not None and near.name == step.name and _edited(replay, near).status == "completed"
    return step.kind == "child" and replay.at is not None and not is_answered


def _nearest(left: Iterable[Taped], step: StepStarted) -> Taped | None:
    """The first of these steps of the same lane, kind and name, else of the same lane and kind."""
    same = [each for each in left if (each.match.lane, each.match.kind) == (step.lane, step.kind)]
    named = (each for each in same if each.name == step.name)
    return next(named, next(iter(same), None))


def _difference(events: Sequence[Event], asked: Asked, near: Taped) -> tuple[str, str]:
    """A unified diff from the recorded request to the asked one, and which message differs first."""
    recorded = next(event.data for event in events if event.seq == near.seq)
    assert isinstance(recorded, StepStarted)
    sent = sent_messages(events).get(near.seq, ())
    asks = [msgspec.Raw(entry.raw) for entry in asked.messages]
    text, cut = unified(_wording(recorded, sent), _wording(asked.step, asks), room=DIFFERENCE)
    if cut:
        text += f"\n... {cut} characters more"
    pairs = enumerate(zip(sent, asks, strict=False))
    first = next((index for index, (left, right) in pairs if left != right), min(len(sent), len(asks)))
    place = f", which differs from message {first} on" if sent[first:] or asks[first:] else ""
    return text, place


def _wording(step: StepStarted, messages: Sequence[msgspec.Raw]) -> str:
    """What a step asks, as text: its messages, or its arguments, and beside messages the settings."""
    request = json_text(bytes(step.request))
    return "\n".join([f"{step.kind} {step.name}:", request, conversation(passages(messages, {}))])


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
        started = next(filter(_is_start, self._events), None)
        # A run that was cancelled before it began has no start.
        start = RunStarted(loop=LOOP_VERSION) if started is None else _start(started)
        events = [*log.append((start, None))]
        numbers: dict[int, int] = {}
        for event in () if self._replay.at is None else _prefix(self._events, self._replay.at):
            (copy,) = log.append(_copied(event, numbers))
            if isinstance(event.data, StepStarted):
                numbers[event.seq] = copy.seq
            events.append(copy)
        return tuple(events)


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
        if type(event.data) in RUN_EVENTS or isinstance(event.data, (*DELTAS, RunInterrupted, TimerFired)):
            continue
        is_before = event.seq < at if event.step is None else event.step < at
        if is_before and not _is_end_of_run(event.data):
            kept.append(event)
    return kept


def _is_end_of_run(data: Data) -> bool:
    """Whether a step ended because its run did: in a fork it is open."""
    if not isinstance(data, StepFailed):
        return False
    return data.error.code in UNANSWERED and data.error.message != GIVEN_UP.message


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


def _failed(detail: str) -> Fail:
    return Fail(error=ErrorInfo(code=Diverged.code, message=detail))

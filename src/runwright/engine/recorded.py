"""What a run asked of models and tools, and what came back, attempt by attempt, as its events tell it.

Times are seconds since the beginning of the window that is looked at.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from math import floor
from operator import attrgetter

import msgspec

from runwright.core.event import (
    DELTAS,
    Event,
    GuardDecided,
    StepCharged,
    StepCompleted,
    StepFailed,
    StepHeld,
    StepResolved,
    StepRestarted,
    StepStarted,
)
from runwright.core.message import said_raw
from runwright.core.model import ModelRequest, ModelSettings
from runwright.core.money import NO_COST
from runwright.core.run import ErrorInfo, Run
from runwright.core.step import SUPERSEDED, Effect, StepKind
from runwright.core.usage import NO_USAGE, Usage
from runwright.engine.answers import WHOLE
from runwright.engine.asking import Manifest
from runwright.engine.estimate import expected_usage
from runwright.errors import GuardError, LimitExceeded, error_classes
from runwright.guard.verdict import verdict

CUT = "cut"
"""The error of an attempt that was ended from outside: what it would have come to is not known."""
TRANSIENT = "transient"
"""The error of an attempt that raised what is no error of ours, and can pass."""

GUARDED = ("model", "tool", "http")
_LEFT = ("cancelled", SUPERSEDED)
_NOT_SENT = frozenset(code for code, kind in error_classes().items() if issubclass(kind, GuardError | LimitExceeded))
_CODES = {kind.__name__: kind.code for kind in error_classes().values()}
_REFUSED = ("refused", "shed", "held")


class Attempted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt. `error` is a code, empty where it was answered; its first chunk, if one is known, came at `begun_s`.

    `retry_after_s` is what its target asked for.
    """

    target: str
    at: float
    took_s: float
    error: str = ""
    retry_after_s: float | None = None
    begun_s: float | None = None


class RecordedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A logical call. It began `gap_s` after those of its run had ended that `follows` names by their place.

    `answered` is the target that answered, `question` names what was asked, `asks` is what it was expected to use.
    `is_fatal` says that its failure ended its run.
    """

    kind: StepKind
    target: str
    effect: Effect
    at: float
    took_s: float
    gap_s: float
    attempts: tuple[Attempted, ...]
    follows: tuple[int, ...] = ()
    error: str = ""
    answered: str = ""
    question: bytes = b""
    is_sampled: bool = False
    is_whole: bool = True
    is_fatal: bool = False
    asks: Usage = NO_USAGE
    usage: Usage = NO_USAGE
    nano_usd: int | None = 0


class RecordedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run with its calls in the order in which they began. `took_s` is None where it has not ended by itself.

    `tail_s` is what it took after its last call, `left_out` how many calls are not among them: cancelled ones, and
    those that began again in another process.
    """

    run: Run
    at: float
    calls: tuple[RecordedCall, ...]
    took_s: float | None = None
    tail_s: float = 0.0
    left_out: int = 0


def read_calls(run: Run, events: Iterable[Event], since: datetime) -> RecordedRun:
    """The calls of a run."""
    steps: dict[int, _Step] = {}
    sizes: dict[int, int] = {}
    for event in events:
        at = (event.ts - since).total_seconds()
        if isinstance(event.data, StepStarted):
            if event.data.kind in GUARDED:
                steps[event.seq] = _Step(event.seq, event.data, at, sizes=sizes)
        elif event.step in steps:
            steps[event.step].note(event, at)
    ended = [step for step in steps.values() if step.ended_at is not None]
    kept = [step for step in ended if not step.is_left_out and step.taped is None]
    at = ((run.started_at or run.created_at) - since).total_seconds()
    took_s = None
    if run.status in ("completed", "failed") and run.ended_at is not None:
        took_s = (run.ended_at - since).total_seconds() - at
    calls = _linked(run, kept, at)
    end = max((call.at + call.took_s for call in calls), default=at)
    tail_s = 0.0 if took_s is None else max(0.0, at + took_s - end)
    return RecordedRun(run=run, at=at, calls=calls, took_s=took_s, tail_s=tail_s, left_out=len(ended) - len(kept))


class _Step:
    """One step, as its events tell it. `sent_at` is when the attempt was sent that is at work, None if none is."""

    def __init__(self, seq: int, begun: StepStarted, at: float, *, sizes: dict[int, int]) -> None:
        self.seq = seq
        self.begun = begun
        self.at = at
        self.asks, self.is_sampled = _asked(seq, begun, sizes)
        self.ended_at: float | None = None
        self.attempts: list[Attempted] = []
        self.error = self.message = ""
        self.usage, self.cost = NO_USAGE, NO_COST
        self.is_whole = True
        self.is_left_out = False
        self.taped: int | None = None
        self._target = begun.name
        self._sent_at: float | None = at
        self._doubled_at: float | None = None
        self._chunk_at: float | None = None
        self._retry_after_s: float | None = None

    @property
    def answered(self) -> str:
        """The target that answered."""
        return next((each.target for each in reversed(self.attempts) if not each.error), "")

    def note(self, event: Event, at: float) -> None:
        """One more event of it."""
        match event.data:
            case GuardDecided() as data:
                self._decided(data, at)
            case StepRestarted(cause="retry" | "fallback"):
                self._sent_at, self._chunk_at = at, None
            case StepRestarted() | StepHeld() | StepResolved():
                self.is_left_out = True
            case StepCharged() as data:
                self.cost += data.cost
            case StepCompleted() as data:
                self._end(data, at)
                self.is_whole = data.finish_reason in ("", *WHOLE)
                self._close(at, "")
            case StepFailed() as data:
                self._end(data, at)
                self._fail(data.error, at)
            case _ if isinstance(event.data, DELTAS) and self._chunk_at is None:
                self._chunk_at = at
            case _:
                pass

    def _end(self, data: StepCompleted | StepFailed, at: float) -> None:
        self.ended_at, self.usage, self.taped = at, data.usage, data.taped
        self.cost += data.cost

    def _fail(self, error: ErrorInfo, at: float) -> None:
        self.is_left_out = self.is_left_out or error.code in _LEFT
        self.error, self.message = error.code, error.message
        if error.code in _NOT_SENT:
            self._sent_at = None
        self._close(at, _told(error))

    def _decided(self, data: GuardDecided, at: float) -> None:
        match data.layer, data.action:
            case (("rate" | "bulkhead" | "budget"), "waited"):
                self._sent_at = at
            case "rate", "slowed":
                self._retry_after_s = _asked_s(data)
            case ("retry", "resend" | "gave_up") | ("fallback", "gave_up"):
                self._close(at, _named(data.reason))
            case "fallback", "switched":
                self._close(at, _named(data.reason))
                # Its restart says when it is sent, unless nothing was sent before.
                self._target, self._sent_at = data.target, at
            case ("cache", "hit") | ("flight", "joined"):
                self._sent_at = None
            case "hedge", "doubled":
                self._doubled_at = at
            case "hedge", "won":
                self._race(at, is_second="second" in data.reason)
            case _, action if action in _REFUSED:
                self._sent_at = None
            case _:
                pass

    def _race(self, at: float, *, is_second: bool) -> None:
        """One of two that raced goes on; the other is cut."""
        first, second = self._sent_at, self._doubled_at
        self._doubled_at = None
        if first is None or second is None:
            return
        lost = first if is_second else second
        self.attempts.append(Attempted(target=self._target, at=lost, took_s=at - lost, error=CUT))
        self._sent_at = second if is_second else first

    def _close(self, at: float, error: str) -> None:
        """The attempt that is at work has ended."""
        sent = [each for each in (self._sent_at, self._doubled_at) if each is not None]
        begun_s = None if self._chunk_at is None or not sent else max(0.0, self._chunk_at - sent[0])
        for sent_at in sent if self._sent_at is not None and error not in _NOT_SENT else ():
            self.attempts.append(
                Attempted(
                    target=self._target,
                    at=sent_at,
                    took_s=at - sent_at,
                    error=error,
                    retry_after_s=self._retry_after_s,
                    begun_s=begun_s,
                )
            )
        self._sent_at = self._doubled_at = self._chunk_at = self._retry_after_s = None


def _asked(seq: int, begun: StepStarted, sizes: dict[int, int]) -> tuple[Usage, bool]:
    """What a step was expected to use, and whether asking again may give another answer."""
    if begun.kind != "model":
        return NO_USAGE, False
    manifest = msgspec.json.decode(begun.request, type=Manifest)
    settings = msgspec.json.decode(manifest.settings, type=ModelSettings)
    tools = b"" if bytes(begun.tools) == b"null" else bytes(begun.tools)
    fresh = tuple(said_raw(bytes(each)) for each in begun.messages)
    asks = expected_usage(ModelRequest(model=begun.name, messages=fresh, tools_raw=tools, settings=settings))
    sizes[seq] = asks.input_tokens + sizes.get(begun.base or 0, 0)
    whole = Usage(input_tokens=sizes[seq], output_tokens=asks.output_tokens, requests=1, is_estimated=True)
    return whole, settings.extra.get("temperature", settings.temperature) != 0


def _asked_s(data: GuardDecided) -> float | None:
    """What a target asked for with 429: the pause without the chance that was put on top."""
    if not data.wait_s:
        return None
    return float(floor(data.wait_s)) if data.wait_s >= 1 else data.wait_s / 1.5


def _named(told: str) -> str:
    """The error of a reason that begins with its name."""
    return _CODES.get(told.partition(":")[0], TRANSIENT)


def _told(error: ErrorInfo) -> str:
    """The error of an attempt whose step it ended; that of anybody's code stands in the message."""
    if error.code in _LEFT:
        return CUT
    if error.code not in ("tool_failed", "agent_error"):
        return error.code
    return TRANSIENT if _is_passing(error.message.partition(":")[0]) else error.code


@lru_cache(maxsize=256)
def _is_passing(name: str) -> bool:
    """Whether the guard would have taken an error of this name for one that can pass."""
    kind: object = getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = type(name or "Error", (Exception,), {})
    try:
        return verdict(kind()) == "transient"
    # It cannot be made without arguments, as no error of a network.
    except TypeError:
        return False


class _Ended(msgspec.Struct, frozen=True):
    """A call that later ones may have waited for."""

    place: int
    lane: str
    at: float
    end: float


def _linked(run: Run, steps: list[_Step], at: float) -> tuple[RecordedCall, ...]:
    """Calls, each with those that it came after: of its own lane, and of lanes above or below."""
    calls: list[RecordedCall] = []
    before: list[_Ended] = []
    for place, step in enumerate(sorted(steps, key=attrgetter("at"))):
        lane, ended_at = step.begun.lane, step.ended_at or step.at
        known = [each for each in before if each.end <= step.at and _is_related(each.lane, lane)]
        follows = [each for each in known if not any(_is_after(other, each) for other in known)]
        gap_s = step.at - max((each.end for each in follows), default=at)
        calls.append(_call(run, step, tuple(each.place for each in follows), gap_s=max(0.0, gap_s)))
        # Whatever waits for the newest of a lane waits for those that had ended before it began.
        own = [each for each in known if each.lane == lane]
        before = [each for each in before if each.lane != lane or not any(_is_after(other, each) for other in own)]
        before.append(_Ended(place, lane, step.at, ended_at))
    return tuple(calls)


def _is_after(one: _Ended, other: _Ended) -> bool:
    """Whether one came after the other, so that whoever waits for it has waited for both."""
    return one.place > other.place and one.at >= other.end and _is_related(one.lane, other.lane)


def _is_related(one: str, other: str) -> bool:
    return one == other or not one or not other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _call(run: Run, step: _Step, follows: tuple[int, ...], *, gap_s: float) -> RecordedCall:
    begun, end = step.begun, step.ended_at or step.at
    question = (begun.kind, run.version, begun.name, begun.key, (run.user or "") if begun.kind != "model" else "")
    error = run.error
    # A run that ends with the error of a step has its message; that of a flow's own code names it.
    is_of_step = error is not None and (error.step == step.seq or bool(step.message and step.message in error.message))
    return RecordedCall(
        kind=begun.kind,
        target=begun.name,
        effect=begun.effect,
        at=step.at,
        took_s=end - step.at,
        gap_s=gap_s,
        attempts=tuple(sorted(step.attempts, key=attrgetter("at"))),
        follows=follows,
        error=step.error,
        answered=step.answered,
        question=msgspec.msgpack.encode(question),
        is_sampled=step.is_sampled,
        is_whole=step.is_whole,
        is_fatal=bool(step.error) and is_of_step,
        asks=step.asks,
        usage=step.usage,
        nano_usd=step.cost.nano_usd,
    )

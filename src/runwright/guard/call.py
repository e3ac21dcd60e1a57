"""A call on its way through the guard, and what its sender tells on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Literal, TypeVar

import msgspec

from runwright.core.budget import NOBODY, Payer, Shortage, Spend
from runwright.core.event import GuardDecided
from runwright.core.model import Quota
from runwright.core.policy import Timeout
from runwright.core.similar import Asked
from runwright.core.step import Effect, StepKind

T = TypeVar("T")

Note = Callable[[GuardDecided], None]
"""Told of every decision beside plain sending, at the moment it is made."""

Priority = Literal["interactive", "background"]


class Codec(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """How an answer is kept: as bytes, and back; None is not to be kept. `shape` names the form, with its version."""

    encode: Callable[[T], bytes | None]
    decode: Callable[[bytes], T]
    shape: str


class Trail:
    """What became of a logical call, over all its attempts. One per call; layers write it, the caller reads it.

    `target` is whom the answer is from; `is_begun` that a chunk was shown, at `begun_at` of the loop's clock, after
    which nothing is sent again silently. The last attempt was sent at `sent_at`. `cause` is why the next attempt is
    made, until it begins. `charged_nano` is what a tool said that it spent and no budget has counted yet, `shortage`
    why a budget refused. `on_begun` is called at the first chunk, `on_kept` when the exact cache has the answer.
    """

    __slots__ = (
        "attempts",
        "begun_at",
        "cause",
        "charged_nano",
        "is_begun",
        "is_cached",
        "on_begun",
        "on_kept",
        "sent_at",
        "shortage",
        "target",
        "waited_s",
    )

    def __init__(self) -> None:
        self.attempts = 0
        self.cause: Literal["", "retry", "fallback"] = ""
        self.target = ""
        self.is_begun = False
        self.begun_at = 0.0
        self.sent_at = 0.0
        self.on_begun: Callable[[], None] | None = None
        self.on_kept: Callable[[], Awaitable[None]] | None = None
        self.is_cached = False
        self.waited_s = 0.0
        self.charged_nano = 0
        self.shortage: Shortage | None = None


class Call(msgspec.Struct, Generic[T], frozen=True, kw_only=True, gc=False):
    """What the layers know about a call. Times are seconds of the loop's clock; None means no bound.

    `target` is a model reference or a tool's name, `attempt` counts from 1. `send` makes one attempt. `deadline` is
    the run's. `content` is what is sent, to be looked at: the request of a model, or the arguments of a tool.
    `timeout_s` bounds an attempt where the policy does not. `key` names the question, for caches and followers; it
    gives None when the answer must not be kept or shared. `asked` is what it asks, where that may be compared with
    what is much like it. `is_sampled` says that another call of the same question may well give another answer.
    `spent` is what an answer used, `quote` what the call is expected to use at another target.
    """

    kind: StepKind
    target: str
    effect: Effect
    send: Callable[[Call[T], Sending], Awaitable[T]]
    trail: Trail
    note: Note
    attempt: int = 1
    deadline: float | None = None
    timeout_s: float | None = None
    priority: Priority = "interactive"
    is_streamed: bool = False
    is_sampled: bool = False
    content: object = None
    payer: Payer = NOBODY
    estimate: Spend = Spend()
    quote: Callable[[str], Spend] | None = None
    spent: Callable[[T], Spend] | None = None
    key: Callable[[], bytes | None] | None = None
    asked: Callable[[], Asked | None] | None = None
    codec: Codec[T] | None = None
    racer: Racer | None = None


Proceed = Callable[[Call[T]], Awaitable[T]]
Layer = Callable[[Call[T], Proceed[T]], Awaitable[T]]
"""A layer does its part and awaits `proceed`: with the call it got, or with a changed one, once or again.

One that only looks whether the call may go on is no coroutine: it raises, or returns what `proceed` returns.
"""


class Race:
    """Attempts of one call at once: the first that gets a chunk or an answer goes on, the others are cancelled."""

    __slots__ = ("racers", "winner")

    def __init__(self) -> None:
        self.racers: list[Racer] = []
        self.winner: Racer | None = None


class Racer:
    """One attempt in a race, in a task of its own."""

    __slots__ = ("_race", "sent", "task")

    def __init__(self, race: Race) -> None:
        self._race = race
        self.sent: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        """When it was sent, as a time of the loop's clock: until then it may wait for a permit."""
        self.task: asyncio.Task[None] | None = None
        race.racers.append(self)

    @property
    def leads(self) -> bool:
        """Whether it is the one that goes on."""
        return self._race.winner is self

    def claim(self) -> None:
        """Be the one that goes on. Raises CancelledError when another one is."""
        race = self._race
        if race.winner is None:
            race.winner = self
            for other in race.racers:
                if other is not self and other.task is not None:
                    other.task.cancel()
        elif race.winner is not self:
            raise asyncio.CancelledError

    def fail(self) -> None:
        """It failed: who was not sent yet is not sent any more, because to send again is for others to decide."""
        for other in self._race.racers:
            if other is not self and other.task is not None and not other.sent.done():
                other.task.cancel()


def was_sent(call: Call[Any], *, since: int) -> bool:
    """Whether an attempt was sent, before which `since` attempts of the call had been made."""
    return call.trail.attempts > since if call.racer is None else call.racer.sent.done()


def sent_at(call: Call[Any]) -> float:
    """When the attempt was sent that this call is, as a time of the loop's clock."""
    return call.trail.sent_at if call.racer is None else call.racer.sent.result()


class Sending:
    """One attempt, as its sender sees it: tell it what happens. `timeout` is the policy that holds, if one does."""

    __slots__ = ("_call", "_idle_s", "_on_quota", "due", "timeout", "waits_for")

    def __init__(
        self,
        call: Call[Any],
        *,
        now: float,
        timeout: Timeout | None = None,
        on_quota: Callable[[Call[Any], Quota], None] | None = None,
    ) -> None:
        self._call = call
        self._on_quota = on_quota
        self.timeout = timeout
        self.waits_for: Literal["first_token", "chunk"] = "first_token"
        self.due: float | None = None
        """When the next chunk has to be there, as a time of the loop's clock."""
        self._idle_s: float | None = None
        if timeout is not None and call.is_streamed:
            self._idle_s = timeout.idle_s
            if timeout.first_token_s is not None:
                self.due = now + timeout.first_token_s

    def chunk(self) -> None:
        """A piece of the answer is there and is about to be shown."""
        trail = self._call.trail
        if not trail.is_begun:
            if self._call.racer is not None:
                self._call.racer.claim()
            trail.is_begun = True
            trail.begun_at = asyncio.get_running_loop().time()
            if trail.on_begun is not None:
                trail.on_begun()
        self.waits_for = "chunk"
        idle_s = self._idle_s
        self.due = None if idle_s is None else asyncio.get_running_loop().time() + idle_s

    def quota(self, seen: Quota) -> None:
        """The provider said something about its limits."""
        if self._on_quota is not None:
            self._on_quota(self._call, seen)

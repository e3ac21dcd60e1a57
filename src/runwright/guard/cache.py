"""The exact cache: an equal call is answered by what an earlier one gave.

Answers stand in memory, and behind that where they outlive the process. A call that finds none is made as a flight, so
that however many come at once, one looks further and is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import Any, Final, TypeVar

import msgspec

from runwright.core.budget import NOTHING, Spend
from runwright.core.event import GuardDecided
from runwright.core.policy import Cache
from runwright.core.ports import KeyValue
from runwright.core.sizes import KeyValueSize
from runwright.errors import StorageError
from runwright.guard.call import Call, Codec, Proceed
from runwright.guard.flight import Flights
from runwright.guard.key_value import MemoryKeyValue

T = TypeVar("T")

SPREAD: Final = 0.1
"""The share of its time by which an answer may go earlier, so that those that came together do not go together."""


class Kept(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An answer as it is kept: `shape` says how it is encoded, `at` is when it was given, in seconds since 1970.

    `tokens` and `nano_usd` are what it took, and what is saved each time that it is given again.
    """

    shape: str
    at: float
    tokens: int
    nano_usd: int
    answer: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode


class CacheCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What the cache did since the process began.

    `joined` calls waited for an equal one that was on its way. `saved` is what hits would have used.
    """

    hits: int = 0
    misses: int = 0
    joined: int = 0
    stores: int = 0
    saved: Spend = NOTHING


class Answers:
    """What is kept for all callers of an app: in memory, and in `far` if there is one. `now` is seconds since 1970."""

    def __init__(
        self, *, near: KeyValue | None = None, far: KeyValue | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self._near: KeyValue = MemoryKeyValue(now=now) if near is None else near
        self._far = far
        self.now = now
        self.flights = Flights()
        self._hits = self._misses = self._stores = self._saved_tokens = self._saved_nano_usd = 0

    @property
    def counts(self) -> CacheCounts:
        """What the cache did since the process began."""
        return CacheCounts(
            hits=self._hits,
            misses=self._misses,
            joined=self.flights.joined,
            stores=self._stores,
            saved=Spend(self._saved_tokens, self._saved_nano_usd, self._hits),
        )

    async def near(self, space: str, key: bytes, *, ttl_s: float) -> Kept | None:
        """What is kept in memory and not older than that. Does not suspend."""
        return self._read(await self._near.get(space, key), ttl_s)

    async def far(self, space: str, key: bytes, *, ttl_s: float) -> Kept | None:
        """What is kept behind that. Raises StorageError."""
        if self._far is None:
            return None
        data = await self._far.get(space, key)
        kept = self._read(data, ttl_s)
        if kept is not None and data is not None:
            await self._near.set(space, key, data, ttl_s=kept.at + ttl_s - self.now())
        return kept

    async def keep(self, space: str, key: bytes, kept: Kept, *, ttl_s: float) -> None:
        """Keep an answer for that many seconds."""
        data = _encode(kept)
        await self._near.set(space, key, data, ttl_s=ttl_s)
        if self._far is not None:
            await self._far.set(space, key, data, ttl_s=ttl_s)
        self._stores += 1

    def hit(self, kept: Kept) -> dict[str, int | float | str]:
        """Count that an answer was given again; the figures that tell it."""
        self._hits += 1
        self._saved_tokens += kept.tokens
        self._saved_nano_usd += kept.nano_usd
        age_s = round(max(0.0, self.now() - kept.at), 3)
        return {"age_s": age_s, "saved_nano_usd": kept.nano_usd, "saved_tokens": kept.tokens}

    def miss(self) -> None:
        """Count that there was no answer."""
        self._misses += 1

    async def clear(self, space: str | None = None) -> int:
        """Forget all of a kind, or all; how many that were. Raises StorageError."""
        near = await self._near.clear(space)
        return near if self._far is None else max(near, await self._far.clear(space))

    async def sizes(self) -> tuple[KeyValueSize, ...]:
        """How much is held, the nearest place first. Raises StorageError."""
        near = await self._near.size()
        return (near,) if self._far is None else (near, await self._far.size())

    async def close(self) -> None:
        """Write what is to be written."""
        await self._near.close()
        if self._far is not None:
            await self._far.close()

    def _read(self, data: bytes | None, ttl_s: float) -> Kept | None:
        if data is None:
            return None
        try:
            kept = _decode(data)
        # Of another release.
        except msgspec.MsgspecError:
            return None
        # A policy may have become stricter since it was kept.
        return kept if kept.at + ttl_s > self.now() else None


class Caching:
    """The layer: gives an earlier answer, or has one made and keeps it. Only for calls that read.

    What a model answered that was fallen back on is given, and not kept: it is no answer of the model that was asked.
    """

    def __init__(self, answers: Answers, policy: Cache, *, random: Random) -> None:
        self._answers = answers
        self._policy = policy
        self._random = random

    async def __call__(self, call: Call[T], proceed: Proceed[T]) -> T:
        """Answer the call."""
        named = named_question(call, self._policy)
        if named is None:
            return await proceed(call)
        key, codec = named
        kept = await self._answers.near(call.kind, key, ttl_s=self._policy.ttl_s)
        if kept is not None:
            answer = read_answer(codec, kept)
            if answer is not None:
                return self._hit(call, kept, answer[0])
        # Nothing suspended since the flights were last changed, so no answer can have come between.
        return await self._answers.flights.share(
            key, call, lambda leading: self._made(leading, proceed, key=key, codec=codec)
        )

    async def _made(self, call: Call[T], proceed: Proceed[T], *, key: bytes, codec: Codec[T]) -> T:
        kept = await self._far(call, key)
        if kept is not None:
            answer = read_answer(codec, kept)
            if answer is not None:
                return self._hit(call, kept, answer[0])
        try:
            answer = await proceed(call)
        finally:
            # What was answered behind this is a hit.
            if not call.trail.is_cached:
                self._answers.miss()
        # What was answered behind this is kept already, for another question.
        if self._policy.ttl_s and call.trail.target in ("", call.target) and not call.trail.is_cached:
            await self._keep(call, answer, key=key, codec=codec)
            if call.trail.on_kept is not None:
                await call.trail.on_kept()
        return answer

    async def _keep(self, call: Call[T], answer: T, *, key: bytes, codec: Codec[T]) -> None:
        data = codec.encode(answer)
        if data is None:
            return
        spent = NOTHING if call.spent is None else call.spent(answer)
        kept = Kept(codec.shape, self._answers.now(), spent.tokens, spent.nano_usd, data)
        ttl_s = self._policy.ttl_s * (1 - SPREAD * self._random.random())
        try:
            await self._answers.keep(call.kind, key, kept, ttl_s=ttl_s)
        except StorageError as error:
            skipped(call, error)

    async def _far(self, call: Call[Any], key: bytes) -> Kept | None:
        try:
            return await self._answers.far(call.kind, key, ttl_s=self._policy.ttl_s)
        except StorageError as error:
            skipped(call, error)
            return None

    def _hit(self, call: Call[Any], kept: Kept, answer: T) -> T:
        given(call)
        figures = self._answers.hit(kept)
        call.note(GuardDecided(layer="cache", action="hit", target=call.target, figures=figures))
        return answer


def named_question(call: Call[T], policy: Cache) -> tuple[bytes, Codec[T]] | None:
    """What names a call's question and how its answer is kept; None for a call that is not answered from a cache."""
    if call.codec is None or call.key is None or call.effect != "read" or (call.is_sampled and not policy.sampled):
        return None
    key = call.key()
    return None if key is None else (key, call.codec)


def given(call: Call[Any]) -> None:
    """Mark a call as answered from the cache."""
    call.trail.is_cached = True
    call.trail.target = call.target


def skipped(call: Call[Any], error: StorageError) -> None:
    """Tell of a cache that is away: it costs answers, it fails none."""
    call.note(GuardDecided(layer="cache", action="skipped", target=call.target, reason=error.message))


def read_answer(codec: Codec[T], kept: Kept) -> tuple[T] | None:
    """What is kept, if this release can read it."""
    if kept.shape != codec.shape:
        return None
    try:
        return (codec.decode(kept.answer),)
    except (msgspec.MsgspecError, ValueError):
        return None

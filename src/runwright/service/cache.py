"""The cache: what it holds, what it did, and that it forgets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

import msgspec

from runwright.core.money import format_usd
from runwright.core.similar import QuestionStore
from runwright.core.sizes import KeyValueSize, Share
from runwright.guard import Answers

CacheSpace = Literal["model", "tool", "runs", "similar"]
"""What is kept: answers of models, results of tools that read, which runs gave which result, and the questions that
similar ones are compared with."""


class CachePlace(msgspec.Struct, frozen=True, kw_only=True):
    """A place where answers are held: bytes of `limit` at the most, `evicted` since the process began."""

    name: str
    entries: int
    bytes: int
    limit: int | None
    evicted: int
    spaces: tuple[Share, ...]


class CacheView(msgspec.Struct, frozen=True, kw_only=True):
    """What the cache did since the process began, and what it holds, the nearest place first.

    `joined` calls waited for an equal one that was on its way; `saved_usd` and `saved_tokens` are what hits would have
    cost and used.
    """

    object: Literal["cache"] = "cache"
    hits: int
    misses: int
    joined: int
    stores: int
    saved_usd: str
    saved_tokens: int
    places: tuple[CachePlace, ...]


class CacheCleared(msgspec.Struct, frozen=True, kw_only=True):
    """How many answers were forgotten."""

    object: Literal["cache_cleared"] = "cache_cleared"
    entries: int


class Caches:
    """What a caller can ask about the cache."""

    def __init__(self, answers: Answers, questions: QuestionStore) -> None:
        self._answers = answers
        self._questions = questions

    async def stats(self) -> CacheView:
        """What it did and what it holds. Raises StorageError."""
        counts = self._answers.counts
        places = [
            CachePlace(
                name=size.place,
                entries=sum(space.count for space in size.spaces),
                bytes=sum(space.bytes or 0 for space in size.spaces),
                limit=size.limit,
                evicted=size.evicted,
                spaces=size.spaces,
            )
            for size in (*await self._answers.sizes(), *await self._similar())
        ]
        return CacheView(
            hits=counts.hits,
            misses=counts.misses,
            joined=counts.joined,
            stores=counts.stores,
            saved_usd=format_usd(counts.saved.nano_usd),
            saved_tokens=counts.saved.tokens,
            places=tuple(places),
        )

    async def clear(self, of: CacheSpace | None = None) -> CacheCleared:
        """Forget what is kept of a kind, or all. Raises StorageError."""
        # Without the answers of models, questions lead nowhere.
        questions = await asyncio.to_thread(self._questions.clear) if of in (None, "model", "similar") else 0
        if of == "similar":
            return CacheCleared(entries=questions)
        return CacheCleared(entries=await self._answers.clear(of))

    async def _similar(self) -> Sequence[KeyValueSize]:
        """The questions that are kept, where there are any."""
        held = await asyncio.to_thread(self._questions.size)
        return [KeyValueSize(place="questions", limit=None, evicted=0, spaces=(held,))] if held.count else []

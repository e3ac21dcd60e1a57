"""Threads: conversations that runs belong to."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec.structs import replace

from runwright.core.ids import make_id
from runwright.core.labels import Label, ThreadId, check_metadata, check_thread_id
from runwright.core.message import text_of
from runwright.core.ports import Clock, ThreadStore
from runwright.core.thread import Thread
from runwright.errors import Conflict, NotFound
from runwright.journal.requests import Handover, handover
from runwright.service.runs import Runs
from runwright.service.views import Page

Title = Annotated[str, msgspec.Meta(max_length=1000)]


class ThreadView(msgspec.Struct, frozen=True, kw_only=True):
    """A thread as callers see it. `head` is its newest completed run."""

    id: str
    object: Literal["thread"] = "thread"
    title: str
    user: str | None
    metadata: dict[str, str]
    head: str | None
    created_at: datetime


class RecapView(msgspec.Struct, frozen=True, kw_only=True):
    """What stands for so many messages that models are not sent any more: a summary by `step` of `run_id`, or none."""

    left_out: int
    summary: str | None = None
    run_id: str | None = None
    step: int | None = None


class ThreadMessages(Page[msgspec.Raw], frozen=True, kw_only=True):
    """The messages of a thread, as its next run is going to send them. `recap` is what was left out of them."""

    recap: RecapView | None = None


class ThreadChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller says about a thread; what is left out stays as it is. `metadata` is replaced whole."""

    title: Title | None = None
    metadata: dict[str, str] | None = None

    def __post_init__(self) -> None:
        check_metadata(self.metadata)


class ThreadBody(ThreadChange, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A thread to create; an id is made when none is given."""

    id: ThreadId | None = None
    user: Label | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_thread_id(self.id, at="/id")


class Threads:
    """What a caller can ask about threads."""

    def __init__(self, store: ThreadStore, runs: Runs, clock: Clock) -> None:
        self._store = store
        self._runs = runs
        self._clock = clock

    async def create(self, asked: ThreadBody) -> ThreadView:
        """Create a thread. Raises Conflict when the id is taken."""
        if asked.id is not None and await asyncio.to_thread(self._store.get, asked.id) is not None:
            raise Conflict(f"There is a thread {asked.id!r} already.")
        thread = Thread(
            id=asked.id or make_id("thr"),
            created_at=self._clock.now(),
            title=asked.title or "",
            user=asked.user,
            metadata=asked.metadata or {},
        )
        await asyncio.to_thread(self._store.put, thread)
        return _view(thread)

    async def get(self, thread_id: str) -> ThreadView:
        """One thread. Raises NotFound."""
        return _view(await self._thread(thread_id))

    async def list(self, *, user: str | None = None, after: str | None = None, limit: int = 50) -> Page[ThreadView]:
        """A page of threads, newest first."""
        found = await asyncio.to_thread(self._store.find, user=user, after=after, limit=limit + 1)
        shown = [_view(thread) for thread in found[:limit]]
        has_more = len(found) > limit
        return Page(data=shown, has_more=has_more, next=shown[-1].id if has_more else None)

    async def patch(self, thread_id: str, change: ThreadChange) -> ThreadView:
        """Change title or metadata. Raises NotFound."""
        thread = await self._thread(thread_id)
        if change.title is not None:
            thread = replace(thread, title=change.title)
        if change.metadata is not None:
            thread = replace(thread, metadata=change.metadata)
        await asyncio.to_thread(self._store.put, thread)
        return _view(thread)

    async def delete(self, thread_id: str) -> None:
        """Remove a thread; its runs stay. Raises NotFound, and Conflict while a run of it is at work."""
        if not await asyncio.to_thread(self._store.delete, thread_id):
            await self._thread(thread_id)
            raise Conflict(f"A run of the thread {thread_id!r} is not over: cancel it first.")

    async def messages(self, thread_id: str) -> ThreadMessages:
        """The conversation up to the newest completed run, in the OpenAI shape. Raises NotFound."""
        thread = await self._thread(thread_id)
        if thread.head is None:
            return ThreadMessages(data=[])
        left = handover([event async for group in self._runs.events(thread.head) for event in group])
        return ThreadMessages(data=[msgspec.Raw(entry.raw) for entry in left.messages], recap=_recap(left))

    async def _thread(self, thread_id: str) -> Thread:
        thread = await asyncio.to_thread(self._store.get, thread_id)
        if thread is None:
            raise NotFound(f"There is no thread {thread_id!r}.")
        return thread


def _recap(left: Handover) -> RecapView | None:
    recap = left.recap
    if recap is None:
        return None
    summary = None if recap.at is None else text_of(left.messages[recap.at].message)
    return RecapView(left_out=recap.messages, summary=summary, run_id=recap.run or None, step=recap.step)


def _view(thread: Thread) -> ThreadView:
    return ThreadView(
        id=thread.id,
        title=thread.title,
        user=thread.user,
        metadata=thread.metadata,
        head=thread.head,
        created_at=thread.created_at,
    )

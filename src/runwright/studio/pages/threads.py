"""Threads: conversations, each turn with the run that it is."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from runwright.core.ports import RunFilter
from runwright.service.threads import ThreadView
from runwright.service.views import Page as Listed
from runwright.studio.page import Action, Ask, Page
from runwright.studio.pages.playground import Turn, turn_of

ON_A_PAGE = 50
TURNS = 20


class ThreadList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of threads, newest first."""

    threads: Listed[ThreadView]
    user: str


class ThreadPage(msgspec.Struct, frozen=True, kw_only=True):
    """A thread with its turns in order: the newest, or those before `earlier`. `agent` is that of the last one."""

    thread: ThreadView
    turns: Sequence[Turn]
    earlier: str | None
    agent: str | None


async def list_threads(ask: Ask) -> ThreadList:
    """A page of threads, of one user where the query names one."""
    user = ask.query.get("user")
    found = await ask.app.threads.list(user=user, after=ask.query.get("after"), limit=ON_A_PAGE)
    return ThreadList(threads=found, user=user or "")


async def show_thread(ask: Ask) -> ThreadPage:
    """One thread. Raises NotFound."""
    app = ask.app
    thread = await app.threads.get(ask.name("thread"))
    found = await app.runs.find(RunFilter(thread_id=thread.id, after=ask.query.get("after"), limit=TURNS))
    turns = [await turn_of(ask, run) for run in reversed(found.data)]
    agent = found.data[0].agent if found.data else None
    return ThreadPage(thread=thread, turns=turns, earlier=found.next, agent=agent)


async def delete(ask: Ask) -> str:
    """Remove a thread; its runs stay."""
    await ask.app.threads.delete(ask.name("thread"))
    return ask.url("/threads")


PAGES = (
    Page(path="/threads", view=list_threads, template="threads.html", title="Threads", nav="Threads"),
    Page(path="/threads/{thread}", view=show_thread, template="thread.html", title="Thread"),
)
ACTIONS = (Action(path="/threads/{thread}/delete", act=delete),)

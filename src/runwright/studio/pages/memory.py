"""What agents and threads remember: blocks, their history, and who wrote each line."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from runwright.core.labels import LARGEST, number
from runwright.core.memory import Owner
from runwright.errors import InvalidRequest
from runwright.service.memory_views import BlockView, CommitView, LineView, MemoryDiff, RestoreBody
from runwright.service.views import Page as Listed
from runwright.studio.page import Action, Ask, Page, quoted

COMMITS = 30


class MemoryList(msgspec.Struct, frozen=True, kw_only=True):
    """Who has memory."""

    owners: Listed[Owner]


class MemoryView(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of one owner: as it stands `at` a commit, its history, the `diff` of two commits, and the `lines` of
    a block with who wrote them."""

    owner: str
    at: str
    blocks: Sequence[BlockView]
    commits: Listed[CommitView]
    diff: MemoryDiff | None
    block: str
    lines: Sequence[LineView]


async def list_memory(ask: Ask) -> MemoryList:
    """A page of those who have memory, by name."""
    return MemoryList(owners=await ask.app.memory.owners(after=ask.query.get("after")))


async def show_memory(ask: Ask) -> MemoryView:
    """The memory of one owner. Raises NotFound and InvalidRequest."""
    memory, owner, asked = ask.app.memory, ask.name("owner"), ask.query
    at, block, left = asked.get("at"), asked.get("block", ""), asked.get("left")
    blocks = await memory.blocks(owner, at=at)
    return MemoryView(
        owner=owner,
        at=at or "",
        blocks=blocks.data,
        commits=await memory.commits(
            owner, name=block or None, after=ask.number("after", 0, most=LARGEST) or None, limit=COMMITS
        ),
        diff=None if left is None else await memory.diff(owner, left, asked.get("right")),
        block=block,
        lines=(await memory.blame(owner, block, at=number(at or ""))).data if block else (),
    )


async def restore_memory(ask: Ask) -> str:
    """Let the content of an old commit stand again, of one block or of all. Raises NotFound and InvalidRequest."""
    form = await ask.form()
    owner, commit, name = (form.get(field, [""])[0] for field in ("owner", "commit", "name"))
    if (old := number(commit)) is None:
        raise InvalidRequest(f"A commit is a number, not {commit[:40]!r}.")
    await ask.app.memory.restore(owner, RestoreBody(commit=old, name=name or None))
    return ask.url(f"/memory/{quoted(owner)}", {"block": name})


PAGES = (
    Page(path="/memory", view=list_memory, template="memory_list.html", title="Memory", nav="Memory"),
    Page(path="/memory/{owner:path}", view=show_memory, template="memory.html", title="Memory"),
)
ACTIONS = (Action(path="/memory/restore", act=restore_memory),)

"""`runwright memory`: what agents and threads keep, and who wrote it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from runwright.cli.call import Called, Flag, Limit, Seq
from runwright.cli.output import Output, short
from runwright.cli.run import encoded
from runwright.journal.wording import json_text

if TYPE_CHECKING:
    from datetime import datetime

    from runwright.core.memory import Owner, Touched
    from runwright.service.memory_views import BlockView, CommitView, LineView, MemoryDiff, RunMemoryView
    from runwright.service.views import Page

SHOWN = 60
"""Characters of a value that a line of a list shows."""

SIGNS = {"added": "+", "changed": "~", "deleted": "-"}


async def ls(
    owner: str | None = None, /, *, at: str | None = None, limit: Limit = 50, after: str | None = None, call: Called
) -> None:
    """List who has memory, or the blocks of one, each with the commit, run and step that wrote it.

    Args:
        owner: agent:NAME or thread:ID.
        at: A commit, run_ID for how a run began with it, or run_ID:STEP for how it saw it after a step.
        limit: How many owners.
        after: Only owners after this one.
        call: What every command is handed.
    """
    async with call.open(has_agents=False, is_reading=True) as access:
        if owner is None:
            owners = await access.memory.owners(after=after, limit=limit)
            call.out.show(owners, lambda: _owners(call.out, owners))
            return
        blocks = await access.memory.blocks(owner, at=at)
    call.out.show(blocks, lambda: _blocks(call.out, blocks))


async def show(owner: str, name: str | None = None, /, *, at: str | None = None, call: Called) -> None:
    """Print a block as it is, or all blocks under their names.

    Args:
        owner: agent:NAME or thread:ID.
        name: The block.
        at: A commit, run_ID for how a run began with it, or run_ID:STEP for how it saw it after a step.
        call: What every command is handed.
    """
    from runwright.errors import NotFound

    async with call.open(has_agents=False, is_reading=True) as access:
        blocks = await access.memory.blocks(owner, at=at)
    if name is None:
        call.out.show(blocks, lambda: _texts(call.out, blocks))
        return
    found = next((block for block in blocks.data if block.name == name), None)
    if found is None:
        known = ", ".join(block.name for block in blocks.data) or "none"
        raise NotFound(f"{owner} has no block {name!r}{'' if at is None else f' at {at}'}; there are: {known}")
    call.out.show(found, json_text(bytes(found.value)))


async def log(
    owner: str, name: str | None = None, /, *, limit: Limit = 50, after: Seq | None = None, call: Called
) -> None:
    """List the commits, newest first.

    Args:
        owner: agent:NAME or thread:ID.
        name: Those of this block only.
        limit: How many.
        after: Only commits before the one with this number.
        call: What every command is handed.
    """
    async with call.open(has_agents=False, is_reading=True) as access:
        commits = await access.memory.commits(owner, name=name, after=after, limit=limit)
    call.out.show(commits, lambda: _commits(call.out, commits))


async def diff(owner: str, left: str, right: str | None = None, /, *, call: Called) -> None:
    """Show what changed between two places in the history: commits, run_ID, or run_ID:STEP.

    Args:
        owner: agent:NAME or thread:ID.
        left: Where to begin.
        right: Where to end; now when left out.
        call: What every command is handed.
    """
    async with call.open(has_agents=False, is_reading=True) as access:
        found = await access.memory.diff(owner, left, right)
    call.out.show(found, lambda: _diff(call.out, found))


async def blame(owner: str, name: str, /, *, at: Seq | None = None, call: Called) -> None:
    """Show who wrote each line of a block.

    Args:
        owner: agent:NAME or thread:ID.
        name: The block.
        at: A commit; the newest when left out.
        call: What every command is handed.
    """
    async with call.open(has_agents=False, is_reading=True) as access:
        lines = await access.memory.blame(owner, name, at=at)
    call.out.show(lines, lambda: _lines(call.out, lines))


async def set(
    owner: str, name: str, value: str, /, *, as_json: Flag = False, expect: Seq | None = None, call: Called
) -> None:
    """Write a block.

    Args:
        owner: agent:NAME or thread:ID.
        name: The block.
        value: The text; `-` reads it from stdin.
        as_json: The value is JSON, not text.
        expect: Only if this commit left the block as it is; 0 if there is none.
        call: What every command is handed.
    """
    from runwright.service.memory_views import BlockBody

    text = sys.stdin.read() if value == "-" else value
    body = BlockBody(value=msgspec.Raw(encoded(text, is_json=as_json)), expect=expect)
    async with call.open(has_agents=False) as access:
        block = await access.memory.put(owner, name, body)
    call.out.show(block, f"{name} has {block.size} bytes, commit {block.commit}")


async def rm(owner: str, name: str, /, *, expect: Seq | None = None, call: Called) -> None:
    """Take a block away; its history stays, and `restore` brings it back.

    Args:
        owner: agent:NAME or thread:ID.
        name: The block.
        expect: Only if this commit left the block as it is.
        call: What every command is handed.
    """
    async with call.open(has_agents=False) as access:
        await access.memory.delete(owner, name, expect=expect)
    call.out.show({"owner": owner, "name": name, "deleted": True}, f"{name} is gone")


async def restore(owner: str, commit: Seq, name: str | None = None, /, *, call: Called) -> None:
    """Make what stood at a commit stand again, as a commit of its own.

    Args:
        owner: agent:NAME or thread:ID.
        commit: The commit; 0 is the beginning, when there was nothing.
        name: Only this block.
        call: What every command is handed.
    """
    from runwright.service.memory_views import RestoreBody

    async with call.open(has_agents=False) as access:
        made = await access.memory.restore(owner, RestoreBody(commit=commit, name=name))
    call.out.show(made, f"commit {made.number}: {_touched(made.touched)}")


def print_run(out: Output, found: RunMemoryView) -> None:
    """What a run read and wrote, as a table."""
    rows: list[tuple[object, ...]] = [
        (each.step, "read", each.owner, each.name, "", _short(each.value)) for each in found.reads
    ]
    for each in found.writes:
        commit = f"taped {each.taped}" if each.taped is not None else each.commit or ""
        told = f"{commit} (over {each.overwrote})" if each.overwrote is not None else commit
        rows.append((each.step, each.action, each.owner, each.name, told, _short(each.value)))
    out.table(("step", "did", "owner", "block", "commit", "value"), sorted(rows, key=lambda row: str(row[0]).zfill(20)))


def _owners(out: Output, owners: Page[Owner]) -> None:
    rows = [(each.owner, each.commit, each.blocks, each.size) for each in owners.data]
    out.table(("owner", "commit", "blocks", "bytes"), rows)
    if owners.has_more:
        out.note(f"There are more: --after {owners.next}")


def _blocks(out: Output, blocks: Page[BlockView]) -> None:
    columns = ("block", "bytes", "commit", "run", "step", "when", "value")
    rows = [
        (each.name, each.size, each.commit, each.run_id, each.step, _when(each.created_at), _short(each.value))
        for each in blocks.data
    ]
    out.table(columns, rows)


def _texts(out: Output, blocks: Page[BlockView]) -> None:
    for block in blocks.data:
        out.text(f"## {block.name}\n{json_text(bytes(block.value))}")


def _commits(out: Output, commits: Page[CommitView]) -> None:
    rows = [
        (each.number, _when(each.created_at), each.run_id, each.step, _touched(each.touched, each.restores))
        for each in commits.data
    ]
    out.table(("commit", "when", "run", "step", "what"), rows)
    if commits.has_more:
        out.note(f"There are more: --after {commits.next}")


def _touched(touched: Sequence[Touched], restores: int | None = None) -> str:
    """What a commit did, in a line."""
    words = [f"as at {restores}:"] if restores is not None else []
    for each in touched:
        what = f"-{each.name}" if each.size is None else each.name
        words.append(f"{what} (over {each.overwrote}, unseen)" if each.overwrote is not None else what)
    return " ".join(words)


def _diff(out: Output, found: MemoryDiff) -> None:
    for block in found.blocks:
        out.text(f"{SIGNS[block.mark]} {block.name}")
        out.patch(block.text.split("\n"))
        if block.cut:
            out.text(f"({block.cut} characters more)")


def _lines(out: Output, lines: Page[LineView]) -> None:
    rows = [(each.commit, each.run_id, each.step, _when(each.created_at), each.text) for each in lines.data]
    out.table(("commit", "run", "step", "when", "line"), rows)


def _short(value: msgspec.Raw) -> str:
    return short(json_text(bytes(value)), SHOWN)


def _when(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"

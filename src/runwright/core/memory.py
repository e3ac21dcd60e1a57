"""Memory: named blocks of agents and threads, of which each change is a commit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

Scope = Literal["agent", "thread"]
"""Whose memory: that of the agent in all its runs, or that of the thread."""

Action = Literal["set", "append", "delete"]

BLOCK_BYTES = 64 * 1024
"""Bytes of JSON in one block at the most."""

OWNER_BYTES = 1024 * 1024
"""Bytes of JSON in all blocks of one owner together."""

BLOCKS = 256
"""Blocks of one owner."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Change(msgspec.Struct, frozen=True, gc=False):
    """What becomes of one block. `value` is JSON text: the whole value of a `set`, the text that is appended."""

    name: str
    action: Action
    value: bytes = b"null"


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a memory step is asked for. `recall` gives several `blocks` at once, as pairs of scope and name."""

    do: Literal["get", "list", "recall", "set", "append", "delete"]
    scope: Scope = "agent"
    name: str = ""
    value: object = None
    blocks: tuple[tuple[Scope, str], ...] = ()


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A commit to be made. `seq` is the event of the run that tells of it; nobody's run writes over the API.

    `base` is the position of the event at which the run began to see memory, where that is not its own start.
    """

    owner: str
    changes: tuple[Change, ...]
    created_at: datetime
    run_id: str | None = None
    step: int | None = None
    seq: int = 0
    base: int | None = None
    restores: int | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A block as a commit left it; `value` is JSON text, None where the block was deleted.

    `commit` is None for what a replay repeats: that was written by another run, or never.
    """

    name: str
    value: bytes | None
    commit: int | None
    run_id: str | None = None
    step: int | None = None
    created_at: datetime | None = None


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """A block that a commit changed: its size in bytes after it, None where it was deleted.

    `overwrote` is the commit of another writer that was replaced and that the run had not seen.
    """

    name: str
    size: int | None
    overwrote: int | None = None


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """One change of an owner's memory. Numbers count from 1, so the parent of a commit is the number before it.

    `position` orders it among the events of the store; `restores` is the commit whose content came back.
    """

    owner: str
    number: int
    position: int
    created_at: datetime
    run_id: str | None = None
    step: int | None = None
    restores: int | None = None
    touched: tuple[Touched, ...] = ()


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who has memory: `agent:NAME` or `thread:ID`, the newest commit, and what stands there now."""

    owner: str
    commit: int
    blocks: int
    size: int


class CommitFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which commits to list, newest first; `before` is a number of the owner's."""

    owner: str | None = None
    name: str | None = None
    run_id: str | None = None
    before: int | None = None
    limit: int = 100


def owned_by(scope: Scope, name: str) -> str:
    """The owner of memory: the name of an agent or the id of a thread, after its kind."""
    return f"{scope}:{name}"


def value_after(held: bytes | None, change: Change) -> bytes | None:
    """What a block holds after a change; None when it is not there.

    To append is to add a line to the text that stands there; where no text stands, it begins one.
    """
    match change.action:
        case "set":
            return change.value
        case "delete":
            return None
        case "append":
            before = _text(held)
            between = "\n" if before and not before.endswith("\n") else ""
            return msgspec.json.encode(f"{before}{between}{_text(change.value)}")


def _text(value: bytes | None) -> str:
    return msgspec.json.decode(value, type=str) if value is not None and is_text(value) else ""


def is_text(value: bytes) -> bool:
    """Whether JSON text is a string."""
    return value[:1] == b'"'


def misfit(held: Mapping[str, bytes], change: Change) -> str:
    """Why a change cannot be made to these blocks, with what would be right; empty when it can."""
    name = change.name
    if NAME.fullmatch(name) is None:
        return f"The name of a block has up to 64 letters, digits, '.', '_' and '-', not {name!r}."
    value = value_after(held.get(name), change)
    if value is None:
        return ""
    if value == b"null":
        return f"Nothing, null, is no value of a block: delete {name!r} instead."
    if len(value) > BLOCK_BYTES:
        return f"The block {name!r} would have {len(value):,} bytes; {BLOCK_BYTES:,} is the most: shorten it."
    others = [len(other) for each, other in held.items() if each != name]
    if len(others) >= BLOCKS:
        return f"There are {BLOCKS} blocks already, which is the most: delete some."
    total = sum(others) + len(value)
    if total > OWNER_BYTES:
        return f"All blocks together would have {total:,} bytes; {OWNER_BYTES:,} is the most: delete or shorten some."
    return ""

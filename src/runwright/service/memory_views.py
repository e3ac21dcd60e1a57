"""The shapes of memory that callers see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from runwright.core.labels import Number
from runwright.core.memory import Action, Touched


class BlockView(msgspec.Struct, frozen=True, kw_only=True):
    """A block as callers see it, and who left it so: the commit, and its run and step unless it came over the API.

    Seen through a replay, what that repeats has no commit.
    """

    owner: str
    name: str
    object: Literal["memory.block"] = "memory.block"
    value: msgspec.Raw
    size: int
    commit: int | None
    run_id: str | None = None
    step: int | None = None
    created_at: datetime | None = None


class CommitView(msgspec.Struct, frozen=True, kw_only=True):
    """A commit as callers see it: what it changed, and the run and step that made it unless it came over the API."""

    owner: str
    number: int
    object: Literal["memory.commit"] = "memory.commit"
    parent: int | None
    run_id: str | None
    step: int | None
    restores: int | None
    created_at: datetime
    touched: Sequence[Touched]


class BlockDiff(msgspec.Struct, frozen=True, kw_only=True):
    """A block that differs, with a unified diff; `cut` counts the characters that were left out of it."""

    name: str
    mark: Literal["added", "changed", "deleted"]
    text: str
    cut: int = 0


class MemoryDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How memory differs from `left` to `right`, which are named as they were asked for."""

    owner: str
    left: str
    right: str
    blocks: Sequence[BlockDiff]


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a block, and who wrote it."""

    text: str
    commit: int | None
    run_id: str | None = None
    step: int | None = None
    created_at: datetime | None = None


class MemoryRead(msgspec.Struct, frozen=True, kw_only=True):
    """What a step read: the value of a block, null where there was none, or without a name the names of all."""

    step: int
    owner: str
    name: str
    value: msgspec.Raw


class MemoryWrite(msgspec.Struct, frozen=True, kw_only=True):
    """What a step wrote. A replay repeats what the step `taped` of the replayed run wrote, and makes no commit.

    `overwrote` is the commit of another writer that was replaced and that the run had not seen.
    """

    step: int
    owner: str
    name: str
    action: Action
    value: msgspec.Raw
    commit: int | None
    overwrote: int | None = None
    taped: int | None = None


class RunMemoryView(msgspec.Struct, frozen=True, kw_only=True):
    """What a run read and wrote. What tools read is part of their results and not told apart."""

    run_id: str
    object: Literal["run.memory"] = "run.memory"
    reads: Sequence[MemoryRead]
    writes: Sequence[MemoryWrite]


class BlockBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A block to write: any JSON but null.

    With `expect`, only if that commit left the block as it is; 0 if there is none.
    """

    value: msgspec.Raw
    expect: Number | None = None


class RestoreBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The commit whose content is to stand again, of one block or of all."""

    commit: Number
    name: str | None = None

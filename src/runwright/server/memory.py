"""Memory over HTTP."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from runwright.core.labels import LARGEST
from runwright.core.memory import Owner
from runwright.server.reference import documented
from runwright.server.runs import Limit
from runwright.server.wire import Answer, body_of, served
from runwright.service.memory_views import (
    BlockBody,
    BlockView,
    CommitView,
    LineView,
    MemoryDiff,
    RestoreBody,
    RunMemoryView,
)
from runwright.service.views import Page

router = APIRouter(prefix="/api/v1", tags=["memory"])

_block_body = msgspec.json.Decoder(BlockBody)
_restore_body = msgspec.json.Decoder(RestoreBody)

Number = Annotated[int | None, Query(ge=0, le=LARGEST)]


@router.get("/memory", **documented(Page[Owner]))
async def list_memory(request: Request, *, after: str | None = None, limit: Limit = 50) -> Response:
    """Who has memory: `agent:NAME` and `thread:ID`, by name."""
    return Answer(await served(request).memory.owners(after=after, limit=limit))


@router.get("/memory/{owner}/blocks", **documented(Page[BlockView]))
async def list_blocks(request: Request, owner: str, *, at: str | None = None) -> Response:
    """All blocks, now or `at` a commit, as a run began with them (`run_ID`) or after its step (`run_ID:STEP`)."""
    return Answer(await served(request).memory.blocks(owner, at=at))


@router.get("/memory/{owner}/blocks/{name}", **documented(BlockView))
async def get_block(request: Request, owner: str, name: str, *, at: str | None = None) -> Response:
    """One block, now or `at` a place in the history."""
    return Answer(await served(request).memory.block(owner, name, at=at))


@router.put("/memory/{owner}/blocks/{name}", **documented(BlockView, body=BlockBody))
async def put_block(request: Request, owner: str, name: str) -> Response:
    """Write a block: a commit that is no run's."""
    return Answer(await served(request).memory.put(owner, name, await body_of(request, _block_body)))


@router.delete("/memory/{owner}/blocks/{name}", **documented(None, status=204))
async def delete_block(request: Request, owner: str, name: str, *, expect: Number = None) -> Response:
    """Take a block away; its history stays."""
    await served(request).memory.delete(owner, name, expect=expect)
    return Response(status_code=204)


@router.get("/memory/{owner}/blocks/{name}/blame", **documented(Page[LineView]))
async def blame_block(request: Request, owner: str, name: str, *, at: Number = None) -> Response:
    """The lines of a block with the commit, run and step that wrote each."""
    return Answer(await served(request).memory.blame(owner, name, at=at))


@router.get("/memory/{owner}/commits", **documented(Page[CommitView]))
async def list_commits(
    request: Request, owner: str, *, name: str | None = None, after: Number = None, limit: Limit = 50
) -> Response:
    """Commits, newest first, of one block if named."""
    return Answer(await served(request).memory.commits(owner, name=name, after=after, limit=limit))


@router.get("/memory/{owner}/diff", **documented(MemoryDiff))
async def diff_memory(request: Request, owner: str, *, left: str, right: str | None = None) -> Response:
    """How memory differs between two places in its history, by default until now."""
    return Answer(await served(request).memory.diff(owner, left, right))


@router.post("/memory/{owner}/restore", **documented(CommitView, body=RestoreBody))
async def restore_memory(request: Request, owner: str) -> Response:
    """Make a commit whose content is that of an old one, of one block or of all."""
    return Answer(await served(request).memory.restore(owner, await body_of(request, _restore_body)))


@router.get("/runs/{run}/memory", **documented(RunMemoryView))
async def get_run_memory(request: Request, run: str) -> Response:
    """What a run read from memory and wrote there."""
    return Answer(await served(request).memory.of_run(run))

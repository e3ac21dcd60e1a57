"""Replays one run, here or on a server, and gives the verdict."""

from __future__ import annotations

import asyncio

from runwright.cli.access import Access
from runwright.core.run import RunRequest
from runwright.service.replays import Verdict, judge
from runwright.service.views import RunView


async def replayed(access: Access, request: RunRequest) -> tuple[Verdict, RunView]:
    """Replay one run until it is over or waits. Cancels the replay when it is interrupted."""
    assert request.replay is not None
    handle = await access.runs.create(request)
    try:
        view = await handle.wait()
    except asyncio.CancelledError:
        await access.runs.cancel(handle.run_id, reason="interrupted")
        raise
    return await verdict_on(access, view), view


async def verdict_on(access: Access, view: RunView) -> Verdict:
    """What came of a replay that is over or waits."""
    diff = await access.diffs.between(view.replay_of or "", view.id)
    events = [event async for group in access.runs.events(view.id) for event in group] if view.ended_at else []
    return judge(view, diff, events)

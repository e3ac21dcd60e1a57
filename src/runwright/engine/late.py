"""Calls whose outcome counts even when nobody waits for it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from runwright.errors import NotSent, ToolFailed

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Late:
    """A call that is not aborted when its caller gives up: its outcome is handed over when it comes.

    It may be made again only if it raised NotSent; until then it counts as not entered.
    """

    def __init__(
        self, attempt: Callable[[], Awaitable[bytes]], *, spawn: Spawn, on_late: Callable[[bytes], None]
    ) -> None:
        self._attempt = attempt
        self._spawn = spawn
        self._on_late = on_late
        self._is_given_up = False
        self.is_entered = False

    async def run(self) -> bytes:
        """Make the call. Cancelling this leaves the call at work, and its result for `on_late`."""
        outcome: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._spawn(self._finish(outcome))
        try:
            return await outcome
        except asyncio.CancelledError:
            self._is_given_up = True
            raise

    async def _finish(self, outcome: asyncio.Future[bytes]) -> None:
        if self._is_given_up:
            return
        self.is_entered = True
        try:
            result = await self._attempt()
        except asyncio.CancelledError:
            if not outcome.done():
                outcome.set_exception(ToolFailed("the call was cancelled from within"))
            raise
        except NotSent as error:
            self.is_entered = False
            if not outcome.done():
                outcome.set_exception(error)
            return
        # A tool is anybody's code; its caller gets what it raised.
        except (Exception, SystemExit) as error:  # noqa: BLE001 - handed to the caller, or too late to matter
            if not outcome.done():
                outcome.set_exception(error)
            return
        if self._is_given_up:
            self._on_late(result)
        elif not outcome.done():
            outcome.set_result(result)


def is_cancelled() -> bool:
    """Whether somebody cancelled this task; else a cancellation comes from the tool's own code."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

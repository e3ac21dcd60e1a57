"""The drain: an engine begins no more runs, and lets those at work finish or leaves them to the next start."""

from __future__ import annotations

import asyncio
import logging

from runwright.engine.drive import Driver
from runwright.engine.scheduler import Scheduler
from runwright.engine.tend import Tender

_logger = logging.getLogger("runwright.engine")


class Drain:
    """The drain of one engine. It is never taken back: the process starts again."""

    tasks: asyncio.TaskGroup

    def __init__(self, driver: Driver, tender: Tender, scheduler: Scheduler) -> None:
        self._driver = driver
        self._tender = tender
        self._scheduler = scheduler
        self.is_begun = False
        self.is_over = False
        self._is_told = False
        self.left = 0
        """Runs at work that were left as they are, for the next start."""

    def begin(self, timeout_s: float) -> None:
        """Begin to drain; one that has begun goes on as it is."""
        if not self.is_begun:
            self.is_begun = self._is_told = True
            self.tasks.create_task(self.finish(timeout_s))

    async def finish(self, timeout_s: float) -> None:
        """Drain, and return when nothing is at work any more. The shortest of several time-outs holds."""
        self.is_begun = True
        # Of an end without work there is nothing to tell.
        self._is_told = not self.is_over and (self._is_told or self._driver.executing > 0)
        if self._is_told:
            _logger.info("draining: %d runs are at work, for %.0f s at the most", self._driver.executing, timeout_s)
        await self._scheduler.stop()
        await self._tender.stop()
        self.left += await self._driver.rest(timeout_s)
        self.is_over = True
        if self._is_told:
            self._is_told = False
            _logger.info("drained: %d runs were left for the next start", self.left)

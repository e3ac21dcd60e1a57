"""The threads of an event loop: code that waits in one for the loop takes none from what the loop itself needs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

is_parking: ContextVar[bool] = ContextVar("runwright_is_parking", default=False)
"""Whether what is done in threads here may hold them until steps of a run are done."""


class ParkingExecutor(ThreadPoolExecutor):
    """The default executor of a loop, which closes it. What may park has as many threads of its own as it asks for.

    A step may need a thread too, to read the store: were they bounded together, those who wait could hold them all.
    """

    def __init__(self) -> None:
        super().__init__(thread_name_prefix="asyncio")
        self._parked = ThreadPoolExecutor(sys.maxsize, thread_name_prefix="parked")

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have something done in a thread."""
        return (self._parked.submit if is_parking.get() else super().submit)(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more."""
        self._parked.shutdown(wait, cancel_futures=cancel_futures)
        super().shutdown(wait, cancel_futures=cancel_futures)

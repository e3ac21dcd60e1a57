"""Threads of a loop, and those of code that waits in one."""

from __future__ import annotations

from contextvars import copy_context
from threading import Barrier

from runwright.core.parking import ParkingExecutor, is_parking


def test_what_parks_has_threads_of_its_own() -> None:
    """Far more than the loop's threads wait at once, and what the loop has to do goes on beside them."""
    together = Barrier(101)

    def parking() -> None:
        is_parking.set(True)
        waiting.extend(threads.submit(together.wait, 50) for _ in range(100))

    waiting: list[object] = []
    with ParkingExecutor() as threads:
        copy_context().run(parking)
        assert threads.submit(together.wait, 50).result() in range(101)

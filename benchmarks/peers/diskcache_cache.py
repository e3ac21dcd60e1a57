"""diskcache: values of 4 KB, one process, and two that write at once."""

import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

from diskcache import Cache

from peers import faults

VALUE = 4096


def _sets(folder: str, calls: int, seed: int) -> list[float]:
    took: list[float] = []
    with Cache(folder) as cache:
        for index in range(calls):
            value = os.urandom(VALUE)
            begun = time.perf_counter()
            cache.set(f"{seed}-{index}", value, expire=3600)
            took.append((time.perf_counter() - begun) * 1e6)
    return took


def sets(calls: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        return faults.spread(_sets(folder, calls, 0))


def gets(calls: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        _sets(folder, calls, 0)
        took: list[float] = []
        with Cache(folder) as cache:
            for index in range(calls):
                begun = time.perf_counter()
                assert cache.get(f"0-{index}") is not None
                took.append((time.perf_counter() - begun) * 1e6)
        return faults.spread(took)


def two_processes(calls: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(2) as pool:
        Cache(folder).close()
        both = [pool.submit(_sets, folder, calls, seed) for seed in (1, 2)]
        return faults.spread([took for one in both for took in one.result()])

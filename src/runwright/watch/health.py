"""What this process uses: memory, processor time, age."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

import msgspec

STATUS = Path("/proc/self/statm")
KIB = 1024


class ProcessHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Memory in bytes, processor time and age in seconds."""

    pid: int
    memory_bytes: int
    peak_memory_bytes: int
    cpu_s: float
    uptime_s: float
    open_files: int | None = None


class Health:
    """Measures the process it lives in. `uptime_s` counts from its creation."""

    def __init__(self) -> None:
        self._born = time.monotonic()

    def measure(self) -> ProcessHealth:
        """The present values."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        # Linux counts in KiB, macOS in bytes.
        peak = used.ru_maxrss if sys.platform == "darwin" else used.ru_maxrss * KIB
        return ProcessHealth(
            pid=os.getpid(),
            memory_bytes=_resident() or peak,
            peak_memory_bytes=peak,
            cpu_s=round(used.ru_utime + used.ru_stime, 3),
            uptime_s=round(time.monotonic() - self._born, 3),
            open_files=_open_files(),
        )


def _resident() -> int | None:
    try:
        pages = int(STATUS.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * resource.getpagesize()


def _open_files() -> int | None:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return None

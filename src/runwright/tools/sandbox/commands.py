"""Commands of package tools, within limits of time and size."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from runwright.core.sandbox import MIB
from runwright.errors import ConfigError

LOOK_EVERY_S: Final = 0.1
MEASURE_EVERY: Final = 10
"""Every so many looks the size of the folder is taken."""


class Finished(msgspec.Struct, frozen=True):
    """How a command ended and what it said."""

    code: int
    stdout: bytes
    stderr: str


class Limits:
    """Until when work may go on, how much it may write, and whether anybody still wants it."""

    def __init__(self, *, timeout_s: float, largest: int, stop: threading.Event) -> None:
        self._until = time.monotonic() + timeout_s
        self._timeout_s = timeout_s
        self._largest = largest
        self._stop = stop

    def check(self) -> None:
        """Raise ConfigError when the time is over, InterruptedError when nobody waits."""
        if self._stop.is_set():
            raise InterruptedError("nobody waits for the packages any more")
        if time.monotonic() > self._until:
            raise ConfigError(f"The packages could not be installed within {self._timeout_s:g} seconds.")

    def measure(self, folder: Path) -> None:
        """Raise ConfigError when a folder is too large."""
        if folder_size(folder) > self._largest:
            raise ConfigError(f"The packages take more than {self._largest // MIB:,} MiB, which is the limit.")


def run(command: Sequence[str], limits: Limits, *, watched: Path | None = None, cwd: Path | None = None) -> Finished:
    """Run a command; all that it started ends with it. Blocks. Raises what the limits raise."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, cwd=cwd, start_new_session=True
        )
        try:
            _wait(process, limits, watched)
        finally:
            # What the command started may outlive it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        stdout.seek(0)
        stderr.seek(0)
        return Finished(process.returncode, stdout.read(), stderr.read().decode(errors="replace"))


def _wait(process: subprocess.Popen[bytes], limits: Limits, watched: Path | None) -> None:
    looks = 0
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_EVERY_S)
            return
        limits.check()
        looks += 1
        if watched is not None and looks % MEASURE_EVERY == 0:
            limits.measure(watched)


def folder_size(folder: Path) -> int:
    """The bytes of all files in a folder."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            # It is being installed into.
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total

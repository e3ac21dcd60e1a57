"""Folders for a moment, each held by its process: what one that was killed has left, the next one removes.

Whether it is gone is told by its locks, which end with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import fcntl

PREFIX: Final = "runwright-box-"


@contextlib.contextmanager
def box() -> Generator[Path]:
    """A folder that is there until this ends. Blocks."""
    folder, held = _held()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def _held() -> tuple[Path, int | None]:
    """A folder with its lock, where the system has such locks."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            held = _lock(folder, is_waiting=True)
        except FileNotFoundError:
            continue
        except OSError:
            # A file system without locks, where nobody can take it for one that was left either.
            return folder, None
        if held is None or _is_same(folder, held):
            return folder, held
        # Who looked for folders that were left had its lock first.
        os.close(held)


def clear() -> None:
    """Remove the folders of processes that are gone. Blocks."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # Those of other users, and those that are held, stay.
        with contextlib.suppress(OSError):
            held = _lock(folder, is_waiting=False)
            if held is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)


def _lock(folder: Path, *, is_waiting: bool) -> int | None:
    """A descriptor that holds a folder. Raises OSError where somebody else does."""
    if sys.platform == "win32":
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if is_waiting else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _is_same(folder: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False

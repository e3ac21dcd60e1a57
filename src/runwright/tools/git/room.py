"""How much room the copies of a folder take together: what was not read for longest goes first."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

from filelock import FileLock, Timeout

from runwright.errors import ToolFailed

IDLE_S: Final = 300.0
"""Seconds after which nobody reads a copy any more: a call takes a few commands of half a minute each."""

GONE: Final = ".gone"


def note_use(path: Path) -> None:
    """Say that a copy is read now."""
    with contextlib.suppress(FileNotFoundError):
        (path / "used").touch()


def make_room(path: Path, *, total: int) -> None:
    """Take away copies beside one that is to be fetched, until all of them are smaller than `total` bytes.

    Raises ToolFailed where those that are in use are not.
    """
    for left in path.parent.glob(f"*{GONE}"):
        # A process died while it took it away.
        shutil.rmtree(left, ignore_errors=True)
    copies = {each: size(each) for each in path.parent.glob("*.git")}
    taken = sum(copies.values())
    now = time.time()
    for used, each in sorted((_used_at(each), each) for each in copies if each != path):
        if taken < total or now - used < IDLE_S:
            break
        if _take_away(each, used=used):
            taken -= copies[each]
    if taken >= total:
        told = f"Copies of repositories that are in use take {taken:,} bytes of {total:,}"
        raise ToolFailed(f"{told}: try again in some minutes, or raise the setting repositories.total.")


def _take_away(path: Path, *, used: float) -> bool:
    """Delete a copy, unless somebody fetches it now, or read it later than was seen."""
    lock = FileLock(f"{path}.lock", timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        return False
    # Another process may still delete one that was here before.
    gone = path.with_name(f"{path.name}.{uuid4().hex}{GONE}")
    try:
        if _used_at(path) > used:
            return False
        path.rename(gone)
    except FileNotFoundError:
        # Another process took it away.
        return True
    finally:
        lock.release()
    shutil.rmtree(gone, ignore_errors=True)
    return True


def size(path: Path) -> int:
    """The bytes of a copy: those of its objects, beside which all else is small."""
    return sum(_sizes(path / "objects"))


def _sizes(folder: Path) -> Iterator[int]:
    # Files come and go while git is at work.
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            yield from _sizes(Path(entry.path)) if entry.is_dir(follow_symlinks=False) else _own_size(entry)


def _own_size(entry: os.DirEntry[str]) -> Iterator[int]:
    with contextlib.suppress(FileNotFoundError):
        yield entry.stat(follow_symlinks=False).st_size


def _used_at(path: Path) -> float:
    for each in (path / "used", path):
        with contextlib.suppress(FileNotFoundError):
            return each.stat().st_mtime
    return 0.0

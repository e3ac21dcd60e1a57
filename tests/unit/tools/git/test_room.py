"""Several processes make room in the same folder."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from runwright.tools.git import room
from runwright.tools.git.room import GONE, make_room, note_use


def _copy(folder: Path, name: str) -> Path:
    """A copy that nobody read for long."""
    path = folder / f"{name}.git"
    (path / "objects").mkdir(parents=True)
    (path / "objects" / "x").write_bytes(bytes(1000))
    (path / "used").touch()
    os.utime(path / "used", (1, 1))
    return path


def _is_first(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Have another process act just before this one has a lock."""

    def locked(path: str, *, timeout: float, mode: int) -> FileLock:
        act()
        return FileLock(path, timeout=timeout, mode=mode)

    monkeypatch.setattr(room, "FileLock", locked)


def test_a_copy_that_is_gone_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that another process took away is room as well."""
    copy = _copy(tmp_path, "a")
    _is_first(monkeypatch, lambda: copy.rename(tmp_path / "b"))
    make_room(tmp_path / "other.git", total=500)
    assert not copy.exists()


def test_a_copy_that_is_being_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process still deletes of an earlier copy is not in the way."""
    copy = _copy(tmp_path, "a")
    _is_first(monkeypatch, lambda: (tmp_path / f"a.git{GONE}" / "objects").mkdir(parents=True))
    make_room(tmp_path / "other.git", total=500)
    assert not copy.exists()


def test_a_copy_that_is_read_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is read before its lock is there stays, and one that was read later than it makes room."""
    first, second = _copy(tmp_path, "a"), _copy(tmp_path, "b")
    os.utime(second / "used", (2, 2))
    _is_first(monkeypatch, lambda: note_use(first))
    make_room(tmp_path / "other.git", total=1500)
    assert (first.exists(), second.exists()) == (True, False)

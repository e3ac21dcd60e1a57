"""Who is alive, as lock files tell."""

from __future__ import annotations

from pathlib import Path

from runwright.engine.owner import Owner


def test_an_owner_is_gone_when_its_lock_can_be_taken(tmp_path: Path) -> None:
    """A process holds its lock for as long as it lives; what is left of it is removed by whoever finds it."""
    one, other = Owner(tmp_path), Owner(tmp_path)
    one.acquire()
    assert not other.is_gone(one.boot)
    one.release()
    assert other.is_gone(one.boot)
    (tmp_path / "boot_killed.lock").touch()
    assert other.is_gone("boot_killed")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_looked_at_is_not_gone(tmp_path: Path) -> None:
    """An error of the operating system says nothing about the owner."""
    (tmp_path / "boot_odd.lock").mkdir()
    assert not Owner(tmp_path).is_gone("boot_odd")


def test_without_a_directory_all_others_are_gone() -> None:
    """A store in memory has one process at a time."""
    owner = Owner(None)
    assert owner.is_gone(None)
    assert owner.is_gone("boot_other")
    assert not owner.is_gone(owner.boot)

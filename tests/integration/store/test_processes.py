"""Two processes on one database, and disks that fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runwright.errors import OwnershipLost, StorageFull, StorageReadOnly
from runwright.store import open_stores
from tests.unit.store.rows import event, more, new, run

ADOPT = """
import sys
from runwright.store import open_stores
stores = open_stores(sys.argv[1])
adopted = stores.runs.adopt(sys.argv[2], epoch=0, owner=sys.argv[3])
print("adopted" if adopted else "lost")
stores.close()
"""

APPEND = """
import sys
from runwright.store import open_stores
from tests.unit.store.rows import event, new, run
stores = open_stores(sys.argv[1])
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 100):
    made = run(number)
    assert stores.writes.append([new(made, event(made, 1), event(made, 2))]) == [None]
stores.close()
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process with that code."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    root = Path(__file__).parents[3]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)


def test_one_of_two_processes_adopts(tmp_path: Path) -> None:
    """Of two processes that adopt a run one gets it, and its former owner cannot write any more."""
    path = tmp_path / "runwright.db"
    stores = open_stores(path)
    stores.writes.append([new(run(status="running"))])
    rivals = [start(ADOPT, path, run().id, owner) for owner in ("boot_a", "boot_b")]
    assert sorted(rival.communicate(timeout=30)[0].strip() for rival in rivals) == ["adopted", "lost"]
    [outcome] = stores.writes.append([more(run(), event(run(), 5))])
    assert isinstance(outcome, OwnershipLost)
    assert list(stores.runs.events(run().id)) == []
    stores.close()


def test_two_processes_append_at_once(tmp_path: Path) -> None:
    """Nothing is lost when two processes write, and positions are given once."""
    path = tmp_path / "runwright.db"
    stores = open_stores(path)
    writers = [start(APPEND, path, first) for first in (1000, 2000)]
    for writer in writers:
        writer.communicate(timeout=30)
    assert [writer.returncode for writer in writers] == [0, 0]
    with stores.database.read() as connection:
        counts = "SELECT count(*), count(DISTINCT position) FROM events"
        assert tuple(connection.exec_driver_sql(counts).one()) == (400, 400)
    stores.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB; skipped where this user may not mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    if _mount("-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)):
        pytest.skip("mounting a disk needs root; tests/unit/store/test_database.py limits the pages instead")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def _mount(*arguments: str) -> int:
    try:
        return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode
    except FileNotFoundError:
        return 1


def test_a_full_disk(disk: Path) -> None:
    """On a full disk appends and probes say so, all that was acknowledged is there, and with room they go on."""
    stores = open_stores(disk / "runwright.db")
    written = 0

    def fill() -> None:
        nonlocal written
        while written < 100:
            body = os.urandom(100_000)
            made = run(written)
            assert stores.writes.append([new(made, event(made, 1, body=body))]) == [None]
            written += 1

    with pytest.raises(StorageFull, match="full"):
        fill()
    with pytest.raises(StorageFull):
        stores.writes.probe()
    assert [len(stores.runs.events(run(number).id)) for number in range(written)] == [1] * written
    assert _mount("-o", "remount,size=20m", str(disk)) == 0
    stores.writes.probe()
    assert stores.writes.append([new(run(written))]) == [None]
    stores.close()


def test_a_disk_that_is_mounted_read_only(disk: Path) -> None:
    """A data directory on a read-only disk is refused with its path and what to do."""
    assert _mount("-o", "remount,ro", str(disk)) == 0
    with pytest.raises(StorageReadOnly, match=r"disk' cannot be written.*--data"):
        open_stores(disk / "runwright.db")
    with pytest.raises(StorageReadOnly, match=r"new' cannot be made.*--data"):
        open_stores(disk / "new" / "runwright.db")

"""Servers that are stopped, disks that are full, and data directories that cannot be used."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.crash.harness import AGENTS, TEST_S, WAIT_S
from tests.crash.stage import Stage

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]

NOBODY = 65534
CONFIG = 3
"""The exit code of a configuration that cannot work."""


async def test_stopped_and_finished(stage: Stage) -> None:
    """A server that gets SIGTERM lets its run come to its end, and tells it to those who watch."""
    stage.provider.traps[2, "half"] = stage.sends(signal.SIGTERM)
    stage.provider.is_patient = True
    await stage.start()
    await stage.begin()
    assert await stage.server.ended() == 0, stage.server.log()
    await stage.start()
    await stage.check()


async def test_stopped_and_continued(stage: Stage) -> None:
    """A run that takes longer than the server waits goes on at the next start; that is no crash of its own."""
    point = "SIGTERM in received 2"
    stage.provider.traps[2, "received"] = stage.sends(signal.SIGTERM)
    await stage.start(RUNWRIGHT_DRAIN_S="0.1")
    await stage.begin()
    await stage.died(point)
    await stage.goes_on()
    await stage.check()


@pytest.fixture
def small_disk(stage: Stage) -> Iterator[Path]:
    """A file system of 4 MiB under the data directory."""
    if os.getuid() != 0:
        pytest.skip("only root can mount a small file system")
    stage.data.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", stage.data], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let root mount a file system")
    yield stage.data
    subprocess.run(["umount", "--lazy", stage.data], check=True)


@pytest.mark.parametrize("place", [0, 1, 3])
async def test_full_disk(stage: Stage, small_disk: Path, place: int) -> None:
    """A disk that is full in mid-run gives a clear error and loses nothing; with room again the run goes on alone."""
    point = f"the disk full in model call {place}"
    ballast = small_disk / "ballast"

    async def fill() -> None:
        stage.provider.is_patient = True
        stage.unstored += 1
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1024))
            except OSError:
                return

    await stage.start()
    stage.provider.traps[place, "received"] = fill
    await stage.begin()
    assert stage.errors == ["storage_full"], f"{point}: the stream ended with {stage.errors}"
    code, problem = await stage.refused("agents/loop/runs", {"input": "more"})
    assert (code, problem["code"]) == (507, "storage_full"), f"{point}: {code} {problem}"
    assert "space" in problem["detail"], f"{point}: {problem}"
    ballast.unlink()
    await stage.watch()
    assert stage.seen[-1].type == "run.completed", f"{point}: {stage.seen[-1]}"
    await stage.check()


def _serve(stage: Stage, *, user: int | None = None) -> subprocess.CompletedProcess[str]:
    command = [*stage.server.COMMAND, "serve", str(AGENTS), "--data", str(stage.data), "--port", "0"]
    environment = stage.server.environment()
    return subprocess.run(
        command, env=environment, user=user, capture_output=True, text=True, timeout=WAIT_S, check=False
    )


async def test_read_only_directory(stage: Stage, tmp_path: Path) -> None:
    """A server on a data directory that it cannot write says so, and what to do."""
    stage.data.mkdir(mode=0o555)
    user = NOBODY if os.getuid() == 0 else None
    # Somebody else cannot reach a directory of root's own: there the data directory is one that others see.
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(folder.stat().st_mode | 0o055)
    try:
        ended = _serve(stage, user=user)
    except PermissionError:
        pytest.skip("another user cannot run this environment's Python")
    if "Permission denied" in ended.stderr and "data" not in ended.stderr:
        pytest.skip("another user cannot read this environment's files")
    assert ended.returncode == CONFIG, ended.stderr
    assert str(stage.data) in ended.stderr and "--data" in ended.stderr, ended.stderr


async def test_second_server(stage: Stage) -> None:
    """A second server on a data directory is refused, and the first one goes on."""
    await stage.start()
    ended = _serve(stage)
    assert ended.returncode == CONFIG, ended.stderr
    assert "Another server" in ended.stderr and "--data" in ended.stderr, ended.stderr
    await stage.begin()
    await stage.check()


async def test_newer_database(stage: Stage) -> None:
    """A database of a newer release is refused with what to do, and is left as it is."""
    await stage.start()
    await stage.begin()
    await stage.stop()
    with closing(sqlite3.connect(stage.data / "runwright.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    kept = stage.folder / "kept.db"
    shutil.copy(stage.data / "runwright.db", kept)
    ended = _serve(stage)
    assert ended.returncode == CONFIG, ended.stderr
    assert "'9999'" in ended.stderr and "upgrade Runwright" in ended.stderr, ended.stderr
    assert kept.read_bytes() == (stage.data / "runwright.db").read_bytes()

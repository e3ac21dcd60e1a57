"""Folders of guests, and of package tools, go with the process that made them."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from runwright.tools.sandbox.boxes import PREFIX, box, clear

HOLD = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from runwright.tools.sandbox.boxes import box
with box() as folder:
    (folder / "code.ts").touch()
    print(folder, flush=True)
    input()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where such folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_process_left_is_removed(folder: Path) -> None:
    """A folder stays while its process lives, and the next one to look removes it when that was killed."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        clear()
        assert (held / "code.ts").is_file()
        process.kill()
    clear()
    assert not held.exists()


def test_a_folder_in_use_stays(folder: Path) -> None:
    """One that this process uses is not taken for one that was left, and is gone after its use."""
    with box() as mine:
        clear()
        assert mine.is_dir()
    assert list(folder.iterdir()) == []


def test_what_is_no_folder_of_ours_stays(folder: Path) -> None:
    """Links and files of such a name are left alone, and so is what has another name."""
    (folder / "other").mkdir()
    (folder / f"{PREFIX}link").symlink_to(folder / "other")
    (folder / f"{PREFIX}file").touch()
    clear()
    assert sorted(each.name for each in folder.iterdir()) == ["other", f"{PREFIX}file", f"{PREFIX}link"]

"""What happens to files is told in groups, whatever way an editor saves them."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from runwright.cli.watching import Changes, watching

WAIT_S = 30


def _is_source(path: Path) -> bool:
    return path.suffix == ".py"


async def test_a_file_that_is_written_is_told(tmp_path: Path) -> None:
    """A file below a watched folder is told when it is written, others are not."""
    (tmp_path / "deep").mkdir()
    async with watching([tmp_path], _is_source) as changes:
        await asyncio.to_thread((tmp_path / "notes.txt").write_text, "not a source")
        await asyncio.to_thread((tmp_path / "deep" / "a.py").write_text, "x = 1")
        assert await asyncio.wait_for(changes.group(), WAIT_S) == {tmp_path / "deep" / "a.py"}


async def test_a_file_that_is_saved_by_a_rename_is_told(tmp_path: Path) -> None:
    """A watched file stays watched though an editor puts another one in its place, twice; its neighbours are not."""
    file, beside = tmp_path / "a.py", tmp_path / "b.py"
    await asyncio.to_thread(file.write_text, "x = 1")
    async with watching([file], _is_source) as changes:
        for text in ("x = 2", "x = 3"):
            await asyncio.to_thread(beside.write_text, text)
            await asyncio.to_thread(os.replace, beside, file)
            assert await asyncio.wait_for(changes.group(), WAIT_S) == {file}


async def test_a_file_that_is_removed_is_told(tmp_path: Path) -> None:
    """An agent whose file is gone is gone, so that the file is told."""
    file = tmp_path / "a.py"
    await asyncio.to_thread(file.write_text, "x = 1")
    async with watching([tmp_path], _is_source) as changes:
        await asyncio.to_thread(file.unlink)
        assert await asyncio.wait_for(changes.group(), WAIT_S) == {file}


async def test_files_that_are_named_are_told(tmp_path: Path) -> None:
    """A file elsewhere is told once it is named, whatever it is called; what stands beside it is not."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    code = outside / "code.js"
    for folder in (inside, outside):
        await asyncio.to_thread(folder.mkdir)
    async with watching([inside], _is_source) as changes:
        await asyncio.to_thread(changes.also, [code])
        await asyncio.to_thread((outside / "a.py").write_text, "x = 1")
        await asyncio.to_thread(code.write_text, "1")
        assert await asyncio.wait_for(changes.group(), WAIT_S) == {code}


async def test_a_folder_that_is_missing_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be watched ends nothing, and is watched from the next time on that it can be."""
    gone = tmp_path / "gone"
    code = gone / "code.js"
    inside = tmp_path / "in"
    await asyncio.to_thread(inside.mkdir)
    async with watching([inside], _is_source, also=[code]) as changes:
        await asyncio.to_thread(changes.also, [code])
        assert [record.getMessage().partition(" are ")[0] for record in caplog.records] == [f"changes in {gone}"]
        await asyncio.to_thread(gone.mkdir)
        await asyncio.to_thread(changes.also, [code])
        await asyncio.to_thread(code.write_text, "1")
        assert await asyncio.wait_for(changes.group(), WAIT_S) == {code}


@pytest.mark.parametrize("is_moved", [False, True], ids=["deleted", "moved"])
async def test_a_folder_that_is_made_again_is_watched(tmp_path: Path, is_moved: bool) -> None:
    """A folder of agents that is deleted or moved away, with what stands above it, is seen when it is there again."""
    above = tmp_path / "above"
    folder, file = above / "agents", above / "agents" / "a.py"
    await asyncio.to_thread(folder.mkdir, parents=True)
    async with watching([folder], _is_source) as changes:
        await asyncio.to_thread(file.write_text, "x = 1")
        await told(changes, file)
        if is_moved:
            await asyncio.to_thread(above.rename, tmp_path / "away")
        else:
            await asyncio.to_thread(shutil.rmtree, above)
        await told(changes, folder)
        await asyncio.to_thread(folder.mkdir, parents=True)
        await told(changes, folder)
        await asyncio.to_thread(file.write_text, "x = 2")
        await told(changes, file)


async def told(changes: Changes, path: Path) -> None:
    """Wait until a path is told."""
    async with asyncio.timeout(WAIT_S):
        while path not in await changes.group():
            pass

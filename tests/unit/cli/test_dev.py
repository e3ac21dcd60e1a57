"""`runwright dev`: how edited files are read."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from runwright.app import App, AppOptions
from runwright.cli.dev import ATTEMPTS, follow, is_source, read
from runwright.cli.watching import watching
from runwright.settings import Settings
from tests.unit.cli.fakes import FakeCall

WAIT_S = 30
IN_MEMORY = AppOptions(is_in_memory=True)


class Written(App):
    """An app whose file is written while it is read, so many times."""

    def __init__(self, file: Path, *, times: int) -> None:
        super().__init__(Settings(), sources=[file.parent], options=IN_MEMORY)
        self.file = file
        self.left = times
        self.read = 0

    def discover(self):  # noqa: ANN201 - as the App's
        """Read, and have the file written."""
        found = super().discover()
        self.read += 1
        if self.left:
            self.left -= 1
            self.file.write_text(f"- name: a\n- name: b{self.read}\n")
        return found


def test_a_file_that_is_written_meanwhile_is_read_again(tmp_path: Path) -> None:
    """What is read while a file is written is read again, so that no agent goes away for a moment; within a bound."""
    file = tmp_path / "a.yaml"
    file.write_text("- name: a\n")
    app = Written(file, times=2)
    assert [each.name for each in read(app, {file}).agents] == ["a", "b2"]
    assert app.read == 3
    endless = Written(file, times=100)
    assert read(endless, {file}).agents
    assert endless.read == ATTEMPTS + 1
    gone = tmp_path / "gone.yaml"
    assert next(each.name for each in read(Written(file, times=0), {gone}).agents) == "a"


@asynccontextmanager
async def followed(folder: Path) -> AsyncGenerator[tuple[App, FakeCall]]:
    """An app that takes up changes of a folder, and what is told of them."""
    call = FakeCall()
    made = await asyncio.to_thread(lambda: App(Settings(data=folder.parent), sources=[folder], options=IN_MEMORY))
    async with (
        made as app,
        watching([folder], is_source, also=made.files) as changes,
    ):
        following = asyncio.create_task(follow(changes, app, call))
        yield app, call
        following.cancel()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something."""
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 - another thread tells what happens to files
            await asyncio.sleep(0.01)


async def test_a_file_that_is_empty_for_a_moment(tmp_path: Path) -> None:
    """An editor empties a file before it writes it: until then the agents of before are served."""
    file = tmp_path / "agents" / "a.yaml"
    await write(file, "name: before\n")
    async with followed(file.parent) as (app, call):
        await write(file, "")
        await until(lambda: "a.yaml is empty, so the last good version serves on" in call.noted)
        assert app.registry.entry("before")
        await write(file, "name: after\n")
        await until(lambda: "agents: after" in call.noted)


async def test_a_file_that_is_gone_for_a_moment(tmp_path: Path) -> None:
    """An editor takes a file away and puts another one there: nobody is told that there is no agent meanwhile."""
    file = tmp_path / "agents" / "a.yaml"
    await write(file, "name: before\n")
    await write(file.with_name("b.yaml"), "name: other\n")
    async with followed(file.parent) as (app, call):
        await asyncio.to_thread(file.unlink)
        await write(file, "name: after\n")
        await until(lambda: "after" in call.noted)
        told = [line for line in call.noted.splitlines() if "agents: " in line]
        assert all("after" in line for line in told)
        await asyncio.to_thread(file.unlink)
        await until(lambda: "agents: other" in call.noted)
        assert [entry.agent.name for entry in app.registry.all()] == ["other"]


async def test_a_folder_that_is_made_again(tmp_path: Path) -> None:
    """A folder of agents may be deleted and made again, as by a change of branch: its new agents are served."""
    file = tmp_path / "agents" / "a.yaml"
    await write(file, "name: before\n")
    async with followed(file.parent) as (_, call):
        await asyncio.to_thread(shutil.rmtree, file.parent)
        await until(lambda: "last good version serves on" in call.noted)
        await write(file, "name: after\n")
        await until(lambda: "agents: after" in call.noted)
        await write(file, "name: again\n")
        await until(lambda: "agents: again" in call.noted)


async def test_code_that_a_definition_names_is_live(tmp_path: Path) -> None:
    """Who edits the file of a custom agent has the new code served, wherever it stands."""
    file, code = tmp_path / "agents" / "a.yaml", tmp_path / "code" / "it.py"
    await write(code, "def main():\n    return 1\n")
    await write(file, "name: it\ntemplate: custom\nconfig: {language: python, file: ../code/it.py}\n")
    async with followed(file.parent) as (app, call):
        before = app.registry.entry("it").agent.fingerprint
        await write(code, "def main():\n    return 2\n")
        await until(lambda: "it.py changed; agents: it" in call.noted)
        assert app.registry.entry("it").agent.fingerprint != before


async def write(file: Path, text: str) -> None:
    """Write a file, with its folder."""

    def put() -> None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    await asyncio.to_thread(put)

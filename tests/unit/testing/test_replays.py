"""A recorded run as a test: it passes while the agent does the same, and says where it does not."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from runwright import Agent, App, tool
from runwright.app import AppOptions
from runwright.core.ports import RunFilter
from runwright.errors import Conflict, InvalidRequest, StorageVersion
from runwright.journal.export import FORMAT, VERSION, Bundle, read_bundle, write_bundle
from runwright.settings import Settings
from runwright.testing import assert_replays

pytestmark = pytest.mark.anyio

MEMORY = AppOptions(is_in_memory=True, is_offline=True)


@tool(effect="read")
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def agent(instructions: str = "Add.") -> Agent:
    """An agent with one tool."""
    return Agent("adder", model="demo", instructions=instructions, tools=[add])


async def opened() -> App:
    """Runwright in memory, with the agent."""
    return await asyncio.to_thread(lambda: App(Settings(metrics=False), agents=[agent()], options=MEMORY))


async def recorded(*, thread: bool = False) -> bytes:
    """A run of it as a file; with a thread, the second one of a conversation."""
    async with await opened() as app:
        view = await app.run("adder", "add 1 and 2", thread_id="talk" if thread else None)
        if thread:
            view = await app.run("adder", "and add 3 and 4", thread_id="talk")
        assert view.status == "completed", view.error
        return await app.exports.export(view.id)


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    path = tmp_path / "adder.run"
    path.write_bytes(asyncio.run(recorded()))
    return path


def test_the_same_agent_replays(file: Path) -> None:
    """The agent that was recorded passes."""
    assert_replays(file, agents=[agent()])


def test_an_edited_agent_does_not(file: Path) -> None:
    """The failure names the file, shows the difference and says what to do."""
    with pytest.raises(AssertionError) as failure:
        assert_replays(file, agents=[agent("Multiply.")])
    lines = str(failure.value).splitlines()
    assert lines[0] == f"{file} does not replay: diverged."
    assert {"-  Add.", "+  Multiply."} <= set(lines)
    assert lines[-1].endswith("pytest --runwright-update")


def test_a_conversation_replays(tmp_path: Path) -> None:
    """A run that went on from an earlier one brings that along."""
    file = tmp_path / "talk.run"
    raw = asyncio.run(recorded(thread=True))
    assert len(read_bundle(raw).runs) == 2
    file.write_bytes(raw)
    assert_replays(file, agents=[agent()])


def test_an_agent_that_is_gone(file: Path) -> None:
    """Without the agent, the failure says so."""
    with pytest.raises(AssertionError, match="cannot be replayed: there is no agent 'adder'"):
        assert_replays(file)


def _edited(raw: bytes) -> bytes:
    return gzip.compress(gzip.decompress(raw).replace(b"add 1 and 2", b"add 1 and 3", 1))


def _flipped(raw: bytes) -> bytes:
    return raw[:60] + bytes([raw[60] ^ 1]) + raw[61:]


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda raw: raw[:-20], "cut off"),
    "text": (lambda raw: b"hello", "not compressed"),
    "empty": (lambda raw: b"", "cut off"),
    "other content": (lambda raw: gzip.compress(b"hello"), "does not begin"),
    "edited": (_edited, "hash"),
    "a bit flipped": (_flipped, "damaged|hash"),
}


@pytest.mark.parametrize("name", DAMAGE)
async def test_damaged_files(name: str) -> None:
    """A file that is not as it was written is refused with the reason."""
    damage, told = DAMAGE[name]
    with pytest.raises(InvalidRequest, match=told):
        read_bundle(damage(await recorded()))


async def test_a_file_of_a_later_release() -> None:
    """A file of a later format says that this release is too old for it."""
    raw = await recorded()
    said = f'"format":"{FORMAT}","version":{VERSION}'.encode()
    newer = gzip.decompress(raw).replace(said, said[:-1] + b"99", 1)
    with pytest.raises(StorageVersion, match=r"format 99.*upgrade"):
        read_bundle(gzip.compress(newer))


async def test_no_run_inside() -> None:
    """A file with a right hash and nothing in it is refused."""
    with pytest.raises(InvalidRequest, match="holds no run"):
        read_bundle(write_bundle(Bundle(runs=()), release="1"))


async def test_import_is_repeatable_and_refuses_another_run_of_the_same_id() -> None:
    """A file may be taken in twice; a run that is another one under the same id is not overwritten."""
    raw = await recorded()
    bundle = read_bundle(raw)
    async with await opened() as app:
        first = await app.exports.import_file(raw)
        assert await app.exports.import_file(raw) == first
        assert await app.exports.export(first.id) == raw
        (only,) = bundle.runs
        other = Bundle(runs=(type(only)(run=only.run, events=only.events[:-1]),))
        with pytest.raises(Conflict, match="another run"):
            await app.exports.import_file(write_bundle(other, release="1"))


async def test_events_that_do_not_follow() -> None:
    """A file whose events do not follow from each other is refused, and nothing of it is stored."""
    (only,) = read_bundle(await recorded()).runs
    broken = Bundle(runs=(type(only)(run=only.run, events=only.events[3:]),))
    async with await opened() as app:
        with pytest.raises(InvalidRequest, match="do not follow"):
            await app.exports.import_file(write_bundle(broken, release="1"))
        assert not (await app.runs.find(RunFilter())).data


@tool(effect="read")
async def order_status(order: int) -> str:
    """Say where an order is."""
    return f"Order {order} left the warehouse."


@pytest.mark.parametrize("history", [{}, {"history": {"messages": 40, "summary": {}}}], ids=["whole", "limited"])
def test_a_recording_of_loop_1_replays(history: dict[str, object]) -> None:
    """A run of a thread that an earlier build recorded, without limits of its history, is sent the same today.

    Limits that it does not come to change nothing in what is asked.
    """
    support = Agent(
        "support",
        model="demo",
        instructions="Answer briefly.",
        tools=[order_status],
        memory=[{"name": "profile"}],
        config=history,
    )
    assert_replays(Path(__file__).parent / "recorded" / "loop_1.run", agents=[support])

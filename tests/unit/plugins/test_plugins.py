"""Code of others."""

import asyncio
import sys
from pathlib import Path

import pytest

from runwright.app import App, AppOptions
from runwright.errors import AgentError, ConfigError, ToolFailed
from runwright.plugins import awaited, guarded, load_reference, readers
from runwright.settings import Settings


def test_reference() -> None:
    """A reference leads to an attribute, or one inside it."""
    assert load_reference("json:decoder.JSONDecoder").__class__ is type


def test_reference_beside_a_file() -> None:
    """A reference that begins with a dot leads into the package of the file."""
    assert load_reference(".decoder:JSONDecoder", "json") is load_reference("json:decoder.JSONDecoder")


@pytest.mark.parametrize("reference", ["json", ":x", "json:", "json:no", "no_such_module:x", ".decoder:JSONDecoder"])
def test_wrong_reference(reference: str) -> None:
    """A reference that leads nowhere is a configuration error."""
    with pytest.raises(ConfigError):
        load_reference(reference)


def test_guarded() -> None:
    """Whatever foreign code raises becomes a ConfigError with the line, if it lies below the place."""
    with pytest.raises(ConfigError) as caught:
        guarded(__file__, _broken)
    ((place, detail),) = caught.value.problems
    assert place.startswith(f"{__file__}:")
    assert detail == "ZeroDivisionError: division by zero"
    with pytest.raises(ConfigError) as caught:
        guarded("entry point x", _broken)
    assert caught.value.problems[0][0] == "entry point x"


@pytest.mark.anyio
@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit("mine"), ToolFailed("mine")])
async def test_awaited(error: BaseException) -> None:
    """Whatever foreign code raises while it is awaited is an AgentError, but for errors of Runwright."""

    async def fails() -> None:
        raise error

    with pytest.raises((AgentError, ToolFailed), match="mine") as caught:
        await awaited(fails())
    assert (caught.value is error) == isinstance(error, ToolFailed)


def _broken() -> float:
    return 1 / 0


READER = """
class Ends:
    seen = []

    def record(self, run, events):
        self.seen += [(run.agent, event.type) for event in events if event.is_terminal]
"""


def installed(folder: Path, points: str) -> None:
    """A package that is installed in a folder."""
    (folder / "acme-1.0.dist-info").mkdir()
    (folder / "acme-1.0.dist-info" / "METADATA").write_text("Name: acme\nVersion: 1.0\n")
    (folder / "acme-1.0.dist-info" / "entry_points.txt").write_text(f"[runwright.readers]\n{points}\n")
    (folder / "acme_readers.py").write_text(READER)


def test_a_reader_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that a package offers is told of the events of every run."""
    installed(tmp_path, "ends = acme_readers:Ends")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    app = App(Settings(model="demo"), options=AppOptions(is_in_memory=True, is_offline=True))

    async def work() -> None:
        async with app:
            await app.agents.create({"name": "a", "model": "demo"})
            await app.run("a", "hi")

    asyncio.run(work())
    assert load_reference("acme_readers:Ends.seen") == [("a", "run.completed")]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("acme_readers:Gone", "has no attribute 'Gone'"),
        ("acme_readers:READ", "has no attribute 'READ'"),
        ("acme_readers:Ends.seen", "is not callable"),
        ("builtins:dict", "is no reader of events"),
    ],
)
def test_what_is_no_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, told: str) -> None:
    """What gives no reader of events is an error that names the entry point."""
    installed(tmp_path, f"ends = {value}")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ConfigError, match=told) as caught:
        readers()
    assert caught.value.problems[0][0].startswith(f"entry point ends ({value})")

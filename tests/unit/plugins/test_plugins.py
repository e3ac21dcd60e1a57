"""Code of others."""

import asyncio
import sys
from pathlib import Path

import pytest

from runwright import Agent, Context, Guard, tool
from runwright.app import App, AppOptions
from runwright.core.policy import Plugin
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.errors import AgentError, ConfigError, InvalidRequest, ToolFailed
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


GUARD = """\
from runwright.errors import GuardError

class Words:
    def __init__(self, words):
        self.words = [word + "" for word in words]

    async def __call__(self, call, proceed):
        for word in self.words:
            if word in str(call.content):
                raise GuardError(f"{word} is not told to {call.target}")
        return await proceed(call)
"""


def test_a_guard_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A definition names it, its refusals are in the record, a model hears those of tools, a replay repeats them."""
    (tmp_path / "acme-1.0.dist-info").mkdir()
    (tmp_path / "acme-1.0.dist-info" / "METADATA").write_text("Name: acme\nVersion: 1.0\n")
    points = "[runwright.guards]\nwords = acme_guards:Words\n"
    (tmp_path / "acme-1.0.dist-info" / "entry_points.txt").write_text(points)
    (tmp_path / "acme_guards.py").write_text(GUARD)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    @tool
    async def shout(text: str) -> str:
        """Say it louder."""
        return text.upper()

    async def asks(text: str, context: Context) -> str:
        try:
            return str(await context.tool("shout", text=text))
        except ToolFailed as error:
            return error.message

    named = Guard(plugins=Plugin(name="words", config={"words": ["secret"]}))
    agents = (Agent("a", model="demo", guard=named), Agent("b", run=asks, tools=[shout], guard=named))
    options = AppOptions(is_in_memory=True, is_offline=True)
    app = App(Settings(model="demo"), agents=agents, options=options)

    async def work() -> None:
        async with app:
            assert (await app.run("a", "hello")).status == "completed"
            refused = await app.run("a", "the secret")
            assert refused.error is not None
            assert (refused.error.code, refused.error.message) == ("guard_refused", "secret is not told to demo")
            (step,) = (await app.runs.steps(refused.id)).data
            decisions = [(each.layer, each.action, each.reason) for each in step.decisions]
            assert decisions == [("plugin", "refused", f"words: {refused.error.message}")]
            told = await app.run("b", "a secret")
            assert b"secret is not told to shout" in bytes(told.output)
            again = await (await app.runs.create(RunRequest(agent="", input=b"", replay=Replay(of=told.id)))).wait()
            assert (again.status, bytes(again.output)) == ("completed", bytes(told.output))
            with pytest.raises(InvalidRequest) as caught:
                await app.agents.create({"name": "c", "model": "demo", "guard": {"plugins": [{"name": "gone"}]}})
            told_of = "there is no guard 'gone' of a package; known: words"
            assert caught.value.problems == (("/guard/plugins/0", told_of),)
            config = {"guard": {"plugins": [{"name": "words", "config": {"words": [7]}}]}}
            with pytest.raises(InvalidRequest, match="TypeError: unsupported") as caught:
                await app.run("a", "hi", config=config)
            assert [place for place, _ in caught.value.problems] == ["/config/guard/plugins/0"]

    asyncio.run(work())

"""`runwright templates`."""

import json
from pathlib import Path

import pytest

from runwright.app import DATABASE
from runwright.cli import templates
from runwright.cli.call import Options
from runwright.cli.failures import Exit
from runwright.service.migrations import Asking, MigrationView
from runwright.service.views import Page
from runwright.store import open_stores
from tests.unit.cli.fakes import FakeAccess, FakeCall
from tests.unit.service.test_migrations import stored

TEMPLATES = '''
from pydantic import BaseModel, ConfigDict
from runwright import Agent, Loop, Template
from runwright.agents.input import read_messages


class Report(Template):
    """Writes reports."""

    name = "report"
    version = "2.0.0"
    migrations = {"2.0.0": lambda config: {"lines": config.pop("length"), **config}}

    class Config(BaseModel):
        model_config = ConfigDict(extra="forbid")
        lines: int

    def build(self, config, context):
        return Loop(model="demo", read_input=read_messages)


in_python = Agent("in-python", template="report", config={"length": 3})
'''
WEEKLY = "# For the board.\nname: weekly\ntemplate: report@^1\nconfig:\n  length: 5  # lines\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with definitions of before, one of them stored."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "agents" / "report.py").write_text(TEMPLATES)
    (tmp_path / "agents" / "weekly.yaml").write_text(WEEKLY)
    stores = open_stores(tmp_path / "data" / DATABASE)
    stores.agents.put(stored("made", "report", length=1))
    stores.close()
    return tmp_path


def a_call(folder: Path, *, is_json: bool = False) -> FakeCall:
    """A call on the folder."""
    return FakeCall(options=Options(data=folder / "data", agents=folder / "agents"), is_json=is_json)


def states(call: FakeCall) -> dict[str, str]:
    """The state of every definition."""
    return {each["agent"]: each["state"] for each in json.loads(call.printed)["data"]}


async def test_definitions_are_moved(folder: Path) -> None:
    """`check` says what is behind, `migrate` shows the change, `--write` changes files and what is stored."""
    call = a_call(folder)
    with pytest.raises(Exit) as ended:
        await templates.check(call=call)
    assert ended.value.code == 3
    assert "weekly.yaml:3: template: no version of template 'report' fits '^1'" in call.noted
    call = a_call(folder)
    await templates.migrate(call=call)
    file = folder / "agents" / "weekly.yaml"
    assert file.read_text() == WEEKLY
    assert (
        "-template: report@^1\n+template: report@^2.0.0\n config:\n-  length: 5  # lines\n+  lines: 5  # lines"
        in call.printed
    )
    assert "Nothing is changed yet" in call.noted
    call = a_call(folder)
    await templates.migrate(write=True, call=call)
    assert "in-python stands in Python" in call.noted
    assert "made is moved to 2.0.0 as its next version by the steps to 2.0.0." in call.noted
    assert file.read_text() == WEEKLY.replace("^1", "^2.0.0").replace("length", "lines")
    assert [path.name for path in (folder / "agents").iterdir() if path.suffix == ".part"] == []
    call = a_call(folder, is_json=True)
    with pytest.raises(Exit):
        await templates.check(call=call)
    assert states(call) == {"in-python": "unfit", "weekly": "current", "made": "current"}


class FakeMigrations:
    """A server whose one definition stands in a file of its own."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Asking]] = []
        self.view = MigrationView(
            agent="far",
            template="report@^1",
            source="file",
            place="f.yaml",
            state="behind",
            newest="2.0.0",
            can_move=True,
        )

    async def list(self, asking: Asking = Asking()) -> Page[MigrationView]:  # noqa: B008 - frozen
        """Note it."""
        self.asked.append(("list", asking))
        return Page(data=[self.view])

    async def perform(self, asking: Asking = Asking()) -> Page[MigrationView]:  # noqa: B008 - frozen
        """Note it."""
        self.asked.append(("perform", asking))
        return Page(data=[self.view])


async def test_a_server_moves_what_is_its_own() -> None:
    """With --server the server is asked, and files of its own are named to whoever can change them."""
    fake = FakeMigrations()
    call = FakeCall(FakeAccess(migrations=fake), options=Options(server="http://localhost:1"))
    await templates.migrate("far", since="1.0.0", write=True, call=call)
    assert fake.asked == [("perform", Asking(agents=("far",), since="1.0.0"))]
    assert "far stands in a file of the server: change it there, in f.yaml." in call.noted

"""Commands that need no run: init, config, doctor, agents check."""

import os
import socket
from pathlib import Path

import msgspec
import pytest

from runwright.agents.registry import Registry
from runwright.app import DATABASE
from runwright.cli import agents, config, doctor
from runwright.cli.call import Options
from runwright.cli.init import FILES, init
from runwright.core.agent import Definition
from runwright.core.ports import AgentRecord
from runwright.errors import ConfigError, Conflict
from runwright.service.agents import Agents
from runwright.store import open_stores
from runwright.testing import FakeClock
from tests.unit.cli.fakes import FakeAccess, FakeCall
from tests.unit.service.test_agents import MemoryAgentStore


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_project_is_written(folder: Path) -> None:
    """`init` writes its files and names them on stdout."""
    call = FakeCall()
    init(folder / "new", call=call)
    assert [(folder / "new" / name).is_file() for name in FILES] == [True] * len(FILES)
    assert call.printed.splitlines() == [str(folder / "new" / name) for name in FILES]


def test_nothing_is_overwritten(folder: Path) -> None:
    """A folder that holds one of the files is refused by the file's name, and stays as it is."""
    (folder / "runwright.toml").write_text("mine")
    with pytest.raises(Conflict, match=r"runwright\.toml"):
        init(folder, call=FakeCall())
    assert [path.name for path in folder.iterdir()] == ["runwright.toml"]
    assert (folder / "runwright.toml").read_text() == "mine"


def test_a_new_project_fits(folder: Path) -> None:
    """What `init` writes passes `config check` and `agents check`."""
    init(folder, call=FakeCall())
    call = FakeCall(is_json=True)
    config.check(call=call)
    assert msgspec.json.decode(call.printed) == {"ok": True, "agents": ["helper", "writer"]}
    call = FakeCall()
    agents.check(call=call)
    assert call.printed == "ok: helper, writer\n"


def test_broken_prices_are_named(folder: Path) -> None:
    """`config check` reads the file of prices in the data directory, as a start does."""
    (folder / "prices").mkdir()
    (folder / "prices" / "prices.toml").write_text("[[price]]\nmodels = 5\n")
    with pytest.raises(ConfigError, match="prices cannot be read"):
        config.check(call=FakeCall(options=Options(data=folder / "prices")))


def test_a_broken_definition_is_named(folder: Path) -> None:
    """`agents check` says which line of which file is wrong and what would be right."""
    (folder / "mine").mkdir()
    (folder / "mine" / "bad.yaml").write_text("name: bad\ninstrctions: x\n")
    with pytest.raises(ConfigError, match=r"bad\.yaml:2.*did you mean 'instructions'"):
        agents.check(folder / "mine", call=FakeCall())


def test_a_fallback_that_is_no_model_is_named(folder: Path) -> None:
    """`agents check` says which line of which file falls back on a provider that does not exist."""
    (folder / "mine").mkdir()
    text = "name: bad\nguard:\n  fallback:\n    models: [demo, 'opnai:x']\n"
    (folder / "mine" / "bad.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml:4.*there is no provider 'opnai'"):
        agents.check(folder / "mine", call=FakeCall())


def test_an_agent_that_is_not_there_is_named(folder: Path) -> None:
    """`agents check` says which line names an agent that is neither in the files nor made over the API."""
    (folder / "mine").mkdir()
    (folder / "mine" / "c.yaml").write_text("name: c\ntemplate: chain\nconfig:\n  steps: [{agent: made}]\n")
    call = FakeCall(options=Options(data=folder / "data"))
    with pytest.raises(ConfigError, match=r"c\.yaml:4: config\.steps\[0\]\.agent: there is no agent 'made'"):
        agents.check(folder / "mine", call=call)
    (folder / "data").mkdir()
    stores = open_stores(folder / "data" / DATABASE)
    made = AgentRecord(
        name="made",
        version="1.0.0",
        definition=Definition(name="made"),
        fingerprint="f",
        source="api",
        created_at=FakeClock().now(),
    )
    stores.agents.put(made)
    stores.close()
    agents.check(folder / "mine", call=call)
    assert "ok: c" in call.printed


def test_settings_are_shown_with_their_origin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`config show --origin` names source and variable of each value; secrets are hidden."""
    (folder / "runwright.toml").write_text('port = 9000\n[secrets]\nmail = "s3cret"\n')
    monkeypatch.setenv("RUNWRIGHT_API_KEY", "s3cret")
    call = FakeCall(options=Options(data=Path("d")))
    config.show(origin=True, call=call)
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in call.printed.splitlines()}
    assert rows["data"] == ["d", "flag", "RUNWRIGHT_DATA"]
    assert rows["port"] == ["9000", "runwright.toml", "RUNWRIGHT_PORT"]
    assert rows["api_key"] == ["********", "environment", "RUNWRIGHT_API_KEY"]
    assert rows["secrets.mail"] == ["********", "runwright.toml", "RUNWRIGHT_SECRET_MAIL"]
    assert "s3cret" not in call.printed


def test_settings_are_json_on_demand() -> None:
    """With --json each setting is an object; what is not set is null."""
    call = FakeCall(is_json=True)
    config.show(call=call)
    values = {value["name"]: value["value"] for value in msgspec.json.decode(call.printed)["data"]}
    assert (values["port"], values["metrics"], values["model"]) == ("8321", "true", None)


def test_a_flag_of_the_command_beats_a_flag_of_all() -> None:
    """A PATH argument wins over --agents, and one that is left out does not."""
    call = FakeCall(options=Options(agents=Path("everywhere")))
    assert call.settings(agents=Path("here")).agents == Path("here")
    assert call.settings(agents=None).agents == Path("everywhere")


def test_the_doctor_knows_old_software() -> None:
    """An old Python or SQLite is a problem with something to do."""
    assert doctor.python_check((3, 10, 0)).status == "problem"
    assert doctor.python_check((3, 14, 0)).status == "ok"
    assert doctor.sqlite_check((3, 20, 0)).todo
    assert doctor.sqlite_check((3, 45, 1)).status == "ok"


def test_the_doctor_looks_at_the_data_directory(folder: Path) -> None:
    """A directory that can be made is fine; a place inside a file is a problem."""
    assert doctor.data_check(folder / "a" / "b").status == "ok"
    (folder / "file").write_text("")
    assert doctor.data_check(folder / "file" / "data").status == "problem"
    assert doctor.disk_check(folder / "a").detail.endswith("MiB free")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_the_doctor_sees_a_directory_that_cannot_be_written(folder: Path) -> None:
    """A read-only directory is a problem."""
    (folder / "ro").mkdir(mode=0o500)
    assert doctor.data_check(folder / "ro" / "data").status == "problem"


def test_the_doctor_looks_at_the_port() -> None:
    """A port that is taken is worth a note that names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        check = doctor.port_check("127.0.0.1", port)
    assert (check.status, str(port) in check.detail) == ("note", True)
    assert doctor.port_check("127.0.0.1", 0).status == "ok"


async def test_where_nothing_is_defined_the_list_says_how_to_begin() -> None:
    """An empty list of agents tells on stderr where definitions come from."""
    call = FakeCall(FakeAccess(agents=Agents(Registry(), MemoryAgentStore(), FakeClock())))
    await agents.ls(call=call)
    assert "runwright init" in call.noted
    assert "runwright init" not in call.printed

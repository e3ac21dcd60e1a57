"""A model that reads a git repository, and cites files and lines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from runwright import Agent
from runwright.agents.base import Origin
from runwright.agents.discover import Discovery
from runwright.agents.registry import Registry
from runwright.core.agent import Loop
from runwright.core.message import ToolMessage
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.errors import ConfigError, InvalidRequest
from runwright.service.views import RunView, StepView
from runwright.store import Stores, open_stores
from runwright.testing import Answer, ScriptedModel, calls
from runwright.tools.git import Repositories
from tests.unit.engine.harness import HeldModel, HeldTool, Process, started, until
from tests.unit.tools.git.making import Origin as Made

pytestmark = pytest.mark.anyio

READ = calls(("read", {"path": "src/app.py"}))
CITED = "It greets [src/app.py:2], see [src/app.py:9] and `gone.py:1`."


@pytest.fixture
def site(tmp_path: Path) -> Made:
    """A repository to ask about."""
    made = Made(tmp_path / "site")
    made.commit("Begin", src__app_dot_py="import os\nprint('Hello')\n", README_dot_md="# Site\n")
    return made


@pytest.fixture
def stores() -> Iterator[Stores]:
    """Stores that outlive a process of the test."""
    found = open_stores(":memory:")
    yield found
    found.close()


def asker(repository: object = None, **config: Any) -> Agent:
    """An agent that reads a repository."""
    given = {"repository": str(repository), **config} if repository is not None else config
    return Agent("asker", template="repository", model="test:scripted", config=given)


def registered(tmp_path: Path, *agents: Agent, allow: tuple[str, ...] = ()) -> Registry:
    """The registry of a process whose copies stand in a folder."""
    registry = Registry(repositories=Repositories(tmp_path / "copies", allow=allow))
    registry.replace(Discovery(agents=tuple(each.declare() for each in agents)))
    return registry


@asynccontextmanager
async def running(registry: Registry, model: ScriptedModel, **parts: Any) -> AsyncGenerator[Process]:
    """A process with these agents."""
    async with started(*(entry.agent for entry in registry.all()), model=model, **parts) as process:
        yield process


async def asked(
    registry: Registry, *answers: Answer, input: object = "What does it do?"
) -> tuple[RunView, Any, ScriptedModel]:
    """A run, its output, and the model that it asked."""
    model = ScriptedModel(*answers)
    async with running(registry, model) as process:
        view = await process.run(input, agent="asker")
    return view, msgspec.json.decode(bytes(view.output)) if view.output else None, model


async def test_an_answer_names_what_was_read(tmp_path: Path, site: Made) -> None:
    """The output has the answer, the commit, and each cited place: what stands there, or why it is none."""
    commit = site.git("rev-parse", "HEAD")
    view, output, model = await asked(registered(tmp_path, asker(site.path)), READ, CITED)
    assert view.status == "completed"
    assert output == {
        "answer": CITED,
        "repository": str(site.path),
        "commit": commit,
        "citations": [
            {"path": "src/app.py", "line": 2, "last": 2, "text": "print('Hello')", "problem": None},
            {"path": "src/app.py", "line": 9, "last": 9, "text": None, "problem": "The file has 2 lines."},
            {
                "path": "gone.py",
                "line": 1,
                "last": 1,
                "text": None,
                "problem": f"There is no gone.py at commit {commit[:10]}: look with `tree` or `search`.",
            },
        ],
    }
    told = model.requests[0].messages[0].message
    assert f"repository {site.path}, as it was at commit {commit[:10]}" in str(told.content)
    assert "README.md (7 bytes)" in str(told.content)
    result = model.requests[1].messages[-1].message
    assert isinstance(result, ToolMessage)
    assert result.content == "src/app.py, lines 1-2 of 2\n1: import os\n2: print('Hello')"


async def test_each_step_says_what_it_read(tmp_path: Path, site: Made) -> None:
    """Opening, reading and looking up citations are recorded with repository and commit; the model names neither."""
    registry = registered(tmp_path, asker(site.path))
    model = ScriptedModel(READ, CITED)
    async with running(registry, model) as process:
        view = await process.run(agent="asker")
        steps = await process.steps(view.id)
    bound = {"repository": str(site.path), "commit": site.git("rev-parse", "HEAD")}
    assert [(step.kind, step.name) for step in steps] == [
        ("tool", "open_repository"),
        ("model", "test:scripted"),
        ("tool", "read"),
        ("model", "test:scripted"),
        ("tool", "check_citations"),
    ]
    assert _request(steps[2]) == {"path": "src/app.py", **bound}
    assert _request(steps[4]) == {"answer": CITED, **bound}
    assert [tool.name for tool in model.requests[0].tools] == ["tree", "read", "search", "log", "blame", "diff"]
    assert all(b'"repository"' not in msgspec.json.encode(tool.parameters) for tool in model.requests[0].tools)


def _request(step: StepView) -> Any:
    return msgspec.json.decode(bytes(step.request))


async def test_a_run_reads_one_commit(tmp_path: Path, site: Made, stores: Stores) -> None:
    """A process dies in the middle; the branch moves; who goes on, or replays it, reads what the run began with."""
    first = site.git("rev-parse", "HEAD")
    registry, boots = registered(tmp_path, asker(site.path)), tmp_path / "boots"
    model = HeldModel()
    async with running(registry, model, stores=stores, boots=boots) as process:
        run = (await process.create(agent="asker")).run_id
        await model.is_entered.wait()
        await until(lambda: bool(process.gate.commits) and process.journal.depth == 0)
        await process.crash()
    site.commit("Change", src__app_dot_py="changed\n")
    async with running(registry, ScriptedModel(READ, CITED), stores=stores, boots=boots) as process:
        view = await process.settled(run, "completed")
        steps = await process.steps(run)
        replayed = await process.runs.create(RunRequest(agent="", input=b"", replay=Replay(of=run)))
        again = await replayed.wait()
        replays = await process.steps(again.id)
    assert msgspec.json.decode(bytes(view.output))["commit"] == first
    assert [step.name for step in steps].count("open_repository") == 1
    assert b"Hello" in bytes(steps[2].result)
    assert (again.status, bytes(again.output)) == ("completed", bytes(view.output))
    assert [step.key for step in replays] == [step.key for step in steps]


async def test_an_opening_in_flight_begins_again(tmp_path: Path, site: Made, stores: Stores) -> None:
    """A process that dies while it opens leaves nothing that hinders the next one."""
    registry, boots = registered(tmp_path, asker(site.path)), tmp_path / "boots"
    flow = registry.get("asker").flow
    assert isinstance(flow, Loop)
    assert flow.opening is not None
    held = HeldTool("open_repository")
    stuck = replace(registry.get("asker"), flow=replace(flow, opening=replace(flow.opening, tool=held)))
    async with started(stuck, model=ScriptedModel(), stores=stores, boots=boots) as process:
        run = (await process.create(agent="asker")).run_id
        await held.is_entered.wait()
        await until(lambda: bool(process.gate.commits) and process.journal.depth == 0)
        await process.crash()
    async with running(registry, ScriptedModel(READ, CITED), stores=stores, boots=boots) as process:
        view = await process.settled(run, "completed")
        steps = await process.steps(run)
    assert msgspec.json.decode(bytes(view.output))["commit"] == site.git("rev-parse", "HEAD")
    assert [(step.name, step.attempt) for step in steps][:2] == [("open_repository", 2), ("test:scripted", 1)]


async def test_a_copy_that_is_gone_is_fetched_again(tmp_path: Path, site: Made) -> None:
    """A tool on another machine, or after the folder was cleared, reads the same commit."""
    repositories = Repositories(tmp_path / "copies")
    place, _ = await repositories.place(str(site.path), [str(site.path)])
    wanted = repositories.known(place.text, depth=None, token="")
    first = await repositories.clones.commit(wanted, None, refresh_s=0)
    site.commit("Change", src__app_dot_py="changed\n")
    elsewhere = Repositories(tmp_path / "others")
    reading = await elsewhere.reading(wanted, first, own=[place.text])
    assert "Hello" in await reading.read("src/app.py")


async def test_what_is_demanded_is_asked_for_again(tmp_path: Path, site: Made) -> None:
    """With required citations a wrong one, or none, goes back to the model with the reason."""
    registry = registered(tmp_path, asker(site.path, citations="required"))
    good = "It greets [src/app.py:2]."
    view, output, model = await asked(registry, "It greets.", "It greets [src/app.py:9].", good)
    assert (view.status, output["answer"], len(output["citations"])) == ("completed", good, 1)
    reasons = [str(request.messages[-1].message.content) for request in model.requests[1:]]
    assert "It cites nothing" in reasons[0]
    assert "[src/app.py:9]: The file has 2 lines." in reasons[1]
    view, _, _ = await asked(registry, "It.", "It.", "It.")
    assert (view.status, view.error and view.error.code) == ("failed", "output_invalid")


@pytest.mark.parametrize(
    "input",
    [{"question": "What?", "ref": "v1"}, {"messages": [{"role": "user", "content": "What?"}], "ref": "v1"}],
    ids=range(2),
)
async def test_a_run_names_a_ref(tmp_path: Path, site: Made, input: object) -> None:
    """The input may say which branch, tag or commit is read."""
    site.git("tag", "v1")
    first = site.git("rev-parse", "HEAD")
    site.commit("Change")
    view, output, model = await asked(registered(tmp_path, asker(site.path)), "Done.", input=input)
    assert (view.status, output["commit"]) == ("completed", first)
    assert model.requests[0].messages[-1].message.content == "What?"


async def test_a_run_names_an_allowed_repository(tmp_path: Path, site: Made) -> None:
    """What a run names has to be allowed by the definition or by the settings, whatever links say."""
    (tmp_path / "outside").symlink_to(site.path)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(site.path)
    for registry, path, status in (
        (registered(tmp_path, asker(allow=[str(tmp_path)])), site.path, "completed"),
        (registered(tmp_path, asker(), allow=(str(tmp_path),)), site.path, "completed"),
        (registered(tmp_path, asker(), allow=(str(tmp_path),)), tmp_path / "outside", "completed"),
        (registered(tmp_path, asker()), site.path, "failed"),
        (registered(tmp_path, asker(allow=[str(tmp_path / "root")])), tmp_path / "root" / "link", "failed"),
    ):
        view, _, _ = await asked(registry, "Done.", input={"question": "What?", "repository": str(path)})
        assert view.status == status, path
        if status == "failed":
            assert view.error is not None
            assert "may not be read" in view.error.message


@pytest.mark.parametrize(
    ("input", "told"),
    [
        ("What?", "names no repository"),
        ({"question": "What?", "repository": 7}, "repository is a text"),
        ({"question": "What?", "repo": "x"}, "no field 'repo'"),
        ({"query": "What?"}, "is none of these"),
    ],
)
async def test_wrong_input_is_refused(tmp_path: Path, input: object, told: str) -> None:
    """An input that says too little, or something else, never becomes a run."""
    async with running(registered(tmp_path, asker()), ScriptedModel()) as process:
        with pytest.raises(InvalidRequest, match=told):
            await process.create(input, agent="asker")


async def test_a_repository_that_is_none_fails_the_run(tmp_path: Path) -> None:
    """A run whose repository cannot be read says why, and asks no model."""
    view, _, model = await asked(registered(tmp_path, asker(tmp_path)))
    assert view.status == "failed"
    assert view.error is not None
    assert "does not appear to be a git repository" in view.error.message
    assert model.requests == []


def _from_api(tmp_path: Path, **config: Any) -> Registry:
    registry = registered(tmp_path, allow=("https://git.example/acme/",))
    declared = Agent("asker", template="repository", config=config).declare(Origin(source="api"))
    registry.put(declared)
    return registry


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"repository": "/srv/secret"}, "/config/repository"),
        ({"repository": "https://git.example/other/x"}, "/config/repository"),
        ({"repository": "https://git.example/acme/x", "allow": ["/"]}, "/config/allow/0"),
        ({"repository": "https://git.example/acme/x", "token": "deploy"}, "/config/token"),
        ({"repository": "file:///srv/secret"}, "/config/repository"),
    ],
    ids=range(5),
)
def test_callers_define_what_is_allowed(tmp_path: Path, config: dict[str, Any], place: str) -> None:
    """A definition over the API names what the settings allow, and no secret; the error says where."""
    with pytest.raises(ConfigError) as error:
        _from_api(tmp_path, **config)
    assert [each for each, _ in error.value.problems] == [place]
    assert _from_api(tmp_path, repository="https://git.example/acme/site").get("asker")


def test_callers_choose_among_few_depths(tmp_path: Path) -> None:
    """Each depth is a copy of its own, so a definition over the API names one of four; one in a file names any."""
    assert _from_api(tmp_path, repository="https://git.example/acme/x", depth=10).get("asker")
    with pytest.raises(ConfigError, match="over the API it is 1, 10, 100, 1000 or left out") as error:
        _from_api(tmp_path, repository="https://git.example/acme/x", depth=7)
    assert [place for place, _ in error.value.problems] == ["/config/depth"]
    assert registered(tmp_path, asker(tmp_path, depth=7)).get("asker")


def test_a_run_changes_no_more_than_its_caller_may(tmp_path: Path, site: Made) -> None:
    """Configuration for one run is a caller's: it cannot name what the definition's author could."""
    registry = registered(tmp_path, asker(site.path, token="deploy"))
    refused: list[dict[str, Any]] = [{"repository": "/srv/secret"}, {"allow": ["/"]}, {"token": "other"}, {"depth": 3}]
    # What stands in one field of the definition is said for no other.
    refused += [{"repository": "deploy"}, {"allow": ["deploy"]}, {"token": str(site.path)}]
    for config in refused:
        with pytest.raises(InvalidRequest, match="the config does not fit"):
            registry.get("asker", config=config)
    assert registry.get("asker", config={"repository": str(site.path), "ref": "main"})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"config": {"output": {"type": "object"}}}, "/output"),
        ({"config": {"depth": 0}}, "/config/depth"),
        ({"config": {"citations": "never"}}, "/config/citations"),
    ],
    ids=range(3),
)
def test_wrong_configuration_is_located(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    """What can never work is refused where it stands."""
    with pytest.raises(ConfigError) as error:
        Registry().check(Agent("asker", template="repository", **changes).declare(Origin(source="api")))
    assert [place for place, _ in error.value.problems] == [told]

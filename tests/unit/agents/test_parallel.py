"""Agents side by side."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from runwright import Agent, App, Context, tool
from runwright.agents.parallel import Ends, Join
from runwright.app import AppOptions
from runwright.core.ports import RunFilter
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.errors import ChildFailed, InvalidRequest
from runwright.models import ModelRegistry
from runwright.service.views import RunView
from runwright.settings import Settings

pytestmark = pytest.mark.anyio

NAMES = ["a", "b", "c", "d"]


class Turns:
    """Lets branches end in the order that a test says."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.at_once = 0
        self.most = 0
        self.room = 2
        self.is_full = asyncio.Event()
        self._events: dict[str, asyncio.Event] = {}

    def let(self, name: str) -> asyncio.Event:
        """The event by which a branch ends."""
        return self._events.setdefault(name, asyncio.Event())

    async def work(self, name: str) -> None:
        """Be at work until it is let go."""
        self.begun.append(name)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        if self.at_once == self.room:
            self.is_full.set()
        try:
            await self.let(name).wait()
        finally:
            self.at_once -= 1


@pytest.fixture
def turns() -> Turns:
    """The turns of one test."""
    return Turns()


@pytest.fixture
async def app(turns: Turns) -> AsyncIterator[App]:
    """An App in memory whose one agent ends when it is told to, well or not."""

    @tool(effect="read")
    async def wait(name: str) -> None:
        """Wait for the turn of a branch."""
        await turns.work(name)

    async def works(given: dict[str, str], context: Context) -> str:
        await context.tool("wait", name=given["name"])
        if given.get("fails"):
            raise ValueError(given["name"])
        return given["name"].upper()

    async def upper(text: str) -> str:
        return text.upper()

    agents = [Agent("works", run=works, tools=[wait]), Agent("upper", run=upper)]
    options = AppOptions(is_in_memory=True, is_offline=True)
    models = ModelRegistry(default="demo")
    async with App(Settings(drain_s=0), agents=agents, models=models, options=options) as app:
        yield app


def body(*names: str, fails: str = "", **more: object) -> dict[str, Any]:
    """Branches with these names, of which some fail."""
    branches = [
        {"agent": "works", "name": name, "input": {"name": name, "fails": "yes" if name in fails else ""}}
        for name in names
    ]
    return {"branches": branches, **more}


async def raced(app: App, turns: Turns, order: str, config: Mapping[str, object]) -> RunView:
    """A parallel run whose branches end in this order."""
    request = RunRequest(agent="parallel", input=b"null", config=dict(config))
    handle = await app.runs.create(request)
    ended = 0
    async for group in handle.events():
        ended += sum(event.type in {"step.completed", "step.failed"} for event in group)
        if len(turns.begun) >= ended and ended < len(order):
            turns.let(order[ended]).set()
    return await handle.wait()


async def test_all_come_to_a_result(app: App) -> None:
    """The output has the result of every branch by its name, in the order in which they are declared."""
    branches = [{"agent": "upper"}, {"agent": "upper", "input": "{{ input }}!"}, {"agent": "upper", "name": "third"}]
    view = await app.run("parallel", "hi", config={"branches": branches})
    assert view.status == "completed"
    output = json.decode(view.output)
    assert list(output["results"].items()) == [("upper", "HI"), ("upper-2", "HI!"), ("third", "HI")]
    assert (output["errors"], output["cancelled"]) == ({}, [])


async def test_one_that_fails_ends_all(app: App, turns: Turns) -> None:
    """With `all` the first failure decides: the others are cancelled, and the error says which failed and why."""
    view = await raced(app, turns, "ab", body(*NAMES, fails="b"))
    assert view.status == "failed"
    assert view.error is not None
    assert view.error.message.startswith("1 of 4 branches failed, join is 'all': 'b' failed: run_")
    children = (await app.runs.find(RunFilter(parent_run_id=view.id))).data
    for child in children:
        await app.runs.wait(child.id)
    children = (await app.runs.find(RunFilter(parent_run_id=view.id))).data
    assert sorted(child.status for child in children) == ["cancelled", "cancelled", "completed", "failed"]


@pytest.mark.parametrize(
    ("join", "order", "fails", "results", "failed"),
    [
        ("any", "ab", "a", "b", "a"),
        ("first", "c", "", "c", ""),
        (2, "dba", "b", "ad", "b"),
        ("settled", "dbca", "bc", "ad", "bc"),
    ],
)
async def test_a_join_is_decided(
    app: App, turns: Turns, join: Join, order: str, fails: str, results: str, failed: str
) -> None:
    """Each policy is decided as it says, with the errors of those that failed; what is left is cancelled."""
    view = await raced(app, turns, order, body(*NAMES, fails=fails, join=join))
    assert view.status == "completed", view.error
    output = json.decode(view.output)
    assert ("".join(output["results"]), "".join(output["errors"])) == (results, failed)
    assert output["cancelled"] == [name for name in NAMES if name not in results + failed]


async def test_no_more_at_once_than_the_limit(app: App, turns: Turns) -> None:
    """Branches above the limit begin when others have ended."""
    request = RunRequest(agent="parallel", input=b"null", config=body(*NAMES, limit=2))
    handle = await app.runs.create(request)
    await turns.is_full.wait()
    for name in NAMES:
        turns.let(name).set()
    view = await handle.wait()
    assert (view.status, turns.most, sorted(turns.begun)) == ("completed", 2, NAMES)


async def test_cancelling_it_cancels_every_branch(app: App, turns: Turns) -> None:
    """A parallel run is cancelled as a whole."""
    turns.room = len(NAMES)
    request = RunRequest(agent="parallel", input=b"null", config=body(*NAMES))
    handle = await app.runs.create(request)
    await turns.is_full.wait()
    assert (await app.runs.cancel(handle.run_id)).status == "cancelled"
    children = (await app.runs.find(RunFilter(parent_run_id=handle.run_id))).data
    assert [(await app.runs.wait(child.id)).status for child in children] == ["cancelled"] * 4


async def test_a_race_replays_from_its_record(app: App, turns: Turns) -> None:
    """A strict replay of a decided race gives the same results, and runs no agent."""
    view = await raced(app, turns, "cb", body(*NAMES, join=2))
    turns.begun.clear()
    again = await (await app.runs.create(RunRequest(agent="", input=b"", replay=Replay(of=view.id)))).wait()
    assert (again.status, bytes(again.output), turns.begun) == ("completed", bytes(view.output), [])


async def test_what_can_never_be_met_is_refused(app: App) -> None:
    """More results than branches, references to steps and unknown agents are told with their places."""
    config: dict[str, Any] = {"branches": [{"agent": "upper", "input": "$last"}], "join": 2}
    with pytest.raises(InvalidRequest) as caught:
        await app.run("parallel", None, config=config)
    assert [place for place, _ in caught.value.problems] == ["/config/join", "/config/branches/0/input"]
    with pytest.raises(InvalidRequest) as caught:
        await app.run("parallel", None, config={"branches": [{"agent": "lower"}]})
    assert [place for place, _ in caught.value.problems] == ["/config/branches/0/agent"]


JOINS: st.SearchStrategy[Join] = st.sampled_from(["all", "any", "first", "settled", 1, 2, 3, 4])


@pytest.mark.parametrize("join", [0, "most", True, 1.5])
async def test_a_join_that_is_none_is_one_problem(app: App, join: object) -> None:
    """What cannot be a join is refused at its place, with what it may be."""
    config: dict[str, Any] = {"branches": [{"agent": "upper"}], "join": join}
    with pytest.raises(InvalidRequest) as caught:
        await app.run("parallel", "x", config=config)
    told = "this is 'all', 'any', 'first', 'settled' or a number of results, at least 1"
    assert caught.value.problems == (("/config/join", f"{told}, not {join!r}"),)


@given(join=JOINS, order=st.permutations(NAMES), fails=st.sets(st.sampled_from(NAMES)))
def test_any_order_gives_what_is_declared(join: Join, order: list[str], fails: set[str]) -> None:
    """Whatever the order in which branches end, a join is met exactly when it says so, and as early as that."""
    ends = Ends(join, of=len(NAMES))
    seen: list[str] = []
    while not ends.is_decided:
        name = order[len(seen)]
        seen.append(name)
        if name in fails:
            ends.errors[name] = name
        else:
            ends.results[name] = name
    wins = [name for name in seen if name not in fails]
    needed = {"all": 4, "any": 1, "settled": 0}.get(str(join), join)
    if join == "first":
        assert len(seen) == 1
        is_met = bool(wins)
    else:
        assert isinstance(needed, int)
        is_met = len(NAMES) - len(fails) >= needed
        assert len(wins) == needed or join == "settled" or not is_met
    if not is_met:
        with pytest.raises(ChildFailed):
            ends.outcome(NAMES)
        return
    output = ends.outcome(NAMES)
    assert sorted([*output["results"], *output["errors"], *output["cancelled"]]) == NAMES
    assert set(output["results"]) == set(wins)

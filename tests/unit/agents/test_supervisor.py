"""A model that hands work to other agents."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import json
from pydantic import BaseModel

from runwright import Agent, Context, tool
from runwright.agents.base import Face
from runwright.agents.discover import Discovery
from runwright.agents.hands import Hand, hand_name
from runwright.agents.input import INPUT_SCHEMA
from runwright.agents.registry import Registry
from runwright.core.agent import BuiltAgent, Loop, Named
from runwright.core.budget import Account
from runwright.core.message import AssistantMessage, FunctionCall, ToolCall, ToolMessage
from runwright.core.model import ModelRequest
from runwright.core.ports import RunFilter
from runwright.core.replay import Replay
from runwright.core.run import Run, RunRequest
from runwright.engine.held import Outcome
from runwright.errors import ConfigError, InvalidRequest
from runwright.service.views import StepView
from runwright.store import Stores, open_stores
from runwright.testing import ScriptedModel, calls
from runwright.testing.fakes import Answer, Silence
from tests.unit.engine.harness import Process, started, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def stores() -> Iterator[Stores]:
    """Stores that outlive a process of the test."""
    found = open_stores(":memory:")
    yield found
    found.close()


class Order(BaseModel):
    """What is ordered."""

    item: str
    count: int = 1


class Desk:
    """Where the agents of a test work. They stay at work until they are let go."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.did: list[str] = []
        self.go = asyncio.Event()
        self.go.set()

    async def work(self, text: str) -> str:
        """Be at work."""
        self.did.append(text)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
        finally:
            self.now -= 1
        return text.upper()


def crew(*bosses: Agent, desk: Desk | None = None) -> Registry:
    """Workers, and supervisors."""
    place = desk or Desk()

    async def upper(text: str) -> str:
        """In capitals."""
        return await place.work(text)

    async def order(given: Order) -> str:
        return f"{given.count} {given.item}"

    async def fails(text: str) -> str:
        raise ValueError(f"no {text}")

    async def asks(text: str, context: Context) -> str:
        return f"{text}: {await context.ask('Really?')}"

    workers = [
        Agent(each.__name__, run=each, description=f"Does {each.__name__}.") for each in (upper, order, fails, asks)
    ]
    talker = Agent("talker.1", model="test:scripted", description="Talks.")
    registry = Registry()
    registry.replace(Discovery(agents=tuple(each.declare() for each in (*workers, talker, *bosses))))
    return registry


def boss(*names: object, name: str = "boss", **config: Any) -> Agent:
    """A supervisor of these agents."""
    return Agent(name, template="supervisor", model="test:scripted", config={"agents": list(names), **config})


def built(registry: Registry) -> list[BuiltAgent]:
    """All that can be run."""
    return [entry.agent for entry in registry.all()]


def told(request: ModelRequest) -> list[str]:
    """The results of tools that a model is told of."""
    return [each.message.content for each in request.messages if isinstance(each.message, ToolMessage)]


def says(*answers: Answer) -> ScriptedModel:
    """A model that gives these answers, and repeats what it was told in the end."""
    left = list(answers)
    return ScriptedModel(by=lambda request: left.pop(0) if left else " / ".join(told(request)))


def raw(name: str, *arguments: str) -> AssistantMessage:
    """Calls of one tool with arguments as a model may write them."""
    return AssistantMessage(
        tool_calls=tuple(
            ToolCall(id=f"c{number}", function=FunctionCall(name=name, arguments=each))
            for number, each in enumerate(arguments)
        )
    )


async def below(process: Process, run: str) -> list[Run]:
    """The runs that a run began, the oldest first."""
    where = RunFilter(parent_run_id=run, limit=200)
    return list(reversed(await asyncio.to_thread(process.stores.runs.find, where)))


def flow_of(registry: Registry, name: str = "boss") -> Loop:
    """The loop of a supervisor."""
    flow = registry.get(name).flow
    assert isinstance(flow, Loop)
    return flow


def keys(steps: Sequence[StepView]) -> list[tuple[str, str, str]]:
    """What strict replays match steps by."""
    return [(step.kind, step.name, step.key) for step in steps]


def test_the_model_sees_the_agents_as_tools() -> None:
    """A tool has the description and the input of its agent: an object as it is, all else as `input`."""
    flow = flow_of(crew(boss("upper", "order", {"agent": "talker.1", "description": "Only talks."})))
    assert list(flow.tools) == ["upper", "order", "talker-1"]
    shown = {name: tool.spec for name, tool in flow.tools.items()}
    assert [each.description for each in shown.values()] == ["Does upper.", "Does order.", "Only talks."]
    assert shown["order"].parameters["properties"] == Order.model_json_schema()["properties"]
    assert shown["upper"].parameters == shown["talker-1"].parameters
    assert json.decode(flow.tools_raw)[1]["function"]["name"] == "order"


def test_the_tools_follow_their_agents() -> None:
    """An agent that is changed, added or taken away is seen so by the next run, and by no other supervisor."""
    registry = crew(boss("upper", "late"), boss("order", name="other"))
    before, other = flow_of(registry), registry.get("other")
    assert before.tools["late"].spec.description == "Have the agent 'late' do something."
    registry.put(Agent("late", description="Comes late.", model="test:scripted").declare())
    assert flow_of(registry).tools["late"].spec.description == "Comes late."
    assert before.tools_raw != flow_of(registry).tools_raw
    assert registry.get("other") is other
    fingerprint = registry.get("boss").fingerprint
    registry.drop("late")
    assert flow_of(registry).tools_raw == before.tools_raw
    assert registry.get("boss").fingerprint != fingerprint


def test_a_version_is_named() -> None:
    """A supervisor may name a version other than the current one, and sees that."""
    registry = crew(boss({"agent": "talker.1", "version": "1.0.0", "name": "old"}, "talker.1"))
    registry.put(Agent("talker.1", version="2.0.0", description="Sings.", model="test:scripted").declare())
    tools = flow_of(registry).tools
    assert [tool.spec.description for tool in tools.values()] == ["Talks.", "Sings."]
    assert tools["old"].check('{"input": "x"}')["version"] == "1.0.0"


@pytest.mark.parametrize(
    ("config", "place", "detail"),
    [
        ({"agents": []}, "/config/agents", "at least 1 item"),
        ({"agents": ["boss"]}, "/config/agents/0", "cannot hand work to itself"),
        ({"agents": ["upper", "upper"]}, "/config/agents/1", "there is a tool 'upper' already"),
        ({"agents": ["upper"], "tools": ["missing"]}, "/tools/0", "there is no tool 'missing'"),
        ({"agents": [{"agent": "upper", "name": "a b"}]}, "/config/agents/0/name", "match pattern"),
        ({"agents": ["upper"], "parallel": 0}, "/config/parallel", ""),
        ({"agents": ["upper"], "limits": {"depth": 0}}, "/limits/depth", "greater than or equal to 1"),
    ],
)
def test_mistakes_have_a_place(config: dict[str, Any], place: str, detail: str) -> None:
    """A configuration that cannot work is refused, with the place of each mistake."""
    with pytest.raises(ConfigError) as caught:
        crew().check(Agent("boss", template="supervisor", config=config).declare())
    assert any(where.startswith(place) and detail in said for where, said in caught.value.problems), caught.value


@pytest.mark.parametrize(
    ("schema", "good", "given"),
    [
        (INPUT_SCHEMA, '{"input": "hi"}', "hi"),
        ({"title": "Input", "description": "Any JSON value."}, '{"input": [1]}', [1]),
        ({"type": "integer"}, '{"input": 3}', 3),
        ({"$defs": {"n": {"type": "integer"}}, "anyOf": [{"$ref": "#/$defs/n"}]}, '{"input": 3}', 3),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, '{"a": 3}', {"a": 3}),
        ({"type": "object"}, "", {}),
    ],
)
def test_arguments_become_the_input(schema: dict[str, object], good: str, given: object) -> None:
    """What the model writes is checked by the schema of the agent's input, and is its input."""
    hand = Hand("w", Named(name="worker"), Face(input_schema=schema))
    assert hand.check(good) == {"agent": "worker", "input": given}


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "{",
        "[]",
        "null",
        '{"input": 3}',
        '{"input": "x", "agent": "other"}',
        '{"input": "x", "run": "run_1"}',
        "[" * 50_000,
    ],
    ids=["empty", "cut", "list", "null", "type", "agent", "run", "deep"],
)
def test_hostile_arguments_are_refused(arguments: str) -> None:
    """Whatever a model writes, nothing is run but the agent that was named, with an input that fits it."""
    hand = Hand("w", Named(name="worker"), Face(input_schema=INPUT_SCHEMA))
    with pytest.raises(InvalidRequest):
        hand.check(arguments)


@pytest.mark.parametrize(("agent", "name"), [("a.b-c", "a-b-c"), ("9to5", "_9to5"), ("x" * 64, "x" * 64)])
def test_agents_have_names_as_tools(agent: str, name: str) -> None:
    """Names of agents become names that every provider takes."""
    assert hand_name(agent) == name


async def test_work_is_handed_on() -> None:
    """A call is a step of the run and a run of its own, whose output the model is told."""
    model = says(calls(("upper", {"input": "hi"}), ("order", {"item": "tea", "count": 2})))
    async with started(*built(crew(boss("upper", "order"))), model=model) as process:
        view = await process.run("go", agent="boss", group="g", user="ada")
        assert (view.status, json.decode(view.output)) == ("completed", "HI / 2 tea")
        found = await below(process, view.id)
        assert [(run.agent, run.group, run.user, run.root_run_id) for run in found] == [
            ("upper", "g", "ada", view.id),
            ("order", "g", "ada", view.id),
        ]
        assert [(step.kind, step.name) for step in await process.steps(view.id)][1:3] == [
            ("child", "upper"),
            ("child", "order"),
        ]


async def test_what_fails_is_told_to_the_model() -> None:
    """A run that fails, a tool that is not there and arguments that do not fit are errors that the model reads."""
    model = says(calls(("fails", {"input": "x"}), ("nobody", {}), ("upper", {"wrong": 1})))
    async with started(*built(crew(boss("upper", "fails"))), model=model) as process:
        view = await process.run("go", agent="boss")
        failed, unknown, unfit = json.decode(view.output).split(" / ")
        assert "came to no result: agent_error: ValueError: no x" in failed
        assert unknown == "Error: There is no tool 'nobody'. Known tools: fails, upper."
        assert unfit.startswith("Error: the arguments do not fit: ")
        assert len(await below(process, view.id)) == 1


async def test_an_agent_that_is_not_there_refuses_the_run() -> None:
    """A run is refused with the place of what it names, before it begins."""
    async with started(*built(crew(boss("upper", "nobody"))), model=says()) as process:
        with pytest.raises(InvalidRequest, match="/config/agents/1: There is no agent 'nobody'"):
            await process.run("go", agent="boss")


@pytest.mark.parametrize(("parallel", "most"), [(True, 7), (3, 3), (False, 1)])
async def test_a_hundred_calls_at_once(parallel: object, most: int) -> None:
    """So many are at work at once as `parallel` says, so many in all as the limit; the model is told of others."""
    desk = Desk()
    desk.go.clear()
    model = says(raw("upper", *(json.encode({"input": f"t{number}"}).decode() for number in range(100))))
    registry = crew(boss("upper", parallel=parallel, limits={"children": 7}), desk=desk)
    async with started(*built(registry), model=model) as process:
        handle = await process.create("go", agent="boss")
        await until(lambda: desk.now == most)
        desk.go.set()
        view = await handle.wait()
        results = json.decode(view.output).split(" / ")
        assert results[:7] == [f"T{number}" for number in range(7)]
        assert {each for each in results[7:]} == {
            "Error: This run may begin 7 runs and has begun them (limits.children); go on without another one."
        }
        assert (len(await below(process, view.id)), desk.most) == (7, most)
        if parallel is False:
            assert desk.did == [f"t{number}" for number in range(7)]


async def test_equal_calls_are_runs_of_their_own() -> None:
    """The same work, asked for twice, is done twice, also one after the other."""
    model = says(raw("upper", '{"input": "a"}', '{"input": "a"}'))
    async with started(*built(crew(boss("upper", parallel=False))), model=model) as process:
        view = await process.run("go", agent="boss")
        assert (json.decode(view.output), len(await below(process, view.id))) == ("A / A", 2)


async def test_the_limit_of_runs_is_of_the_whole_run() -> None:
    """Runs of earlier turns count."""
    model = says(calls(("upper", {"input": "a"})), calls(("upper", {"input": "b"})))
    async with started(*built(crew(boss("upper", limits={"children": 1}))), model=model) as process:
        view = await process.run("go", agent="boss")
        assert json.decode(view.output).startswith("A / Error: This run may begin 1 runs")


@pytest.mark.parametrize("parallel", [True, False])
async def test_it_waits_for_one_that_waits(parallel: object) -> None:
    """While an agent asks a person the supervisor waits; in turn, those after it have not begun."""
    desk = Desk()
    model = says(calls(("asks", {"input": "a"}), ("upper", {"input": "b"})))
    registry = crew(boss("asks", "upper", parallel=parallel), desk=desk)
    async with started(*built(registry), model=model) as process:
        view = await process.run("go", agent="boss")
        assert (view.status, view.reason, desk.did) == ("waiting", "child", ["b"] if parallel else [])
        (child, *_) = await below(process, view.id)
        await process.engine.resolve(child.id, Outcome(action="answer", result=b'"yes"'))
        view = await process.settled(view.id, "completed")
        assert (json.decode(view.output), desk.did) == ("a: yes / B", ["b"])
        assert len(await below(process, view.id)) == 2


async def test_agents_that_name_each_other_end() -> None:
    """Supervisors in a circle come to an end at the limit of depth, and the one that hits it is told why."""
    model = ScriptedModel(
        by=lambda request: told(request)[0] if told(request) else calls((request.tools[0].name, {"input": "you do it"}))
    )
    registry = crew(boss("two", name="one", limits={"depth": 2}), boss("one", name="two"))
    async with started(*built(registry), model=model) as process:
        view = await process.run("go", agent="one")
        assert view.status == "completed"
        assert f"No run may be begun so deep below {view.id} of 'one': raise its limits.depth." in json.decode(
            view.output
        )
        depth, found = 0, await below(process, view.id)
        while found:
            depth, found = depth + 1, await below(process, found[0].id)
        assert depth == 2


async def test_the_depth_is_known_after_a_crash(stores: Stores, tmp_path: Path) -> None:
    """What a run allows to those below it stands with them: they are bound by it also when it is not in memory."""
    desk = Desk()
    desk.go.clear()
    registry = crew(boss("two", name="one", limits={"depth": 1}), boss("upper", name="two"), desk=desk)
    model = says(calls(("two", {"input": "x"})), Silence(60))
    async with started(*built(registry), model=model, stores=stores, boots=tmp_path) as process:
        handle = await process.create("go", agent="one", mode="background")
        await until(lambda: len(model.requests) == 2)
        await process.crash()
    model = says(calls(("upper", {"input": "y"})))
    async with started(*built(registry), model=model, stores=stores, boots=tmp_path) as process:
        view = await process.settled(handle.run_id, "completed")
        assert "so deep below" in json.decode(view.output)
        assert desk.did == []


async def test_a_crash_repeats_nothing(stores: Stores, tmp_path: Path) -> None:
    """After a crash with one run done and one at work the supervisor finds both, and begins none again."""
    desk = Desk()
    desk.go.clear()
    registry = crew(boss("order", "upper"), desk=desk)
    model = says(calls(("order", {"item": "tea"}), ("upper", {"input": "b"})))
    async with started(*built(registry), model=model, stores=stores, boots=tmp_path) as process:
        handle = await process.create("go", agent="boss", mode="background")
        await until(lambda: desk.now == 1 and process.engine.active == 2)
        await process.crash()
    desk.go.set()
    async with started(*built(registry), model=says(), stores=stores, boots=tmp_path) as process:
        view = await process.settled(handle.run_id, "completed")
        assert json.decode(view.output) == "1 tea / B"
        assert len(await below(process, view.id)) == 2


async def test_a_strict_replay() -> None:
    """A replay takes each run as one step with the recorded answer, begins none, and has equal keys."""
    model = says(calls(("upper", {"input": "a"}), ("fails", {"input": "b"})), calls(("upper", {"input": "c"})))
    async with started(*built(crew(boss("upper", "fails", parallel=2))), model=model) as process:
        view = await process.run("go", agent="boss")
        request = RunRequest(agent="", input=b"", replay=Replay(of=view.id))
        again = await (await process.runs.create(request)).wait()
        assert (again.status, bytes(again.output)) == ("completed", bytes(view.output))
        assert await below(process, again.id) == []
        assert keys(await process.steps(again.id)) == keys(await process.steps(view.id))


async def test_all_of_it_is_cancelled() -> None:
    """Who cancels the supervisor cancels the runs that are at work for it."""
    desk = Desk()
    desk.go.clear()
    model = says(raw("upper", '{"input": "a"}', '{"input": "b"}'))
    async with started(*built(crew(boss("upper"), desk=desk)), model=model) as process:
        handle = await process.create("go", agent="boss")
        await until(lambda: desk.now == 2)
        await process.runs.cancel(handle.run_id)
        for child in await below(process, handle.run_id):
            await process.settled(child.id, "cancelled")
        assert desk.now == 0


def spenders(*bosses: Agent) -> Registry:
    """A worker that spends 600 nano-USD, and supervisors."""

    @tool(effect="read")
    async def buy(context: Context) -> str:
        """Spend."""
        context.spent("shop:tea", characters=600)
        return "bought"

    async def buyer(text: str, context: Context) -> str:
        return str(await context.tool(buy))

    registry = Registry()
    registry.replace(Discovery(agents=tuple(each.declare() for each in (Agent("buyer", run=buyer), *bosses))))
    return registry


async def test_the_money_of_all_of_it_is_bounded() -> None:
    """What runs below spend counts: when it is gone they are refused, and so is the supervisor, with what to do."""
    model = says(raw("buyer", *(f'{{"input": "{letter}"}}' for letter in "abc")))
    registry = spenders(boss("buyer", parallel=False, limits={"usd": "0.000001"}))
    async with started(*built(registry), model=model) as process:
        view = await process.run("go", agent="boss")
        assert (view.status, view.error and view.error.code) == ("failed", "limit_exceeded")
        assert view.error is not None
        told = f"{view.id} and the runs below it spent 0.0000012 USD of 0.000001 USD; raise its limits.usd."
        assert view.error.message == told
        found = await below(process, view.id)
        assert [run.status for run in found] == ["completed", "completed", "failed"]
        assert found[2].error is not None
        assert told in found[2].error.message


async def test_the_tokens_of_all_of_it_are_bounded(stores: Stores) -> None:
    """What runs below use of tokens counts: their calls are refused when it is gone, and what is wrong is told."""

    async def ask(text: str, context: Context) -> str:
        return (await context.model(text)).message.content or ""

    registry = Registry()
    agents = (Agent("asker", run=ask), boss("asker", parallel=False, limits={"tokens": 1600}))
    registry.replace(Discovery(agents=tuple(each.declare() for each in agents)))
    model = says(raw("asker", '{"input": "a"}', '{"input": "b"}'), "word " * 700)
    async with started(*built(registry), model=model, stores=stores) as process:
        view = await process.run("go", agent="boss")
        assert view.error is not None
        assert (view.status, view.error.code) == ("failed", "limit_exceeded")
        found = await below(process, view.id)
        assert [run.status for run in found] == ["completed", "failed"]
        booked = await asyncio.to_thread(stores.budgets.booked, Account("limits", "tree", view.id))
        used = view.usage.total_tokens + sum(run.usage.total_tokens for run in found)
        assert booked.spent.tokens == used > 700
        told = f"{view.id} and the runs below it used {used} tokens of 1600"
        assert found[1].error is not None
        assert told in found[1].error.message
        assert view.error.message.startswith(told)


async def test_money_is_bounded_at_every_height(stores: Stores, tmp_path: Path) -> None:
    """A run is within the limits of all above it; what was spent is known in another process too."""
    answers = [calls(("low", {"input": "x"})), calls(("buyer", {"input": "a"})), "spent", "over"]
    registry = spenders(
        boss("low", name="top", limits={"usd": 0.0000005}), boss("buyer", name="low", limits={"usd": "1"})
    )
    async with started(*built(registry), model=says(*answers), stores=stores, boots=tmp_path) as process:
        view = await process.run("go", agent="top")
        assert view.error is not None
        assert view.error.message.startswith(f"{view.id} and the runs below it spent")
        (low,) = await below(process, view.id)
        assert low.error is not None
        assert low.error.message.startswith(f"{view.id} and the runs below it spent")
    for run in (view.id, low.id):
        booked = await asyncio.to_thread(stores.budgets.booked, Account("limits", "tree", run))
        assert booked.spent.nano_usd == 600

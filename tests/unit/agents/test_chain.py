"""Agents one after the other."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from runwright import Agent, App, Context
from runwright.agents.registry import Registry
from runwright.app import AppOptions
from runwright.core.ports import RunFilter
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.errors import ConfigError, InvalidRequest
from runwright.models import ModelRegistry
from runwright.service.views import RunView
from runwright.settings import Settings

pytestmark = pytest.mark.anyio

CALLS: list[str] = []


async def upper(text: str) -> str:
    """Text in capitals."""
    return text.upper()


async def sorts(text: str) -> dict[str, object]:
    """What kind of text it is."""
    return {"kind": "question" if text.endswith("?") else "order", "words": text.split()}


async def echo(value: Any) -> Any:
    """What it is given."""
    CALLS.append("echo")
    return value


async def flaky(value: Any) -> Any:
    """Fails the first time."""
    CALLS.append("flaky")
    if CALLS.count("flaky") == 1:
        raise ValueError("not today")
    return f"{value} then"


async def asks(text: str, context: Context) -> str:
    """Asks a person."""
    return f"{text} {await context.ask('Really?')}"


AGENTS = [Agent(each.__name__, run=each) for each in (upper, sorts, echo, flaky, asks)]
WORKFLOW = Agent("workflow", template="chain", config={"steps": [{"agent": "upper"}, {"agent": "echo"}]})


@pytest.fixture
async def app() -> AsyncIterator[App]:
    """An App in memory with the agents of these tests."""
    CALLS.clear()
    options = AppOptions(is_in_memory=True, is_offline=True)
    async with App(
        Settings(drain_s=0), agents=[*AGENTS, WORKFLOW], models=ModelRegistry(default="demo"), options=options
    ) as app:
        yield app


async def chain(app: App, *steps: object, input: object = "hi", **more: object) -> RunView:
    """A chain of agents, each a name or the fields of a step."""
    links = [{"agent": each} if isinstance(each, str) else each for each in steps]
    return await app.run("chain", input, config={"steps": links, **more})


async def test_each_is_given_what_came_before(app: App) -> None:
    """Without a mapping the output of one agent is the input of the next, and the last one's is the chain's."""
    view = await chain(app, "upper", "sorts", input="who is it?")
    assert (view.status, bytes(view.output)) == ("completed", b'{"kind":"question","words":["WHO","IS","IT?"]}')


async def test_a_link_is_a_step_and_a_run(app: App) -> None:
    """Every link stands in the record as a step with its result, and as a run of its own."""
    view = await chain(app, "upper", {"agent": "echo", "name": "again"}, "echo")
    steps = (await app.runs.steps(view.id)).data
    assert [(step.kind, step.lane, step.name, bytes(step.result)) for step in steps] == [
        ("child", "upper", "upper", b'"HI"'),
        ("child", "again", "echo", b'"HI"'),
        ("child", "echo", "echo", b'"HI"'),
    ]
    children = (await app.runs.find(RunFilter(parent_run_id=view.id))).data
    assert [child.agent for child in reversed(children)] == ["upper", "echo", "echo"]
    assert view.usage.total_tokens == 0


async def test_mappings_pass_on_what_they_say(app: App) -> None:
    """Inputs and the output are JSON in which references stand for what there is by then."""
    view = await chain(
        app,
        {"agent": "sorts", "name": "triage"},
        {"agent": "echo", "input": {"about": "$steps.triage.output.words", "told": "{{ input }}: {{ last.kind }}"}},
        output={"kind": "$steps.triage.output.kind", "echoed": "$last"},
    )
    assert bytes(view.output) == b'{"kind":"order","echoed":{"about":["hi"],"told":"hi: order"}}'


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"value": "$steps.sorts.output.kind", "equals": "question"}, b'[{"kind":"order","words":["hi"]},null]'),
        ({"value": "$steps.sorts.output.kind", "differs": "question"}, b'["HI","HI"]'),
        ({"value": "$steps.sorts.output.words"}, b'["HI","HI"]'),
        ({"value": []}, b'[{"kind":"order","words":["hi"]},null]'),
    ],
)
async def test_a_step_is_taken_under_a_condition(app: App, condition: object, expected: bytes) -> None:
    """A step whose condition does not hold is left out: its output is null, and what came before stays the last."""
    step = {"agent": "upper", "input": "$input", "condition": condition}
    view = await chain(app, "sorts", step, output=["$last", "$steps.upper.output"])
    assert bytes(view.output) == expected


async def test_a_failed_link_says_which_and_is_tried_again_by_a_fork(app: App) -> None:
    """The error names the link and its run; forked at the link, those before are answered by the record."""
    view = await chain(app, "echo", {"agent": "flaky", "name": "second"}, "echo")
    failed = (await app.runs.steps(view.id)).data[-1]
    assert (view.status, failed.status) == ("failed", "failed")
    assert view.error is not None
    assert view.error.code == "child_failed"
    assert view.error.message.startswith("'second' failed: run_")
    assert "ValueError: not today" in view.error.message
    request = RunRequest(agent="", input=b"", replay=Replay(of=view.id, at=failed.seq))
    again = await (await app.runs.create(request)).wait()
    assert (again.status, bytes(again.output)) == ("completed", b'"hi then"')
    assert CALLS == ["echo", "flaky", "flaky", "echo"]


async def test_a_fork_runs_what_has_a_result_only_by_name(app: App) -> None:
    """What came to a result is not done again by a fork, unless `live` says so."""
    view = await chain(app, "upper", "echo")
    first = (await app.runs.steps(view.id)).data[0].seq
    for live, calls in (((), []), (("child",), ["echo"]), (("child:echo",), ["echo"])):
        CALLS.clear()
        request = RunRequest(agent="", input=b"", replay=Replay(of=view.id, at=first, live=live))
        again = await (await app.runs.create(request)).wait()
        assert (bytes(again.output), CALLS) == (b'"HI"', calls)


async def test_a_missing_field_fails_the_link_that_asks_for_it(app: App) -> None:
    """A link whose input cannot be made does not begin, and is named."""
    view = await chain(app, "sorts", {"agent": "upper", "input": "$last.mood"})
    assert view.error is not None
    assert view.error.message == "'upper' failed: 'last.mood' is not there: last has no 'mood'"


async def test_a_chain_waits_for_a_person_with_its_link(app: App) -> None:
    """A chain one of whose agents waits does so too, and cancelling it cancels that one."""
    view = await chain(app, "upper", "asks", "echo")
    assert (view.status, view.reason) == ("waiting", "child")
    assert (await app.runs.cancel(view.id)).status == "cancelled"


async def test_a_chain_replays_from_its_record(app: App) -> None:
    """A strict replay gives the same, and runs no agent."""
    view = await chain(app, "echo", "upper")
    CALLS.clear()
    again = await (await app.runs.create(RunRequest(agent="", input=b"", replay=Replay(of=view.id)))).wait()
    assert (again.status, bytes(again.output), CALLS) == ("completed", bytes(view.output), [])


async def test_a_definition_may_be_a_chain(app: App) -> None:
    """An agent of the template is run by its name like any other, also as a link."""
    assert bytes((await app.run("workflow", "hi")).output) == b'"HI"'
    assert bytes((await chain(app, "workflow", "sorts")).output) == b'{"kind":"order","words":["HI"]}'


async def test_unknown_agents_are_refused_before_anything_begins(app: App) -> None:
    """Every agent that is not there is told with its place, and no run is made."""
    with pytest.raises(InvalidRequest) as caught:
        await chain(app, "echo", "ecko", {"agent": "upper", "version": "9.0.0"})
    assert [place for place, _ in caught.value.problems] == ["/config/steps/1/agent", "/config/steps/2/agent"]
    assert "did you mean 'echo'?" in caught.value.message
    assert (await app.runs.find(RunFilter())).data == []


async def test_what_can_never_work_is_refused(app: App) -> None:
    """References to later links, names that are given twice and unknown fields are told with their places."""
    steps = [
        {"agent": "echo", "name": "a", "input": {"x": "$steps.b.output"}},
        {"agent": "echo", "name": "b", "condition": {"value": "$steps.a"}},
        {"agent": "echo", "name": "b"},
    ]
    with pytest.raises(InvalidRequest) as caught:
        await chain(app, *steps, output="$steps.c.output")
    assert sorted(place for place, _ in caught.value.problems) == [
        "/config/output",
        "/config/steps/0/input/x",
        "/config/steps/1/condition/value",
        "/config/steps/2/name",
    ]


def test_the_name_is_taken() -> None:
    """An agent of one's own cannot be called as one that is always there."""
    mine = Agent("chain", run=upper).declare()
    with pytest.raises(ConfigError, match="'chain' is an agent of Runwright's own"):
        Registry().check(mine)

"""Agents of Pydantic AI, served as they are."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator

import msgspec
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent as TheirAgent
from pydantic_ai import ModelRetry, RunContext
from pydantic_ai.capabilities import ProcessEventStream
from pydantic_ai.messages import (
    AgentStreamEvent,
    ModelMessage,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from runwright import Agent, App, Context
from runwright.app import AppOptions
from runwright.core.event import Event, MessageCompleted, MessageDelta, ToolArgsDelta
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.errors import ConfigError
from runwright.journal.tape import read_tape
from runwright.models import ModelRegistry
from runwright.service.views import Resolution, RunView
from runwright.settings import Settings

pytestmark = pytest.mark.anyio

ENTERED: list[str] = []
ASKED: list[list[ModelMessage]] = []


class Answer(BaseModel):
    """What it comes to."""

    colour: str


def looks(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """A model that looks twice at once, then answers, with reasoning that only its provider can read."""
    ASKED.append(messages)
    if len(messages) == 1:
        thought = ThinkingPart("hm", signature="signed", provider_name="function")
        calls = [ToolCallPart("look", {"at": at}, tool_call_id=at) for at in ("tea", "cup")]
        return ModelResponse(parts=[thought, *calls])
    if info.output_tools:
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"colour": "green"}, tool_call_id="out")])
    return ModelResponse(parts=[TextPart("It is "), TextPart("green.")])


async def speaks(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
    """The same, piece by piece."""
    if len(messages) == 1:
        yield {0: DeltaToolCall("look", '{"at":', tool_call_id="tea")}
        yield {0: DeltaToolCall(json_args='"tea"}')}
        return
    yield "It is "
    yield "green."


own = TheirAgent(FunctionModel(looks, stream_function=speaks), instructions="Look first.", name="own")
typed = TheirAgent(FunctionModel(looks), output_type=Answer, deps_type=str, name="typed")
ours = TheirAgent(name="ours")
asks = TheirAgent(FunctionModel(looks), name="asks")


@own.tool_plain(metadata={"effect": "read"})
async def look(at: str) -> dict[str, str]:
    """Look at something."""
    ENTERED.append(at)
    return {"at": at, "colour": "green"}


@typed.tool(name="look")
async def look_typed(context: RunContext[str], at: str) -> str:
    """Look at something."""
    ENTERED.append(f"{context.deps} {at}")
    if context.retry == 0:
        raise ModelRetry("Look closer.")
    return "green"


@ours.tool_plain
async def weather(city: str) -> str:
    """Say the weather in a city."""
    ENTERED.append(city)
    return f"sunny in {city}"


@asks.tool_plain(name="look", requires_approval=True)
async def look_if_allowed(at: str) -> str:
    """Look at something."""
    ENTERED.append(at)
    return "green"


async def who(context: Context) -> str:
    """The dependencies of a run."""
    return context.agent


AGENTS = [
    Agent("own", template="pydantic-ai", config={"agent": own}),
    Agent("typed", template="pydantic-ai", config={"agent": typed, "deps": who}),
    Agent("ours", template="pydantic-ai", model="demo", config={"agent": ours, "effects": {"weather": "read"}}),
    Agent("asks", template="pydantic-ai", config={"agent": asks}),
]


@pytest.fixture
async def app() -> AsyncGenerator[App]:
    """An App in memory with the agents of these tests."""
    ENTERED.clear()
    ASKED.clear()
    options = AppOptions(is_in_memory=True, is_offline=True)
    async with App(Settings(drain_s=0), agents=AGENTS, models=ModelRegistry(default="demo"), options=options) as app:
        yield app


async def steps(app: App, run: str) -> list[tuple[str, str, str, str]]:
    """Kind, name, lane and status of the steps of a run."""
    return [(step.kind, step.name, step.lane, step.status) for step in (await app.runs.steps(run)).data]


async def story(app: App, run: str) -> list[Event]:
    """The events of a run that is over."""
    return [event async for group in app.runs.events(run) for event in group]


async def same(app: App, view: RunView) -> None:
    """The strict replay of a run enters no tool, asks no model, and has the same steps."""
    before = (list(ENTERED), len(ASKED))
    handle = await app.runs.create(RunRequest(agent="", input=b"", replay=Replay(of=view.id)))
    again = await handle.wait()
    assert (again.status, bytes(again.output)) == (view.status, bytes(view.output)), again.error
    digests = [sorted(step.digest for step in read_tape(await story(app, run))) for run in (view.id, again.id)]
    assert digests[0] == digests[1]
    assert (ENTERED, len(ASKED)) == before


async def test_each_call_is_a_step(app: App) -> None:
    """An agent with a model of its own: its requests and tool calls are steps, side by side in lanes, and replay."""
    view = await app.run("own", "What is it?")
    assert (view.status, bytes(view.output)) == ("completed", b'"It is green."'), view.error
    name = "function:function:looks:speaks"
    assert await steps(app, view.id) == [
        ("model", name, "", "completed"),
        ("tool", "look", "0", "completed"),
        ("tool", "look", "1", "completed"),
        ("model", name, "", "completed"),
    ]
    # What only the provider's class can read comes back to it whole.
    assert ASKED[1][1].parts[0] == ThinkingPart("hm", signature="signed", provider_name="function")
    await same(app, view)


async def test_a_typed_agent_with_dependencies_tries_again(app: App) -> None:
    """Dependencies, a structured output and a tool that asks to be called otherwise work, and are on record."""
    agent = Agent("typed", template="pydantic-ai", config={"agent": typed, "deps": who, "effects": {"look": "read"}})
    app.registry.put(agent.declare())
    view = await app.run("typed", "What is it?")
    assert (view.status, bytes(view.output)) == ("completed", b'{"colour":"green"}'), view.error
    assert sorted(ENTERED) == ["typed cup", "typed tea"]
    results = [bytes(step.result) for step in (await app.runs.steps(view.id)).data if step.kind == "tool"]
    assert results == [b'{"$retry":"Look closer."}'] * 2
    await same(app, view)


async def test_an_agent_without_a_model_takes_one_of_ours(app: App) -> None:
    """Runwright's models serve an agent that has none, with its tools, and are named in the steps."""
    view = await app.run("ours", "weather in Rome")
    assert (view.status, ENTERED) == ("completed", ["Rome"]), view.error
    assert [name for _, name, _, _ in await steps(app, view.id)] == ["demo", "weather", "demo"]
    await same(app, view)


async def test_deltas_are_events(app: App) -> None:
    """The pieces of the answers of an agent's own model are told as they come."""
    seen: list[Event] = []
    handle = await app.runs.create(RunRequest(agent="own", input=b'"What is it?"', mode="stream"))
    async for group in app.runs.events(handle.run_id):
        seen += group
    told = [event.data for event in seen]
    assert [each.text for each in told if isinstance(each, MessageDelta)] == ["It is ", "green."]
    assert "".join(each.arguments for each in told if isinstance(each, ToolArgsDelta)) == '{"at":"tea"}'
    assert (await app.runs.get(handle.run_id)).status == "completed"


async def test_what_ours_cannot_hold_is_kept_as_theirs(app: App) -> None:
    """An answer stands in the record as it was, where our form of it says less."""
    view = await app.run("own", "What is it?")
    first, last = [each.data for each in await story(app, view.id) if isinstance(each.data, MessageCompleted)]
    assert b"signed" in bytes(first.original)
    assert [part["content"] for part in msgspec.json.decode(last.original)["parts"]] == ["It is ", "green."]


async def test_a_thread_goes_on(app: App) -> None:
    """The next run of a thread is given what was said before, tool calls and all."""
    await app.run("own", "What is it?", thread_id="t")
    view = await app.run("own", "And now?", thread_id="t")
    assert view.status == "completed", view.error
    asked = [part.content for message in ASKED[-1] for part in message.parts if isinstance(part, UserPromptPart)]
    assert asked == ["What is it?", "And now?"]
    assert sum(isinstance(part, ToolCallPart) for message in ASKED[-1] for part in message.parts) == 2


async def test_a_typed_thread_goes_on(app: App) -> None:
    """A conversation that ended with a structured output is gone on with."""
    await app.run("typed", "What is it?", thread_id="u", config={"effects": {"look": "read"}})
    view = await app.run("typed", "And now?", thread_id="u")
    assert (view.status, bytes(view.output)) == ("completed", b'{"colour":"green"}'), view.error


async def test_a_tool_that_needs_an_approval_is_held(app: App) -> None:
    """A tool of the framework's that needs an approval waits for a person, and its model reads a refusal."""
    view = await app.run("asks", "What is it?")
    assert (view.status, view.reason, ENTERED) == ("waiting", "approval", [])
    held = [step.seq for step in (await app.runs.steps(view.id)).data if step.kind == "tool"]
    await app.runs.resolve(view.id, Resolution(action="approve", step=held[0]))
    await app.runs.resolve(view.id, Resolution(action="deny", step=held[1]))
    await story(app, view.id)
    done = await app.runs.get(view.id)
    assert (done.status, bytes(done.output), ENTERED) == ("completed", b'"It is green."', ["tea"]), done.error


async def test_what_is_wrong_is_told_with_its_place(app: App) -> None:
    """A definition that names no agent of Pydantic AI is refused where it says so."""
    for agent, told in (("nowhere", "there is no agent"), (who, "no agent of Pydantic AI")):
        with pytest.raises(ConfigError, match=told) as caught:
            app.registry.put(Agent("wrong", template="pydantic-ai", config={"agent": agent}).declare())
        assert [place for place, _ in caught.value.problems] == ["/config/agent"]


async def test_an_agent_without_a_declared_effect_acts_once(app: App) -> None:
    """Tools that say nothing of what they do are taken for ones that act."""
    view = await app.run("ours", "weather in Rome", config={"effects": {}})
    effects = [step.effect for step in (await app.runs.steps(view.id)).data if step.kind == "tool"]
    assert (view.status, effects) == ("completed", ["once"])


async def test_an_agent_that_listens_to_its_events_hears_them(app: App) -> None:
    """A handler of events that the agent has is told of the answer's parts, while its requests are steps."""
    heard: list[str] = []

    async def hear(context: RunContext[object], events: AsyncIterable[AgentStreamEvent]) -> None:
        heard.extend([type(event).__name__ async for event in events])

    listening = TheirAgent(deps_type=object, name="listens", capabilities=[ProcessEventStream(hear)])
    app.registry.put(Agent("listens", template="pydantic-ai", config={"agent": listening}).declare())
    view = await app.run("listens", "Hello")
    assert (view.status, "PartStartEvent" in heard) == ("completed", True), view.error
    assert [name for _, name, _, _ in await steps(app, view.id)] == ["demo"]

"""Graphs of LangGraph, served as they are."""

from __future__ import annotations

import asyncio
import operator
import socket
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Annotated, Any, TypedDict

import msgspec
import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, ToolException, tool
from langgraph.graph import (  # pyright: ignore[reportMissingTypeStubs] - typed, but for its __init__
    END,
    START,
    MessagesState,
    StateGraph,
)
from langgraph.prebuilt import InjectedState, ToolNode, tools_condition
from langgraph.runtime import Runtime
from langgraph.types import Send, interrupt
from pydantic import BaseModel, Field

from runwright import Agent, App, Context
from runwright.agents.bridges.graph_run import GraphRun, current
from runwright.agents.bridges.langchain import StepModel, as_step
from runwright.app import AppOptions
from runwright.core.event import CustomEmitted, Event, MessageDelta
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.errors import ConfigError, InvalidRequest, RunError
from runwright.journal.tape import read_tape
from runwright.models import ModelRegistry
from runwright.service.views import Resolution, RunView
from runwright.settings import Settings

pytestmark = pytest.mark.anyio

ENTERED: list[str] = []
MORE = 40
"""More runs than a loop has threads."""


@tool
async def weather(city: str) -> str:
    """Say the weather in a city."""
    ENTERED.append(city)
    return f"sunny in {city}"


@tool
async def book(city: str, state: Annotated[dict[str, Any], InjectedState]) -> dict[str, Any]:
    """Book a trip to a city."""
    ENTERED.append(f"book {city} {len(state['messages'])}")
    if city == "Nowhere":
        raise ToolException("there is no such place")
    return {"booked": city}


@tool
def look(item: str) -> str:
    """Look at an item."""
    return item


def asking(*tools: BaseTool, is_sync: bool = False, stops: Sequence[str] = (), **handling: Any) -> Any:
    """A model and its tools, in turn."""
    model = StepModel().bind_tools(tools)

    async def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    def ask_sync(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    graph: Any = StateGraph(MessagesState)
    graph.add_node("ask", ask_sync if is_sync else ask)
    graph.add_node("tools", ToolNode(tools, **handling))
    graph.add_edge(START, "ask")
    graph.add_conditional_edges("ask", tools_condition)
    graph.add_edge("tools", "ask")
    return graph.compile(interrupt_before=list(stops))


class Said(TypedDict):
    """What was said."""

    said: Annotated[list[str], operator.add]


class Topics(Said):
    """Several questions, and what was said to them."""

    items: list[str]


async def answer(state: dict[str, Any]) -> dict[str, Any]:
    """Say something to one question."""
    model = StepModel(ref="demo")
    first = await model.ainvoke([HumanMessage(f"say {state['item']}")])
    return {"said": [str(first.text)]}


def spread(node: str) -> Callable[[dict[str, Any]], list[Send]]:
    """A task of a node for each item."""
    return lambda state: [Send(node, {"item": each}) for each in state["items"]]


def twice(state: dict[str, Any]) -> list[Send]:
    """Two tasks for the same."""
    return [Send("within", {"items": state["items"], "said": []})] * 2


def fanned() -> Any:
    """Nodes side by side, some of them tasks of one node, whose order is theirs."""
    inner: Any = StateGraph(Topics, output_schema=Said)
    inner.add_node("answer", answer)
    inner.add_conditional_edges(START, spread("answer"))
    inner.add_edge("answer", END)
    within = inner.compile()

    async def left(_: Topics) -> dict[str, Any]:
        return await answer({"item": "same"})

    async def right(_: Topics) -> dict[str, Any]:
        return await answer({"item": "same"})

    graph: Any = StateGraph(Topics)
    graph.add_node("left", left)
    graph.add_node("right", right)
    graph.add_node("within", within)
    graph.add_conditional_edges(START, twice)
    graph.add_edge(START, "left")
    graph.add_edge(START, "right")
    return graph.compile()


class Order(TypedDict, total=False):
    """An order, and whether it may be made."""

    item: str
    price: str
    answer: str


def single(node: Callable[..., Any], *, state: Any = Order, **schemas: Any) -> Any:
    """A graph of one node."""
    graph: Any = StateGraph(state, **schemas)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    return graph.compile()


def ordering() -> Any:
    """A graph that asks a person, after a call in the same node."""
    look = as_step(weather, effect="once")

    async def order(state: dict[str, str]) -> dict[str, str]:
        price = await look.ainvoke({"city": state["item"]})
        allowed = interrupt({"question": "May I?", "price": price})
        return {"price": price, "answer": allowed}

    return single(order)


def polling() -> Any:
    """Two tasks that each look something up, then ask a person."""
    look = as_step(weather, effect="read")

    async def poll(state: dict[str, str]) -> dict[str, list[str]]:
        await look.ainvoke({"city": state["item"]})
        return {"said": [f"{state['item']} {interrupt('Is it?')}"]}

    graph: Any = StateGraph(Topics, output_schema=Said)
    graph.add_node("poll", poll)
    graph.add_conditional_edges(START, spread("poll"))
    return graph.compile()


@tool
async def stop(item: str) -> str:
    """Ask a person from within."""
    return interrupt(item)


@tool
async def wait(item: str) -> str:
    """Wait for ever."""
    await asyncio.get_running_loop().create_future()
    return item


class Colour(BaseModel):
    """What it comes to."""

    colour: str


class Filled(MessagesState, total=False):
    """A conversation, and what it comes to."""

    found: Colour


async def fill(state: dict[str, Any]) -> dict[str, Any]:
    """Read a colour out of what was said."""
    return {"found": await StepModel().with_structured_output(Colour).ainvoke(state["messages"])}


class Busy(Exception):
    """An error as the libraries of providers have them."""

    status_code = 429


class Green(GenericFakeChatModel):
    """A chat model of LangChain that always says the same."""

    messages: Iterator[AIMessage | str] = Field(default=iter(()), exclude=True)

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        if messages[-1].content == "fail":
            raise Busy("too many")
        ENTERED.append("asked")
        return ChatResult(generations=[ChatGeneration(message=AIMessage("It is green."))])


def owning() -> Any:
    """A graph that asks a chat model of LangChain."""
    model = StepModel(ref="fake:green", asks=Green())

    async def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return single(ask, state=MessagesState)


def waiting(*, is_sync: bool) -> Any:
    """A graph that says that it has begun, and waits in a tool for ever."""
    waits = as_step(wait, effect="read")

    async def begin(state: dict[str, str]) -> dict[str, str]:
        current.get().context.emit("begun")  # pyright: ignore[reportOptionalMemberAccess] - within a run there is one
        return {"answer": await waits.ainvoke(state)}

    def begin_sync(state: dict[str, str]) -> dict[str, str]:
        current.get().context.emit("begun")  # pyright: ignore[reportOptionalMemberAccess] - within a run there is one
        return {"answer": waits.invoke(state)}

    return single(begin_sync if is_sync else begin)


def call_in_thread(state: dict[str, str]) -> dict[str, str]:
    """Call a plain function as a step, in a node that is one."""
    return {"answer": as_step(look, effect="read").invoke({"item": state["item"]})}


def straying(*, is_sync: bool) -> Any:
    """A graph that connects to a port where nobody listens."""

    def connect(state: dict[str, str]) -> dict[str, str]:
        with socket.socket() as probe:
            probe.connect_ex(("127.0.0.1", 9))
        return {"answer": "done"}

    async def stray(state: dict[str, str]) -> dict[str, str]:
        with suppress(OSError):
            await asyncio.open_connection("127.0.0.1", 9)
        return {"answer": "done"}

    return single(connect if is_sync else stray)


class Who(TypedDict):
    """A runtime context."""

    name: str


async def know(state: dict[str, str], runtime: Runtime[Who]) -> dict[str, str]:
    """Say who serves it."""
    return {"answer": f"{state['item']} for {runtime.context['name']}"}


async def block(state: dict[str, str]) -> dict[str, str]:
    """Call a tool without awaiting it."""
    return {"answer": as_step(weather).invoke({"city": state["item"]})}


async def stop_in_tool(state: dict[str, str]) -> dict[str, str]:
    """Call a tool that interrupts the graph."""
    return {"answer": await as_step(stop, effect="read").ainvoke(state)}


class Words(HumanMessage):
    """Words that notice when they are written out."""

    @property
    def text(self) -> Any:
        """What is written out."""
        ENTERED.append("written out")
        return super().text


async def speak(state: dict[str, str]) -> dict[str, str]:
    """Ask a model with such words."""
    said = await StepModel().ainvoke([Words(content=state["item"])])
    return {"answer": str(said.text)}


async def who(context: Context) -> Who:
    """The runtime context of a run."""
    return Who(name=context.agent)


def told(error: Exception) -> str:
    """What a model reads of an error."""
    return f"{type(error).__name__}: {error}"


AGENTS = [
    Agent("asks", template="langgraph", model="demo", config={"graph": asking(as_step(weather, effect="read"))}),
    Agent(
        "plain",
        template="langgraph",
        model="demo",
        config={"graph": asking(as_step(weather, effect="read"), is_sync=True)},
    ),
    Agent("fans", template="langgraph", config={"graph": fanned(), "output": "said"}),
    Agent("orders", template="langgraph", config={"graph": ordering()}),
    Agent("polls", template="langgraph", config={"graph": polling(), "output": "said"}),
    Agent("owns", template="langgraph", config={"graph": owning()}),
    Agent("fills", template="langgraph", config={"graph": single(fill, state=Filled), "output": "found"}),
    Agent("books", template="langgraph", config={"graph": asking(as_step(book), handle_tool_errors=told)}),
    Agent("stops", template="langgraph", config={"graph": single(stop_in_tool)}),
    Agent("waits", template="langgraph", config={"graph": waiting(is_sync=False)}),
    Agent("waits-in-a-thread", template="langgraph", config={"graph": waiting(is_sync=True)}),
    Agent("calls-in-a-thread", template="langgraph", config={"graph": single(call_in_thread)}),
    Agent("strays", template="langgraph", config={"graph": straying(is_sync=False)}),
    Agent("strays-in-a-thread", template="langgraph", config={"graph": straying(is_sync=True)}),
    Agent(
        "knows",
        template="langgraph",
        config={"graph": single(know, context_schema=Who), "context": who, "output": "answer"},
    ),
    Agent("blocks", template="langgraph", config={"graph": single(block)}),
    Agent("speaks", template="langgraph", model="demo", config={"graph": single(speak), "output": "answer"}),
]


@pytest.fixture
async def app() -> AsyncGenerator[App]:
    """An App in memory with the agents of these tests."""
    ENTERED.clear()
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
    """The strict replay of a run enters no tool, and has the same steps."""
    before = list(ENTERED)
    handle = await app.runs.create(RunRequest(agent="", input=b"", replay=Replay(of=view.id)))
    again = await handle.wait()
    assert (again.status, bytes(again.output)) == (view.status, bytes(view.output)), again.error
    digests = [sorted(step.digest for step in read_tape(await story(app, run))) for run in (view.id, again.id)]
    assert digests[0] == digests[1]
    assert before == ENTERED


@pytest.mark.parametrize("agent", ["asks", "plain"])
async def test_each_call_is_a_step(app: App, agent: str) -> None:
    """Calls of models and tools are steps, in nodes that are async functions and in plain ones, and replay."""
    view = await app.run(agent, "weather in Rome")
    assert (view.status, ENTERED) == ("completed", ["Rome"]), view.error
    assert b"sunny in Rome" in bytes(view.output)
    assert await steps(app, view.id) == [
        ("model", "demo", "ask", "completed"),
        ("tool", "weather", "tools", "completed"),
        ("model", "demo", "ask", "completed"),
    ]
    assert not view.tainted
    await same(app, view)


async def test_tasks_side_by_side_have_lanes(app: App) -> None:
    """Nodes at once, tasks of one node and those of graphs inside of it have a lane each."""
    view = await app.run("fans", {"items": ["tea", "cup"], "said": []})
    assert view.status == "completed", view.error
    lanes = sorted(lane for _, _, lane, _ in await steps(app, view.id))
    inner = [f"within.{outer}/answer.{index}" for outer in (0, 1) for index in (0, 1)]
    assert lanes == ["left", "right", *inner]
    assert len(msgspec.json.decode(view.output)) == 6
    await same(app, view)


async def test_an_interrupt_asks_a_person(app: App) -> None:
    """A run waits where its graph interrupts itself, and goes on with the answer, with nothing called twice."""
    view = await app.run("orders", {"item": "tea"})
    assert (view.status, view.reason) == ("waiting", "input"), view.error
    (held,) = [step.seq for step in (await app.runs.steps(view.id)).data if step.kind == "input"]
    await app.runs.resolve(view.id, Resolution(action="answer", step=held, result=msgspec.Raw(b'"yes"')))
    await story(app, view.id)
    done = await app.runs.get(view.id)
    assert (done.status, ENTERED) == ("completed", ["tea"]), done.error
    assert msgspec.json.decode(done.output) == {"item": "tea", "price": "sunny in tea", "answer": "yes"}
    await same(app, done)


async def test_tool_calls_side_by_side(app: App) -> None:
    """Calls that a model makes at once are steps each, whose results come in their order."""
    view = await app.run("asks", "weather in Rome and Oslo")
    assert (view.status, sorted(ENTERED)) == ("completed", ["Oslo", "Rome"]), view.error
    assert b"sunny in Rome" in bytes(view.output) and b"sunny in Oslo" in bytes(view.output)
    await same(app, view)


async def test_a_thread_goes_on(app: App) -> None:
    """The next run of a thread begins with the messages of the state that the one before came to."""
    await app.run("asks", "weather in Rome", thread_id="t")
    view = await app.run("asks", "weather in Oslo", thread_id="t")
    assert view.status == "completed", view.error
    said = [msgspec.json.decode(each) for each in (await app.threads.messages("t")).data]
    turn = ["user", "assistant", "tool", "assistant"]
    assert [each["role"] for each in said] == [*turn, *turn]
    assert said[4]["content"] == "weather in Oslo"
    await same(app, view)


async def test_deltas_are_events(app: App) -> None:
    """The pieces of an answer are told as they come, of a model of Runwright's and of one that LangChain asks."""
    for agent, told in (("asks", "This is the demo model, not an LLM. You said: Hello"), ("owns", "It is green.")):
        seen: list[Event] = []
        handle = await app.runs.create(RunRequest(agent=agent, input=b'"Hello"', mode="stream"))
        async for group in app.runs.events(handle.run_id):
            seen += group
        pieces = [event.data.text for event in seen if isinstance(event.data, MessageDelta)]
        assert len(pieces) > 1 and "".join(pieces) == told


async def test_a_model_of_their_own_is_a_step(app: App) -> None:
    """A chat model of LangChain performs the request inside of the step, and is not asked again in a replay."""
    view = await app.run("owns", "What is it?")
    assert (view.status, bytes(view.output)) == ("completed", b'"It is green."'), view.error
    assert [name for _, name, _, _ in await steps(app, view.id)] == ["fake:green"]
    await same(app, view)
    assert ENTERED == ["asked"]


async def test_a_conversation_is_not_written_out_for_the_lanes(app: App) -> None:
    """Callbacks that learn the lanes of tasks have LangChain make no text of what a model is asked."""
    view = await app.run("speaks", {"item": "tea"})
    assert view.status == "completed", view.error
    assert [name for _, name, _, _ in await steps(app, view.id)] == ["demo"] and ENTERED == []


async def test_the_status_of_an_error_of_their_own_says_what_it_means(app: App) -> None:
    """What a chat model of LangChain raises is an error of the step, by the status that it carries."""
    view = await app.run("owns", "fail")
    assert (view.status, view.error and view.error.code) == ("failed", "rate_limited"), view.error


async def test_a_structured_answer(app: App) -> None:
    """`with_structured_output` works, and a key of the state can be the output."""
    view = await app.run("fills", "the colour is green")
    assert (view.status, list(msgspec.json.decode(view.output))) == ("completed", ["colour"]), view.error
    assert view.status == "completed"
    await same(app, view)


async def test_what_a_graph_injects_is_no_argument(app: App) -> None:
    """A tool is given the state of the graph, and the step holds what the model asked."""
    view = await app.run("books", "book Rome")
    assert (view.status, ENTERED) == ("completed", ["book Rome 2"]), view.error
    (step,) = [each for each in (await app.runs.steps(view.id)).data if each.kind == "tool"]
    assert (step.effect, msgspec.json.decode(step.result)) == ("once", '{"booked": "Rome"}')
    await same(app, view)


async def test_what_a_tool_refuses_is_a_result(app: App) -> None:
    """A ToolException is on record as what the tool said, and raised again to the graph, also in a replay."""
    view = await app.run("books", "book Nowhere")
    assert (view.status, bytes(view.output)) == (
        "completed",
        b'"The result is ToolException: there is no such place."',
    ), view.error
    await same(app, view)


async def test_a_tool_is_held(app: App) -> None:
    """A tool that needs an approval waits for a person, and the model reads a refusal."""
    view = await app.run("asks", "weather in Rome and Oslo", config={"approvals": {"weather": {}}})
    assert (view.status, view.reason, ENTERED) == ("waiting", "approval", [])
    held = [step.seq for step in (await app.runs.steps(view.id)).data if step.kind == "tool"]
    await app.runs.resolve(view.id, Resolution(action="approve", step=held[0]))
    await app.runs.resolve(view.id, Resolution(action="deny", step=held[1]))
    await story(app, view.id)
    done = await app.runs.get(view.id)
    assert (done.status, ENTERED) == ("completed", ["Rome"]), done.error
    assert bytes(done.output) == b'"The result is sunny in Rome. A person did not allow it."'


async def test_several_interrupts_ask_at_once(app: App) -> None:
    """Nodes that interrupt themselves side by side are a question each, and what was done before is not done again."""
    view = await app.run("polls", {"items": ["a", "b"], "said": []})
    assert (view.status, view.reason) == ("waiting", "input"), view.error
    held = [step.seq for step in (await app.runs.steps(view.id)).data if step.kind == "input"]
    assert len(held) == 2
    for seq, told in zip(held, ("yes", "no"), strict=True):
        answer = Resolution(action="answer", step=seq, result=msgspec.Raw(msgspec.json.encode(told)))
        await app.runs.resolve(view.id, answer)
    await story(app, view.id)
    done = await app.runs.get(view.id)
    assert (done.status, msgspec.json.decode(done.output)) == ("completed", ["a yes", "b no"]), done.error
    assert sorted(ENTERED) == ["a", "b"]
    await same(app, done)


async def test_a_tool_that_is_a_step_cannot_interrupt(app: App) -> None:
    """A tool that interrupts the graph from inside of a step says what to do instead."""
    view = await app.run("stops", {"item": "tea"})
    assert (view.status, view.error and view.error.code) == ("failed", "tool_failed")
    assert "cannot interrupt the graph" in (view.error.message if view.error else "")


async def test_more_threads_wait_than_the_loop_has(app: App) -> None:
    """Plain functions that hold a thread until their step is done take none from it, and none from other runs."""
    views = await asyncio.gather(*(app.run("calls-in-a-thread", {"item": "Rome"}) for _ in range(MORE)))
    assert [view.status for view in views] == ["completed"] * MORE


@pytest.mark.parametrize("is_late", [False, True], ids=["before_its_turn", "after_the_run"])
async def test_no_thread_waits_for_a_run_that_is_over(is_late: bool) -> None:
    """What a thread asks for as its run ends, and after it, is cancelled."""
    context: Any = None
    run, loop = GraphRun(context, {}), asyncio.get_running_loop()

    async def work() -> int:
        return 1

    def ask() -> str:
        if not is_late:
            # In the turn after the one in which the work begins, or in the same.
            loop.call_soon_threadsafe(loop.call_soon, run.close)
        try:
            return str(run.in_thread(work()))
        except asyncio.CancelledError:
            return "cancelled"

    if is_late:
        run.close()
    assert await asyncio.to_thread(ask) == "cancelled"


async def test_cancelled(app: App) -> None:
    """A run that is cancelled stops in its tool, also where a plain function waits for it in a thread."""
    for agent in ("waits", "waits-in-a-thread"):
        handle = await app.runs.create(RunRequest(agent=agent, input=b'{"item": "tea"}', mode="background"))
        async for group in app.runs.events(handle.run_id):
            if any(isinstance(event.data, CustomEmitted) for event in group):
                await app.runs.cancel(handle.run_id)
        assert (await app.runs.get(handle.run_id)).status == "cancelled"


async def test_the_world_past_the_steps_is_noticed(app: App) -> None:
    """A node that connects to something by itself taints the run, in a thread as on the loop."""
    for agent in ("strays", "strays-in-a-thread"):
        view = await app.run(agent, {"item": "tea"})
        assert (view.status, len(view.tainted)) == ("completed", 1), view.error
        assert "opened a connection to 127.0.0.1" in view.tainted[0]


async def test_a_runtime_context(app: App) -> None:
    """`context` is what nodes find in their runtime: an object, or what a function makes of the run's context."""
    view = await app.run("knows", {"item": "tea"})
    assert (view.status, msgspec.json.decode(view.output)) == ("completed", "tea for knows"), view.error


async def test_what_a_caller_sends_is_the_state(app: App) -> None:
    """Input that does not fit the state of the graph is refused with what would."""
    with pytest.raises(InvalidRequest, match="send an object with item, price, answer"):
        await app.run("orders", "tea")


@pytest.mark.parametrize(
    ("config", "told", "place"),
    [
        ({"graph": StateGraph(MessagesState)}, "call its compile", "/config/graph"),
        ({"graph": len}, "no compiled graph of LangGraph", "/config/graph"),
        ({"graph": ordering(), "output": "colour"}, "gives no 'colour', but item, price, answer", "/config/graph"),
        ({"graph": asking(weather, stops=["tools"])}, "compiled with breakpoints", "/config/graph"),
    ],
    ids=["not compiled", "no graph", "no such output", "breakpoints"],
)
async def test_what_is_wrong_is_told_with_its_place(app: App, config: Any, told: str, place: str) -> None:
    """A definition that names nothing that can be served is refused where it says so."""
    with pytest.raises(ConfigError, match=told) as caught:
        app.registry.put(Agent("wrong", template="langgraph", config=config).declare())
    assert [each for each, _ in caught.value.problems] == [place]


async def test_steps_are_within_runs() -> None:
    """A model or a tool whose calls are steps says so where there is no run."""
    for call in (StepModel().ainvoke("Hello"), as_step(weather).ainvoke({"city": "Rome"})):
        with pytest.raises(RunError, match="works within a run"):
            await call
    with pytest.raises(TypeError, match="already"):
        as_step(as_step(weather))


async def test_an_async_node_awaits(app: App) -> None:
    """A call that would block the event loop is refused with what to write in its place."""
    view = await app.run("blocks", {"item": "tea"})
    assert view.status == "failed" and "use `ainvoke`" in (view.error.message if view.error else "")

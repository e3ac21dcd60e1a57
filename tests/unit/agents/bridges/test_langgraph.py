"""Graphs of LangGraph, served as they are."""

from __future__ import annotations

import operator
from collections.abc import AsyncGenerator
from typing import Annotated, Any, TypedDict

import msgspec
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import BaseTool, ToolException, tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode, tools_condition
from langgraph.types import Send, interrupt

from runwright import Agent, App
from runwright.agents.bridges.langchain import StepModel, as_step
from runwright.app import AppOptions
from runwright.core.event import Event
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.journal.tape import read_tape
from runwright.models import ModelRegistry
from runwright.service.views import Resolution, RunView
from runwright.settings import Settings

pytestmark = pytest.mark.anyio

ENTERED: list[str] = []


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


def asking(*tools: BaseTool, is_sync: bool = False) -> Any:
    """A model and its tools, in turn."""
    model = StepModel().bind_tools(tools)

    async def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    def ask_sync(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask_sync if is_sync else ask)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "ask")
    graph.add_conditional_edges("ask", tools_condition)
    graph.add_edge("tools", "ask")
    return graph.compile()


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


def fanned() -> Any:
    """Nodes side by side, some of them tasks of one node, whose order is theirs."""
    inner = StateGraph(Topics, output_schema=Said)
    inner.add_node("answer", answer)
    inner.add_conditional_edges(START, lambda state: [Send("answer", {"item": each}) for each in state["items"]])
    inner.add_edge("answer", END)
    within = inner.compile()

    async def left(_: Topics) -> dict[str, Any]:
        return await answer({"item": "same"})

    async def right(_: Topics) -> dict[str, Any]:
        return await answer({"item": "same"})

    graph = StateGraph(Topics)
    graph.add_node("left", left)
    graph.add_node("right", right)
    graph.add_node("within", within)
    graph.add_conditional_edges(START, lambda state: [Send("within", {"items": state["items"], "said": []})] * 2)
    graph.add_edge(START, "left")
    graph.add_edge(START, "right")
    return graph.compile()


class Order(TypedDict, total=False):
    """An order, and whether it may be made."""

    item: str
    price: str
    answer: str


def ordering() -> Any:
    """A graph that asks a person, after a call in the same node."""
    look = as_step(weather, effect="once")

    async def order(state: Order) -> Order:
        price = await look.ainvoke({"city": state["item"]})
        allowed = interrupt({"question": "May I?", "price": price})
        return {"price": price, "answer": allowed}

    graph = StateGraph(Order)
    graph.add_node("order", order)
    graph.add_edge(START, "order")
    return graph.compile()


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

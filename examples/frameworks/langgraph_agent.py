"""Graphs of LangGraph, served as they are: their model and tool calls are steps, and an interrupt asks a person.

runwright run guide "weather in Rome" --agents examples/frameworks

With `pip install 'runwright[local]'` and `runwright models pull smollm2-135m` the second one answers on this machine:
`runwright run local-guide "Say hello." --agents examples/frameworks`.
"""

from typing import Any

from langchain_core.tools import tool
from langgraph.graph import (  # pyright: ignore[reportMissingTypeStubs] - typed, but for its __init__
    START,
    MessagesState,
    StateGraph,
)
from langgraph.prebuilt import ToolNode, tools_condition

from runwright import Agent
from runwright.agents.bridges.langchain import StepModel, as_step


@tool
async def weather(city: str) -> str:
    """Say the weather in a city."""
    return f"sunny in {city}"


tools = [as_step(weather, effect="read")]
model = StepModel().bind_tools(tools)
talker = StepModel(ref="local:smollm2-135m").bind(max_tokens=24)


async def ask(state: MessagesState) -> dict[str, Any]:
    """Ask the model, which may call a tool."""
    return {"messages": [await model.ainvoke(state["messages"])]}


def talk(state: MessagesState) -> dict[str, Any]:
    """Ask another model: a node may be a plain function."""
    return {"messages": [talker.invoke(state["messages"])]}


graph: Any = StateGraph(MessagesState)
graph.add_node("ask", ask)
graph.add_node("tools", ToolNode(tools))
graph.add_edge(START, "ask")
graph.add_conditional_edges("ask", tools_condition)
graph.add_edge("tools", "ask")

small: Any = StateGraph(MessagesState)
small.add_node("talk", talk)
small.add_edge(START, "talk")

guide = Agent("guide", template="langgraph", config={"graph": graph.compile()})
local = Agent("local-guide", template="langgraph", config={"graph": small.compile()})

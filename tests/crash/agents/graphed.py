"""A graph of LangGraph that buys and sells, served where `CRASH_GRAPHED` is set: it takes a second to load."""

import os
from typing import Any, NamedTuple

from runwright import Agent

from .market import MODEL, act

if "CRASH_GRAPHED" in os.environ:
    from langchain_core.runnables import RunnableConfig
    from langchain_core.tools import tool
    from langgraph.graph import (  # pyright: ignore[reportMissingTypeStubs] - typed, but for its __init__
        START,
        MessagesState,
        StateGraph,
    )
    from langgraph.prebuilt import ToolNode, tools_condition

    from runwright.agents.bridges.langchain import StepModel, as_step

    class Call(NamedTuple):
        """What the witness is told of a call."""

        run_id: str
        idempotency_key: str

    def _call(config: RunnableConfig, name: str) -> Call:
        run_id: str = config.get("configurable", {})["thread_id"]
        return Call(run_id, f"{run_id}-{name}")

    @tool
    async def look(topic: str, config: RunnableConfig) -> str:
        """Look something up."""
        return await act("look", _call(config, "look"), f"{topic} is green")

    @tool
    async def reserve(item: str, config: RunnableConfig) -> str:
        """Reserve an item."""
        return await act("reserve", _call(config, "reserve"), f"reserved {item}")

    @tool
    async def charge(amount: int, config: RunnableConfig) -> str:
        """Charge a card."""
        return await act("charge", _call(config, "charge"), f"charged {amount}")

    @tool
    async def notify(to: str, config: RunnableConfig) -> str:
        """Send a message."""
        return await act("notify", _call(config, "notify"), f"told {to}")

    @tool
    async def stamp(text: str, config: RunnableConfig) -> str:
        """Stamp a paper."""
        return await act("stamp", _call(config, "stamp"), f"stamped {text}")

    effects = {"look": "read", "reserve": "idempotent", "stamp": "idempotent"}
    tools = [as_step(each) for each in (look, reserve, charge, notify, stamp)]
    model = StepModel().bind_tools(tools)

    async def ask(state: MessagesState) -> dict[str, Any]:
        """Ask what comes next."""
        return {"messages": [await model.ainvoke(state["messages"])]}

    market: Any = StateGraph(MessagesState)
    market.add_node("ask", ask)
    market.add_node("tools", ToolNode(tools))
    market.add_edge(START, "ask")
    market.add_conditional_edges("ask", tools_condition)
    market.add_edge("tools", "ask")

    graphed = Agent(
        "graphed", template="langgraph", model=MODEL, config={"graph": market.compile(), "effects": effects}
    )

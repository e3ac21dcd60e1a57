"""Agents of other frameworks with models that answer at once: behind plain FastAPI, and as what Runwright serves.

Each asks its model, calls a tool and asks again. Nothing is recorded behind FastAPI.
"""

import argparse
from typing import Any

import uvicorn
from fastapi import FastAPI
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.graph import (  # pyright: ignore[reportMissingTypeStubs] - typed, but for its __init__
    START,
    MessagesState,
    StateGraph,
)
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from runwright import Agent
from runwright.agents.bridges.langchain import StepModel, as_step


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """A tool call, then words."""
    if len(messages) == 1:
        return ModelResponse(parts=[ToolCallPart("look", {"at": "tea"}, tool_call_id="1")])
    return ModelResponse(parts=[TextPart("It is green.")])


desk = PydanticAgent(FunctionModel(answer), instructions="Look first.", name="desk")


@desk.tool_plain(name="look", metadata={"effect": "read"})
async def look_plain(at: str) -> str:
    """Look at something."""
    return f"{at} is green"


@tool
async def look(at: str) -> str:
    """Look at something."""
    return f"{at} is green"


class Instant(BaseChatModel):
    """The same as a chat model of LangChain."""

    @property
    def _llm_type(self) -> str:
        return "instant"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    def _generate(self, messages: list[Any], *_: Any, **__: Any) -> ChatResult:
        said = AIMessage("It is green.")
        if len(messages) == 1:
            said = AIMessage("", tool_calls=[{"name": "look", "args": {"at": "tea"}, "id": "1", "type": "tool_call"}])
        return ChatResult(generations=[ChatGeneration(message=said)])

    async def _agenerate(self, messages: list[Any], *_: Any, **__: Any) -> ChatResult:
        return self._generate(messages)


def graph(model: BaseChatModel, used: Any) -> Any:
    """A model and its tool, in turn."""
    bound = model.bind_tools([used])

    async def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    made: Any = StateGraph(MessagesState)
    made.add_node("ask", ask)
    made.add_node("tools", ToolNode([used]))
    made.add_edge(START, "ask")
    made.add_conditional_edges("ask", tools_condition)
    made.add_edge("tools", "ask")
    return made.compile()


steps = graph(StepModel(ref="bench:instant", asks=Instant()), as_step(look, effect="read"))
served = [
    Agent("pydantic-ai", template="pydantic-ai", config={"agent": desk}),
    Agent("langgraph", template="langgraph", config={"graph": steps}),
]


class Asked(BaseModel):
    input: str


def application() -> FastAPI:
    """The same agents, as the documentation of their frameworks shows them behind FastAPI."""
    app = FastAPI()
    compiled = graph(Instant(), look)

    @app.post("/pydantic-ai")
    async def ask_desk(asked: Asked) -> dict[str, str]:
        return {"output": (await desk.run(asked.input)).output}

    @app.post("/langgraph")
    async def ask_graph(asked: Asked) -> dict[str, str]:
        came = await compiled.ainvoke({"messages": [{"role": "user", "content": asked.input}]})
        return {"output": came["messages"][-1].text}

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(application(), port=parser.parse_args().port, log_level="warning")

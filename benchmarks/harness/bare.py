"""The bare peer: Pydantic AI agents behind FastAPI, as its documentation shows it. Nothing is recorded.

The provider (and so the HTTP client) is shared between the agents: a new one each costs 15 ms.
"""

import argparse
import json
from collections.abc import AsyncIterator
from typing import Literal

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from harness.wire import INSTRUCTIONS, parse_model


class RunRequest(BaseModel):
    input: str
    mode: Literal["wait", "stream"] = "wait"


class RunAnswer(BaseModel):
    output: str


def lookup(key: str) -> str:
    """Look a key up.

    Args:
        key: The key.
    """
    return f"value of {key}"


def build_agents(models: list[str]) -> dict[str, Agent[None, str]]:
    """One agent per model name; those that call a tool have one."""
    provider = OpenAIProvider()
    return {
        model: Agent(
            OpenAIChatModel(model, provider=provider),
            instructions=INSTRUCTIONS,
            tools=[lookup] if parse_model(model).calls_tool else [],
        )
        for model in models
    }


def _event(name: str, data: dict[str, str]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


async def _stream(agent: Agent[None, str], text: str) -> AsyncIterator[str]:
    async with agent.run_stream(text) as result:
        async for delta in result.stream_text(delta=True, debounce_by=None):
            yield _event("message.delta", {"text": delta})
    yield _event("run.completed", {"status": "completed"})


def build_app(agents: dict[str, Agent[None, str]]) -> FastAPI:
    """The one endpoint, in the shape of the native face so that one client drives both."""
    app = FastAPI()

    @app.post("/api/v1/agents/{name}/runs", response_model=None)
    async def run(name: str, request: RunRequest) -> RunAnswer | StreamingResponse:
        agent = agents[name]
        if request.mode == "stream":
            return StreamingResponse(_stream(agent, request.input), media_type="text/event-stream")
        result = await agent.run(request.input)
        return RunAnswer(output=result.output)

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--models", nargs="+", required=True)
    options = parser.parse_args()
    app = build_app(build_agents(options.models))
    uvicorn.run(app, port=options.port, loop="uvloop", http="httptools", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()

"""A server over a real App in memory, and a client that needs no socket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from runwright import Agent, App, Context, tool
from runwright.app import AppOptions
from runwright.models import ModelRegistry
from runwright.server import create_server
from runwright.settings import Settings


class City(BaseModel):
    """What the structured agent gives."""

    city: str


@tool(effect="once")
async def send_mail(to: str) -> str:
    """Send a mail, and lose the connection on the way."""
    raise ConnectionError(f"lost while sending to {to}")


@tool(effect="once", approval=True)
async def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


async def asks(text: str, context: Context) -> object:
    """An agent that asks a person."""
    return await context.ask("How many?", schema={"type": "integer"})


async def upper(text: str) -> str:
    """An agent in code."""
    return text.upper()


async def fails(text: str) -> str:
    """An agent whose code is wrong."""
    raise KeyError(text)


async def mails(text: str, context: Context) -> str:
    """An agent whose one effect has an unknown outcome."""
    return str(await context.tool("send_mail", to=text))


async def waits(text: str) -> str:
    """An agent that takes an hour."""
    await asyncio.sleep(3600)
    return text


async def think(text: str, context: Context) -> str:
    """An agent whose answer is not what its model says."""
    answer = await context.model(text)
    return f"[{answer.message.content}]"


TOOLS: list[Any] = [send_mail]
PAYING: list[Any] = [pay]
AGENTS = (
    Agent("support", model="demo", instructions="Be brief.", description="Answers."),
    Agent("tuned", model="demo", settings={"temperature": 0, "seed": 7}),
    Agent("structured", model="demo", output=City),
    Agent("busy", model="demo:fail-429"),
    Agent("waits", run=waits),
    Agent("upper", run=upper),
    Agent("fails", run=fails),
    Agent("mails", run=mails, tools=TOOLS),
    Agent("pays", model="demo", tools=PAYING),
    Agent("asks", run=asks),
    Agent("think", run=think, model="demo"),
    Agent("slow", model="demo:slow"),
)


@pytest.fixture
async def app() -> AsyncIterator[App]:
    """An App in memory with the agents of these tests."""
    settings = Settings(model="demo", heartbeat_s=0.05, drain_s=0)
    models = ModelRegistry(default="demo")
    async with App(settings, agents=AGENTS, models=models, options=AppOptions(is_in_memory=True)) as app:
        yield app


@pytest.fixture
def server(app: App) -> FastAPI:
    """The ASGI application."""
    return create_server(app)


@pytest.fixture
async def client(server: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the server."""
    transport = httpx2.ASGITransport(app=server, raise_app_exceptions=True)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


def plain(body: Any, *, also: tuple[str, ...] = ()) -> Any:
    """A JSON body whose ids, times and other changing values are replaced by their names."""
    changing = {"id", "run_id", "root_run_id", "request_id", "key", "fingerprint", "ts", "created", *also}

    def shown(name: str, value: Any) -> Any:
        is_changing = value is not None and (name in changing or name.endswith("_at"))
        return f"<{name}>" if is_changing else plain(value, also=also)

    match body:
        case list():
            items = cast("list[Any]", body)
            return [plain(item, also=also) for item in items]
        case dict():
            fields = cast("dict[str, Any]", body)
            return {name: shown(name, value) for name, value in fields.items()}
        case _:
            return body

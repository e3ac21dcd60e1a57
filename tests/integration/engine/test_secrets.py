"""Secrets in a whole App."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from pydantic import SecretStr

from runwright import Agent, App, Context, tool
from runwright.app import AppOptions
from runwright.core.event import Event
from runwright.core.run import Run
from runwright.models import ModelRegistry
from runwright.settings import Settings

SECRET = "S3CRET/VALUE"
ADDRESS = "https://api.example/?key="


@tool(effect="read")
async def give(context: Context) -> dict[str, str]:
    """Give an address with the secret in it."""
    return {"url": ADDRESS + context.secret("x_key")}


@tool(effect="read")
async def fail(context: Context) -> str:
    """Fail as HTTP clients do."""
    raise RuntimeError(f"401 for {ADDRESS}{context.secret('x_key')}")


@tool(effect="read")
async def take(url: str) -> int:
    """Take an address as it is."""
    assert url == ADDRESS + SECRET
    return 1


@tool(effect="once")
async def lose(context: Context) -> str:
    """Lose the connection after sending."""
    raise ConnectionError(f"lost {ADDRESS}{context.secret('x_key')}")


@tool(effect="once")
async def wait(context: Context) -> str:
    """Give the secret too late."""
    await context.state["release"].wait()
    return ADDRESS + context.secret("x_key")


async def work(name: str, context: Context) -> object:
    """Tell the secret by a tool, or in one's own words."""
    told = ADDRESS + context.secret("x_key")
    match name:
        case "raise":
            raise RuntimeError(told)
        case "progress":
            context.progress(told)
        case "emit":
            context.emit("told", {"url": told})
        case "return":
            return {"url": told}
        case "pass":
            await context.tool("take", url=told)
        case _:
            await context.tool(name)
    return None


TOOLS = [give, take, fail, lose, wait]
AGENT = Agent("a", run=work, tools=TOOLS, limits={"tool_timeout_s": 0.01})
SETTINGS = Settings(secrets={"x_key": SecretStr(SECRET)})


class Recorded:
    """A reader that keeps all events as they are stored."""

    def __init__(self) -> None:
        self.text = ""

    def record(self, run: Run, events: Sequence[Event]) -> None:
        """Keep them."""
        self.text += "".join(msgspec.json.encode(event.data).decode() for event in events) + repr(run)


@pytest.mark.parametrize("name", ["give", "fail", "lose", "raise", "progress", "emit", "return", "pass"])
async def test_who_tells_a_secret_is_not_recorded_with_it(name: str) -> None:
    """A secret in a result, an error or an event is neither recorded nor answered."""
    recorded = Recorded()
    options = AppOptions(is_in_memory=True, readers=(recorded,))
    async with App(SETTINGS, agents=[AGENT], models=ModelRegistry(default="demo"), options=options) as app:
        run = await app.run("a", name)
    assert f"{ADDRESS}[redacted]" in recorded.text
    assert SECRET not in f"{recorded.text} {bytes(run.output)} {run.error}"


async def test_an_outcome_that_comes_late_is_recorded_without_the_secret() -> None:
    """What a `once` tool gives after its step was given up is cleaned as well."""
    release = asyncio.Event()
    recorded = Recorded()
    options = AppOptions(is_in_memory=True, readers=(recorded,))
    async with App(SETTINGS, agents=[AGENT], models=ModelRegistry(default="demo"), options=options) as app:
        app._state["release"] = release  # pyright: ignore[reportPrivateUsage] - what a lifespan yields
        run = await app.run("a", "wait")
        assert run.status == "waiting"
        release.set()
        async for _ in app.runs.events(run.id):
            continue
    assert f"{ADDRESS}[redacted]" in recorded.text
    assert SECRET not in recorded.text

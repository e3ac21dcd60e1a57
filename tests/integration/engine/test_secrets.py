"""Secrets in a whole App."""

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


@tool(effect="once")
async def lose(context: Context) -> str:
    """Lose the connection after sending."""
    raise ConnectionError(f"lost {ADDRESS}{context.secret('x_key')}")


async def work(name: str, context: Context) -> object:
    """Call one of the tools."""
    return await context.tool(name)


class Recorded:
    """A reader that keeps all events as they are stored."""

    def __init__(self) -> None:
        self.text = ""

    def record(self, run: Run, events: Sequence[Event]) -> None:
        """Keep them."""
        self.text += "".join(msgspec.json.encode(event.data).decode() for event in events) + repr(run)


@pytest.mark.parametrize("name", ["give", "fail", "lose"])
async def test_a_tool_that_tells_its_secret(name: str) -> None:
    """A secret that a tool gives back, or puts into an error, is neither recorded nor answered."""
    settings = Settings(secrets={"x_key": SecretStr(SECRET)})
    agent = Agent("a", run=work, tools=[give, fail, lose])
    recorded = Recorded()
    options = AppOptions(is_in_memory=True, readers=(recorded,))
    async with App(settings, agents=[agent], models=ModelRegistry(default="demo"), options=options) as app:
        run = await app.run("a", name)
    assert f"{ADDRESS}[redacted]" in recorded.text
    assert SECRET not in f"{recorded.text} {bytes(run.output)} {run.error}"

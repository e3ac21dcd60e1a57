"""`runwright threads`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from runwright import Agent, tool
from runwright.app import App, AppOptions
from runwright.cli import threads
from runwright.cli.run import perform
from runwright.core.run import RunRequest
from runwright.errors import NotFound
from runwright.service.threads import ThreadBody
from runwright.settings import Settings
from tests.unit.cli.fakes import FakeCall


@tool(effect="read")
async def weather(city: str) -> str:
    """Say the weather in a city."""
    return f"sunny in {city}"


@asynccontextmanager
async def talked(folder: Path) -> AsyncGenerator[App]:
    """An app with three threads, one of which has two turns, and a run that failed."""
    agents = [Agent("helper", tools=[weather]), Agent("broken", model="demo:fail-400")]
    options = AppOptions(is_in_memory=True)
    made = await asyncio.to_thread(lambda: App(Settings(model="demo", data=folder), agents=agents, options=options))
    async with made as app:
        for thread in ("a-one", "b-two"):
            await app.threads.create(ThreadBody(id=thread, title="Title", user="ada"))
        for agent, said in (("helper", "hello"), ("helper", "weather in Oslo"), ("broken", "lost")):
            await perform(app, RunRequest(agent=agent, input=msgspec.json.encode(said), thread_id="c-talk"), FakeCall())
        yield app


async def test_threads_are_listed(tmp_path: Path) -> None:
    """Threads stand newest first, by pages, for one user where that is wanted, and as JSON."""
    async with talked(tmp_path) as app:
        call = FakeCall(app)
        await threads.ls(limit=2, call=call)
        assert [line.split("\t")[0] for line in call.printed.splitlines()] == ["THREAD", "c-talk", "b-two"]
        assert "--after b-two" in call.noted
        call = FakeCall(app, is_json=True)
        await threads.ls(user="ada", call=call)
        assert [each["id"] for each in msgspec.json.decode(call.printed)["data"]] == ["b-two", "a-one"]


async def test_what_was_said_is_shown(tmp_path: Path) -> None:
    """A thread is shown with what its next run is going to send; a run that failed left nothing."""
    async with talked(tmp_path) as app:
        call = FakeCall(app)
        await threads.show("c-talk", call=call)
        assert "user:\nweather in Oslo\n" in call.printed
        assert "tool weather:\nsunny in Oslo\n" in call.printed
        assert "lost" not in call.printed
        assert "runwright chat AGENT --thread c-talk" in call.noted
        call = FakeCall(app, is_json=True)
        await threads.show("c-talk", call=call)
        shown = msgspec.json.decode(call.printed)
        assert shown["thread"]["id"] == "c-talk"
        assert shown["messages"]["data"][0] == {"role": "user", "content": "hello"}
        call = FakeCall(app)
        await threads.show("a-one", call=call)
        assert call.printed.splitlines()[:3] == ["a-one", "title: Title", "user: ada"]
        with pytest.raises(NotFound, match="'gone'"):
            await threads.show("gone", call=FakeCall(app))

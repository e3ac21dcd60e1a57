"""`runwright schedules`: agents that run by themselves, at times."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from runwright import Agent, App, InvalidRequest, NotFound
from runwright.app import AppOptions
from runwright.cli import schedules
from runwright.cli.failures import Exit
from runwright.cli.remote import connect
from runwright.cli.schedules import What
from runwright.models import ModelRegistry
from runwright.settings import Settings
from tests.unit.cli.fakes import FakeCall

pytestmark = pytest.mark.anyio


async def _fails(text: str) -> str:
    raise KeyError(text)


@pytest.fixture
async def app() -> AsyncIterator[App]:
    """An App in memory."""
    agents = (Agent("a", model="demo"), Agent("fails", run=_fails))
    options = AppOptions(is_in_memory=True)
    models = ModelRegistry(default="demo")
    async with App(Settings(model="demo", drain_s=0), agents=agents, models=models, options=options) as app:
        yield app


async def test_a_schedule_is_made_changed_and_taken_away(app: App) -> None:
    """Options become fields, and another way to say when takes the place of the first one."""
    call = FakeCall(app)
    what = What(cron="0 9 * * 1-5", tz="Europe/Berlin", overlap="queue", tag=("x",), run_config='{"model": "demo"}')
    await schedules.add("s", "a", '"hi"', as_json=True, what=what, call=call)
    lines = call.printed.splitlines()
    assert lines[:3] == ["s active", "agent: a", 'input: "hi"']
    assert "when: 0 9 * * 1-5 Europe/Berlin" in lines
    definition = (await app.schedules.get("s")).definition
    assert (definition.overlap, definition.tags, definition.config) == ("queue", ("x",), {"model": "demo"})
    assert call.noted.startswith("It fires where a server")
    await schedules.set("s", what=What(every=60, jitter=5), input="bye", call=call)
    definition = (await app.schedules.get("s")).definition
    assert (definition.cron, definition.every_s, definition.jitter_s, definition.input) == (None, 60, 5, "bye")
    listed = FakeCall(app)
    await schedules.ls(call=listed)
    assert listed.printed.splitlines()[1].startswith("s\ta\tevery 60 s\tactive\t")
    await schedules.pause("s", call=call)
    await schedules.ls(call=listed)
    assert listed.printed.splitlines()[-1] == "s\ta\tevery 60 s\tpaused\t\t0"
    await schedules.resume("s", call=call)
    await schedules.rm("s", call=call)
    with pytest.raises(NotFound):
        await schedules.show("s", call=call)


async def test_what_would_start_nothing_is_told(app: App) -> None:
    """The list says below it which schedules cannot run and why, and so does one that is shown."""
    empty = FakeCall(app)
    await schedules.ls(call=empty)
    assert "A server takes up those of definitions" in empty.noted
    await app.agents.create({"name": "brief", "model": "demo"})
    await schedules.add("s", "brief", "hi", what=What(every=60), call=FakeCall(app))
    await app.agents.delete("brief")
    call = FakeCall(app)
    await schedules.ls(call=call)
    assert call.noted.startswith("s: s starts nothing: there is no agent 'brief'")
    await schedules.show("s", call=call)
    assert "problem: there is no agent 'brief'" in call.printed


async def test_a_trigger_prints_the_answer(app: App) -> None:
    """A trigger waits for its run, prints what it gave and tells how it ended; `show` has it by hand."""
    await schedules.add("s", "a", "hi", what=What(at="2099-01-01T09:00:00"), call=FakeCall(app))
    call = FakeCall(app)
    await schedules.trigger("s", call=call)
    assert call.printed == "This is the demo model, not an LLM. You said: hi\n"
    shown = FakeCall(app)
    await schedules.show("s", call=shown)
    assert "when: once at 2099-01-01 09:00:00" in shown.printed
    assert "started by hand" in shown.printed
    as_json = FakeCall(app, is_json=True)
    await schedules.show("s", call=as_json)
    (firing,) = msgspec.json.decode(as_json.printed)["firings"]["data"]
    assert firing["run_id"] in call.noted


async def test_a_trigger_ends_as_its_run(app: App) -> None:
    """The exit code is that of a failed run when its run failed, with the reason on stderr."""
    await schedules.add("s", "fails", "hi", what=What(every=60), call=FakeCall(app))
    call = FakeCall(app)
    with pytest.raises(Exit):
        await schedules.trigger("s", call=call)
    assert "KeyError" in call.noted


def test_coming_times() -> None:
    """The coming times of an expression are printed as the zone's clocks show them."""
    call = FakeCall()
    after = datetime(2026, 3, 28)  # noqa: DTZ001 - as a user writes it
    schedules.next("30 2 * * *", tz="Europe/Berlin", count=2, after=after, call=call)
    assert call.printed == "Sat 2026-03-28 02:30 CET\nSun 2026-03-29 03:00 CEST\n"
    call = FakeCall(is_json=True)
    schedules.next("30 2 * * *", count=1, after=datetime(2026, 3, 28, tzinfo=UTC), call=call)
    assert msgspec.json.decode(call.printed) == {"data": ["2026-03-28T02:30:00Z"]}
    for cron, tz in (("x", "UTC"), ("* * * * *", "Nowhere")):
        with pytest.raises(InvalidRequest):
            schedules.next(cron, tz=tz, call=FakeCall())


async def test_on_a_server(app: App) -> None:
    """Over HTTP the same questions go to the endpoints of the noun."""
    made = await app.schedules.create({"name": "s", "agent": "a", "every_s": 60, "input": "hi"})
    seen: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.method, request.path_qs))
        if request.path.endswith("firings") or (request.method, request.path) == ("GET", "/api/v1/schedules"):
            return _json({"data": []})
        if request.path.endswith("trigger"):
            return _json({"schedule": "s", "run_id": "run_1"}, status=202)
        return _json(made)

    server = web.Application()
    server.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(server) as listening, connect(str(listening.make_url("/")), key=None) as remote:
        there = remote.schedules
        assert await there.create({"name": "s"}) == made
        assert await there.get("s") == await there.pause("s") == await there.resume("s") == made
        assert await there.patch("s", {"every_s": 9}) == made
        assert (await there.trigger("s")).run_id == "run_1"
        assert not (await there.find(agent="a")).data
        assert not (await there.firings("s", before=3, limit=2)).data
        await there.delete("s")
    api = "/api/v1/schedules"
    assert seen == [
        ("POST", api),
        ("GET", f"{api}/s"),
        ("POST", f"{api}/s/pause"),
        ("POST", f"{api}/s/resume"),
        ("PATCH", f"{api}/s"),
        ("POST", f"{api}/s/trigger"),
        ("GET", f"{api}?agent=a&limit=50"),
        ("GET", f"{api}/s/firings?after=3&limit=2"),
        ("DELETE", f"{api}/s"),
    ]


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")

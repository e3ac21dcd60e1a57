"""`runwright drain`: a server over real HTTP on loopback."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from runwright.cli.drain import follow
from runwright.cli.remote import RemoteDrains, connect
from runwright.service.drains import DrainBody, DrainView
from tests.unit.cli.fakes import FakeCall

DRAINED = DrainView(status="drained", executing=0, left=1)
STATES = (DrainView(status="draining", executing=2, left=0), DrainView(status="draining", executing=2, left=0), DRAINED)


@asynccontextmanager
async def serving(states: Sequence[DrainView], asked: list[object]) -> AsyncGenerator[RemoteDrains]:
    """The drain of a server."""
    left = list(states)

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            asked.append(await request.json())
        return web.Response(body=msgspec.json.encode(left.pop(0)), content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/api/v1/drain", answer)
    async with TestServer(app) as server, connect(str(server.make_url("/")), key=None) as remote:
        yield remote.drains


async def test_the_command_waits_and_shows_progress() -> None:
    """How many runs are at work is told when it changes, and in the end how many were left."""
    asked: list[object] = []
    async with serving(STATES, asked) as drains:
        call = FakeCall()
        await follow(drains, DrainBody(timeout_s=5), is_waiting=True, out=call.out)
    assert asked == [{"timeout_s": 5.0}]
    assert call.noted == "draining: 2 runs are at work\n"
    assert call.printed == "drained: 1 runs were left for the next start\n"


@pytest.mark.parametrize(("no_wait", "shown"), [(True, STATES[0]), (False, DRAINED)])
async def test_the_answer_is_json(*, no_wait: bool, shown: DrainView) -> None:
    """With `--json` the last state is printed; with `--no-wait` that is the first one."""
    async with serving(STATES, []) as drains:
        call = FakeCall(is_json=True)
        await follow(drains, DrainBody(), is_waiting=not no_wait, out=call.out)
    assert msgspec.json.decode(call.printed, type=DrainView) == shown

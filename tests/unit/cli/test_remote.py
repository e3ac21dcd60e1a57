"""A server as commands see it, over real HTTP on loopback."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from runwright.cli.remote import Remote, connect
from runwright.core.ports import RunFilter
from runwright.core.run import RunRequest
from runwright.errors import InvalidRequest, NotFound, Unavailable
from runwright.service.call_views import CallQuery
from runwright.service.error_views import ErrorQuery, ErrorReport
from runwright.service.views import CostQuery, Resolution
from tests.unit.cli.fakes import a_run

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def frame(seq: int, kind: str, step: int | None = None, **body: object) -> bytes:
    """An event as the server sends it."""
    data = {"type": kind, "seq": seq, "run_id": "run_1", "step_id": step, "ts": "2026-01-01T00:00:00Z", **body}
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (seq, kind.encode(), msgspec.json.encode(data))


STARTED = frame(1, "run.started", loop=1)
DELTA = frame(2, "message.delta", 1, text="x")
COMPLETED = frame(3, "run.completed", output="x")


@asynccontextmanager
async def served(method: str, path: str, handler: Handler, *, key: str | None = None) -> AsyncGenerator[Remote]:
    """A server with one route, and the way to it."""
    app = web.Application()
    app.router.add_route(method, path, handler)
    async with TestServer(app) as server, connect(str(server.make_url("/")), key=key) as remote:
        yield remote


def json(value: object, status: int = 200) -> web.Response:
    """An answer."""
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


async def test_a_run_is_created_in_the_background() -> None:
    """The body holds the input as JSON and what was asked for; the key goes along."""
    seen: list[object] = []

    async def create(request: web.Request) -> web.Response:
        seen.extend([request.headers["Authorization"], await request.json()])
        return json(a_run(status="queued"), 202)

    request = RunRequest(agent="a b", input=b'"hi"', user="ann", tags=("t",), config={"model": "demo"})
    async with served("POST", "/api/v1/agents/a b/runs", create, key="k") as remote:
        handle = await remote.runs.create(request)
    assert handle.run_id == "run_1"
    assert seen[0] == "Bearer k"
    assert isinstance(seen[1], dict)
    assert (seen[1]["input"], seen[1]["mode"], seen[1]["user"], seen[1]["tags"]) == ("hi", "background", "ann", ["t"])
    assert seen[1]["config"] == {"model": "demo"}


async def test_filters_become_a_query() -> None:
    """What is not asked for is left out."""
    seen: dict[str, str] = {}

    async def find(request: web.Request) -> web.Response:
        seen.update(request.query)
        return json({"data": [a_run()], "has_more": True, "next": "run_1"})

    async with served("GET", "/api/v1/runs", find) as remote:
        page = await remote.runs.find(RunFilter(agent="support", limit=5))
    assert seen == {"agent": "support", "limit": "5"}
    assert ([run.id for run in page.data], page.next) == (["run_1"], "run_1")


async def test_a_search_is_a_list_with_a_text() -> None:
    """The text goes beside the filters, and how far the server looked comes back."""
    seen: dict[str, str] = {}

    async def find(request: web.Request) -> web.Response:
        seen.update(request.query)
        return json({"data": [], "has_more": True, "next": "run_1", "matches": {}, "looked_at": 9, "back_to": None})

    async with served("GET", "/api/v1/runs", find) as remote:
        page = await remote.searches.find("100% & more", RunFilter(agent="support", limit=5))
    assert seen == {"agent": "support", "limit": "5", "text": "100% & more"}
    assert (page.looked_at, page.next) == (9, "run_1")


async def test_errors_are_asked_for() -> None:
    """What is not asked for is left out; the answer is read whole."""
    seen: dict[str, str] = {}

    async def find(request: web.Request) -> web.Response:
        seen.update(request.query)
        return json(ErrorReport(since=None, until=None, data=[], total=3))

    async with served("GET", "/api/v1/errors", find) as remote:
        report = await remote.stats.errors(ErrorQuery(agent="support"))
    assert (seen, report.total) == ({"since": "7d", "agent": "support"}, 3)


async def test_events_go_on_where_the_line_broke() -> None:
    """When the connection ends before the run, the client attaches again after the last event it has."""
    attached: list[str] = []

    async def events(request: web.Request) -> web.StreamResponse:
        attached.append(request.headers["Last-Event-ID"])
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b":\n\n" + STARTED + DELTA if len(attached) == 1 else COMPLETED)
        return answer

    async def run(_: web.Request) -> web.Response:
        return json(a_run(status="running", ended_at=None) if len(attached) == 1 else a_run(last_seq=3))

    app = web.Application()
    app.router.add_get("/api/v1/runs/run_1/events", events)
    app.router.add_get("/api/v1/runs/run_1", run)
    async with TestServer(app) as server, connect(str(server.make_url("/")), key=None) as remote:
        found = [event async for group in remote.runs.events("run_1") for event in group]
    assert [(event.seq, event.type, event.step) for event in found] == [
        (1, "run.started", None),
        (2, "message.delta", 1),
        (3, "run.completed", None),
    ]
    assert attached == ["0", "2"]


async def test_an_error_comes_back_as_what_it_was() -> None:
    """A problem of the server becomes the same class, with its message and its problems."""

    async def missing(_: web.Request) -> web.Response:
        return json({"detail": "There is no run 'x'.", "code": "not_found"}, 404)

    async def wrong(_: web.Request) -> web.Response:
        places = [{"pointer": "/result", "detail": "a result is needed"}]
        return json({"detail": "Not valid.", "code": "invalid_request", "errors": places}, 422)

    async with served("GET", "/api/v1/runs/x", missing) as remote:
        with pytest.raises(NotFound, match="There is no run 'x'"):
            await remote.runs.get("x")
    async with served("POST", "/api/v1/runs/x/resolve", wrong) as remote:
        with pytest.raises(InvalidRequest) as caught:
            await remote.runs.resolve("x", Resolution(action="retry"))
    assert caught.value.problems == (("/result", "a result is needed"),)


async def test_an_error_in_the_stream_is_raised() -> None:
    """An `error` event is the server's error, not an event of the run."""

    async def events(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b'event: error\ndata: {"event":"error","code":"not_found","detail":"gone"}\n\n')
        return answer

    async with served("GET", "/api/v1/runs/run_1/events", events) as remote:
        with pytest.raises(NotFound, match="gone"):
            _ = [group async for group in remote.runs.events("run_1")]


async def test_nobody_answers() -> None:
    """A server that cannot be reached is an error that names it and says what to do."""
    async with connect("http://127.0.0.1:1", key=None) as remote:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1.*runwright serve"):
            await remote.runs.get("x")


async def test_somebody_else_answers() -> None:
    """Another program behind the URL is recognised, whatever it says."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>")

    async def refusal(_: web.Request) -> web.Response:
        return web.Response(text="<html>", status=404)

    for handler in (page, refusal):
        async with served("GET", "/api/v1/runs/x", handler) as remote:
            with pytest.raises(Unavailable, match="not a Runwright server"):
                await remote.runs.get("x")


async def test_two_runs_are_compared_by_the_server() -> None:
    """The ids stand in the path, escaped, and the answer is the diff."""
    measure = {"input_tokens": 1, "output_tokens": 0, "nano_usd": None, "duration_s": None}
    side = {"agent": "a", "version": "1", "status": "completed", "reason": None, "steps": 0, "measure": measure}
    sides = {"left": {**side, "run_id": "run_1"}, "right": {**side, "run_id": "run 2"}}
    body: dict[str, object] = {
        **sides,
        "is_same": True,
        "delta": measure,
        "first_divergence": None,
        "changes": [],
        "steps": [],
    }

    async def compare(request: web.Request) -> web.Response:
        return json(body)

    async with served("GET", "/api/v1/runs/run_1/diff/run 2", compare) as remote:
        diff = await remote.diffs.between("run_1", "run 2")
    assert (diff.is_same, diff.right.run_id, diff.delta.nano_usd) == (True, "run 2", None)


async def test_costs_are_asked_of_the_server() -> None:
    """The question goes as a body, so that it can hold a file of prices; the answer is the report."""
    seen: list[object] = []
    usage: dict[str, object] = {"input_tokens": 5, "output_tokens": 1}
    total = {"key": None, "calls": 1, "unpriced_calls": 0, "usd": "0.5", "usage": usage, "what_if": None}

    async def report(request: web.Request) -> web.Response:
        seen.append(await request.json())
        return json({"by": "day", "since": None, "until": None, "data": [], "total": total})

    async with served("POST", "/api/v1/costs", report) as remote:
        found = await remote.costs.report(CostQuery(by="day", prices="version = '1'"))
    assert (found.total.usd, found.total.usage.input_tokens) == ("0.5", 5)
    assert isinstance(seen[0], dict)
    assert (seen[0]["by"], seen[0]["prices"]) == ("day", "version = '1'")


async def test_calls_are_asked_of_the_server() -> None:
    """What is asked stands in the query, and what is not is left out."""

    async def calls(request: web.Request) -> web.Response:
        assert dict(request.query) == {"since": "30d", "model": "acme:x", "order": "dearest", "limit": "50"}
        return json({"data": [], "has_more": False, "next": None})

    async with served("GET", "/api/v1/costs/calls", calls) as remote:
        assert (await remote.costs.calls(CallQuery(model="acme:x"))).data == []


async def test_the_cost_of_a_run_is_asked_of_the_server() -> None:
    """The id stands in the path, escaped."""

    async def cost(request: web.Request) -> web.Response:
        return json({"run_id": "run 1", "cost": {"usd": None, "source": "unpriced"}, "steps": []})

    async with served("GET", "/api/v1/runs/run 1/cost", cost) as remote:
        assert (await remote.costs.run("run 1")).cost.usd is None


async def test_a_conversation_is_asked_for_by_its_id() -> None:
    """An id of a caller's own stands in the path as one part of it; what is left out of a listing is not asked for."""
    seen: list[str] = []

    async def said(request: web.Request) -> web.Response:
        seen.append(request.raw_path)
        is_said = request.path.endswith("/messages")
        return json({"data": [{"role": "user", "content": "hi"}] if is_said else [], "has_more": False})

    async with served("GET", "/api/v1/{path:.*}", said) as remote:
        page = await remote.threads.messages("a?b")
        await remote.threads.list(user="ada", limit=5)
    assert [bytes(raw) for raw in page.data] == [b'{"role":"user","content":"hi"}']
    assert seen == ["/api/v1/threads/a%3Fb/messages", "/api/v1/threads?user=ada&limit=5"]

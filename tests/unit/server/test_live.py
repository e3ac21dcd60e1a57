"""The stream of a browser: what it is told, from where on, and how it ends."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec
import pytest
from fastapi import FastAPI
from starlette.types import Message

from runwright import App
from runwright.core.run import RunRequest

Told = tuple[str, dict[str, Any]]


class Browser:
    """A connection that listens, and gives frame by frame what it hears; heartbeats are none."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[Told] = asyncio.Queue()
        self.headers: dict[bytes, bytes] = {}
        self.beats = 0
        self.beat = asyncio.Event()
        self.is_over = False
        self._asked = False

    async def receive(self) -> Message:
        """The request, then nothing: it stays."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: Message) -> None:
        """Take what the server sends."""
        if message["type"] == "http.response.start":
            self.headers = dict(message["headers"])
            return
        self.is_over = not message.get("more_body", False)
        for frame in message["body"].decode().split("\n\n")[:-1]:
            if frame == ":":
                self.beats += 1
                self.beat.set()
                continue
            name, data = frame.split("\n")
            self.frames.put_nowait((name.removeprefix("event: "), msgspec.json.decode(data.removeprefix("data: "))))

    async def next(self, name: str) -> dict[str, Any]:
        """The next frame, which has that name."""
        heard, data = await self.frames.get()
        assert heard == name, data
        return data


@asynccontextmanager
async def listening(server: FastAPI, query: str) -> AsyncGenerator[Browser]:
    """A browser that listens while the block lasts."""
    browser = Browser()
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/live",
        "raw_path": b"/live",
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost")],
        "server": ("localhost", 80),
        "client": ("localhost", 1),
    }
    async with asyncio.TaskGroup() as group:
        stream = group.create_task(server(scope, browser.receive, browser.send))
        try:
            yield browser
        finally:
            stream.cancel()


async def test_runs_are_told_as_they_change(app: App, server: FastAPI) -> None:
    """Runs that change behind the position are told with their rows, as they stand; those before it are not."""
    await app.run("upper", "before")
    async with listening(server, f"runs={await app.live.position()}") as browser:
        run = await app.run("upper", "a")
        told = await browser.next("runs")
        while told["runs"][-1]["status"] != "completed":
            told = await browser.next("runs")
        assert [row["id"] for row in told["runs"]] == [run.id]
        assert told["position"] == await app.live.position()
        assert browser.headers[b"content-type"].startswith(b"text/event-stream")
        assert browser.headers[b"x-accel-buffering"] == b"no"


async def test_a_followed_run_is_told_to_its_end(app: App, server: FastAPI) -> None:
    """Events of a run come in order from behind a number, without their bodies, and the last frame says it is over.

    When all that is followed is over the stream ends.
    """
    run = await app.run("think", "a secret")
    async with listening(server, f"run={run.id}@1") as browser:
        told = await browser.next("run")
        assert [event["type"] for event in told["events"]][-1] == "run.completed"
        seqs = [event["seq"] for event in told["events"]]
        assert (seqs == sorted(seqs), seqs[0] > 1, told["seq"]) == (True, True, run.last_seq)
        assert "secret" not in str(told["events"])
        assert await browser.next("run") == {"run": run.id, "is_over": True, "events": []}
        await browser.next("end")
        assert browser.is_over


async def test_no_event_of_a_fast_run_is_lost(app: App, server: FastAPI) -> None:
    """Two streams that follow a run from its first and from a later event hear each number once and all of them."""
    request = RunRequest(agent="slow", input=b'"hello there"', mode="stream")
    handle = await app.runs.create(request)
    async with (
        listening(server, f"run={handle.run_id}@0") as first,
        listening(server, f"run={handle.run_id}@2") as second,
    ):
        whole, rest = [await _seqs(browser) for browser in (first, second)]
        stored = [event.seq async for group in app.runs.events(handle.run_id) for event in group]
        assert whole == sorted(set(whole))
        assert set(stored) <= set(whole)
        assert rest == [seq for seq in whole if seq > 2]


async def test_what_does_not_exist_ends_its_topic_alone(app: App, server: FastAPI) -> None:
    """A run that nobody knows is a failure with its name, and the rest goes on."""
    async with listening(server, f"runs={await app.live.position()}&run=run_none@0") as browser:
        told = await browser.next("failure")
        assert (told["run"], told["error"]["code"], told["error"]["retryable"]) == ("run_none", "not_found", False)
        await app.run("upper", "a")
        assert (await browser.next("runs"))["runs"]


async def test_a_silent_stream_beats_until_the_server_stops(app: App, server: FastAPI) -> None:
    """Comments come while nothing happens; a server that stops says that listening again can help."""
    async with listening(server, f"runs={await app.live.position()}") as browser:
        while browser.beats < 2:
            await browser.beat.wait()
            browser.beat.clear()
        server.state.streams.close()
        told = await browser.next("failure")
        assert (told["run"], told["error"]["retryable"], browser.is_over) == (None, True, True)


@pytest.mark.parametrize(
    "query",
    ["runs=now", "runs=1.5", "run=abc", "run=@1", "run=a@x", "&".join(f"run=r{number}@0" for number in range(65))],
    ids=["word", "fraction", "no number", "no run", "no digits", "too many"],
)
async def test_a_wrong_question_is_refused(client: httpx2.AsyncClient, query: str) -> None:
    """What cannot be listened to is told before a stream begins."""
    answer = await client.get(f"/live?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def _seqs(browser: Browser) -> list[int]:
    """The numbers of all events, in the order they came."""
    found: list[int] = []
    while not (told := await browser.next("run")).get("is_over"):
        found += [event["seq"] for event in told["events"]]
    return found

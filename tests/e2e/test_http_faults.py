"""What happens to clients when things break: readers that leave, servers that stop, many streams at once."""

import asyncio
import http.client
import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx2
import pytest

from tests.e2e.serving import Server, refused, serving

pytestmark = pytest.mark.e2e

RUNS = 50
STREAMS = 500
LONG = "word " * 60
HELLO = [{"role": "user", "content": LONG}]
POOLED_S = 6
MODES = ("wait", "stream", "background")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests that leave it running."""
    with serving(tmp_path_factory.mktemp("server"), heartbeat_s="0.5") as server:
        yield server


def events_of(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The data of the events of a stream."""
    return (json.loads(line[6:]) for line in lines if line.startswith("data: "))


def start(url: str, text: str = LONG, agent: str = "slow", **body: object) -> str:
    """Start a run in the background and give its id."""
    answer = httpx2.post(f"{url}/api/v1/agents/{agent}/runs", json={"input": text, "mode": "background", **body})
    return str(answer.json()["id"])


def get(url: str, run_id: str) -> dict[str, Any]:
    """A run as it stands."""
    run: dict[str, Any] = httpx2.get(f"{url}/api/v1/runs/{run_id}").json()
    return run


def wait(url: str, run_id: str) -> dict[str, Any]:
    """A run when it is over."""
    with httpx2.stream("GET", f"{url}/api/v1/runs/{run_id}/events", timeout=30) as answer:
        last = list(events_of(answer.iter_lines()))[-1:]
    assert not last or last[0]["type"].startswith("run."), last
    return get(url, run_id)


def test_a_reader_that_leaves_does_not_end_the_run(server: Server) -> None:
    """A native stream that breaks can be attached to again where it broke, and nothing is missing."""
    path = f"{server.url}/api/v1/agents/slow/runs"
    with httpx2.stream("POST", path, json={"input": "one two three four", "mode": "stream"}) as answer:
        run_id = answer.headers["x-run-id"]
        begun = events_of(answer.iter_lines())
        seen = [next(begun) for _ in range(6)]
    rest = f"{server.url}/api/v1/runs/{run_id}/events"
    with httpx2.stream("GET", rest, headers={"Last-Event-ID": str(seen[-1]["seq"])}) as answer:
        seen += events_of(answer.iter_lines())
    numbers = [event["seq"] for event in seen]
    assert numbers == sorted(set(numbers))
    assert seen[-1]["type"] == "run.completed"
    said = "".join(event["text"] for event in seen if event["type"] == "message.delta")
    completed = next(event for event in seen if event["type"] == "message.completed")
    assert said == completed["message"]["content"]


def test_a_chat_client_that_leaves_cancels_its_run(server: Server) -> None:
    """Nobody waits for this answer, so nobody pays for it."""
    body = {"model": "slow", "messages": [{"role": "user", "content": LONG}], "stream": True}
    with httpx2.stream("POST", f"{server.url}/v1/chat/completions", json=body) as answer:
        run_id = answer.headers["x-run-id"]
        next(answer.iter_lines())
    assert wait(server.url, run_id)["status"] == "cancelled"


def test_a_chat_client_that_gives_up_cancels_its_run(server: Server) -> None:
    """A client that waits for a whole answer and hangs up cancels it too."""
    body = {"model": "sleepy", "messages": [{"role": "user", "content": "hello"}], "user": "gives-up"}
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(f"{server.url}/v1/chat/completions", json=body, timeout=3)
    runs = httpx2.get(f"{server.url}/api/v1/runs", params={"user": "gives-up"}).json()["data"]
    assert wait(server.url, runs[0]["id"])["status"] == "cancelled"


def test_an_idle_connection_stays_open(server: Server) -> None:
    """A client that keeps its connections, as the openai package does for 5 s, is not cut off as it asks again."""
    address = urlsplit(server.url)
    with closing(http.client.HTTPConnection(address.hostname or "", address.port)) as connection:
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        closed_by_server, _, _ = select.select([connection.sock], [], [], POOLED_S)
        assert not closed_by_server


def test_two_servers_on_one_directory(tmp_path: Path) -> None:
    """The second one says what is the matter and leaves the first one alone."""
    with serving(tmp_path) as first:
        status, output = refused(tmp_path)
        assert (status, "Another server works on the data directory" in output) == (3, True)
        assert httpx2.get(f"{first.url}/readyz").status_code == 200


def test_a_stopped_server_lets_runs_finish(tmp_path: Path) -> None:
    """After SIGTERM a short run comes to its end, its reader gets the end, and the process leaves with 0."""
    with serving(tmp_path) as server:
        run_id = start(server.url, "a few words to say")
        with httpx2.stream("GET", f"{server.url}/api/v1/runs/{run_id}/events", timeout=30) as answer:
            events = events_of(answer.iter_lines())
            next(events)
            server.process.send_signal(signal.SIGTERM)
            assert list(events)[-1]["type"] == "run.completed"
        assert server.process.wait(10) == 0


def test_a_stopped_server_hands_long_runs_over(tmp_path: Path) -> None:
    """A run that takes longer than the drain goes on at the next start; its reader is told to come back."""
    with serving(tmp_path, drain_s="0.2") as server:
        run_id = start(server.url)
        with httpx2.stream("GET", f"{server.url}/api/v1/runs/{run_id}/events", timeout=30) as answer:
            events = events_of(answer.iter_lines())
            seen = [next(events) for _ in range(6)]
            server.process.send_signal(signal.SIGTERM)
            seen += events
        assert (seen[-1]["type"], seen[-1]["code"]) == ("error", "unavailable")
        assert server.process.wait(10) == 0
    with serving(tmp_path) as server:
        assert wait(server.url, run_id)["status"] == "completed"
        with httpx2.stream("GET", f"{server.url}/api/v1/runs/{run_id}/events") as answer:
            story = list(events_of(answer.iter_lines()))
        numbers = [event["seq"] for event in story]
        assert numbers == sorted(set(numbers))
        assert (story[0]["type"], story[-1]["type"]) == ("run.queued", "run.completed")


def test_a_killed_server_tells_the_whole_story_after_its_restart(tmp_path: Path) -> None:
    """A reader that was cut off by SIGKILL attaches after its last event: no number means two things."""
    with serving(tmp_path) as server:
        run_id = start(server.url)
        with httpx2.stream("GET", f"{server.url}/api/v1/runs/{run_id}/events", timeout=30) as answer:
            events = events_of(answer.iter_lines())
            seen = [next(events) for _ in range(12)]
            server.process.kill()
    with serving(tmp_path) as server:
        after = {"after": seen[-1]["seq"]}
        with httpx2.stream("GET", f"{server.url}/api/v1/runs/{run_id}/events", params=after, timeout=30) as answer:
            rest = list(events_of(answer.iter_lines()))
        with httpx2.stream("GET", f"{server.url}/api/v1/runs/{run_id}/events", timeout=30) as answer:
            whole = list(events_of(answer.iter_lines()))
    assert min(event["seq"] for event in rest) > seen[-1]["seq"]
    assert (rest[-1]["type"], whole[0]["type"], whole[-1]) == ("run.completed", "run.queued", rest[-1])
    restarted = [event["type"] for event in rest].index("step.restarted")
    said = "".join(event["text"] for event in rest[restarted:] if event["type"] == "message.delta")
    completed = next(event for event in whole if event["type"] == "message.completed")
    assert said == completed["message"]["content"]


def refusals(url: str) -> list[tuple[int, str]]:
    """Status and code of what begins a run, natively and as a chat completion, streamed and not."""
    chat = {"model": "support", "messages": HELLO}
    answers = [
        *(httpx2.post(f"{url}/api/v1/agents/support/runs", json={"input": LONG, "mode": mode}) for mode in MODES),
        *(httpx2.post(f"{url}/v1/chat/completions", json={**chat, "stream": stream}) for stream in (False, True)),
    ]
    bodies = [answer.json() for answer in answers]
    return [(answer.status_code, body.get("error", body)["code"]) for answer, body in zip(answers, bodies, strict=True)]


def heals(url: str) -> None:
    """The server becomes ready by itself and takes runs again."""
    while httpx2.get(f"{url}/readyz").status_code != 200:
        continue
    assert httpx2.post(f"{url}/api/v1/agents/support/runs", json={"input": "hello"}).json()["status"] == "completed"


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB under the data directory; a parameter has other options of the mount."""
    data = tmp_path / "data"
    data.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", getattr(request, "param", "size=4m"), "tmpfs", str(data)]
    if os.getuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("only root can mount a small file system, and not everywhere")
    yield data
    subprocess.run(["umount", "--lazy", data], check=True)


@pytest.mark.parametrize("small_disk", ["size=4m,ro"], indirect=True)
def test_a_data_directory_that_cannot_be_written(tmp_path: Path, small_disk: Path) -> None:
    """A server on a read-only file system does not start, and says what to do."""
    status, output = refused(tmp_path)
    assert (status, str(small_disk) in output, "--data" in output) == (3, True, True), output


def test_a_full_disk_is_told_and_heals(tmp_path: Path, small_disk: Path) -> None:
    """Nothing is accepted that cannot be kept: 507 on every face, not ready, and with room again all is well."""
    with serving(tmp_path) as server:
        ballast = small_disk / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(1024)):
                continue
        assert refusals(server.url) == [(507, "storage_full")] * 5
        assert httpx2.get(f"{server.url}/readyz").status_code == 503
        assert httpx2.get(f"{server.url}/livez").status_code == 200
        ballast.unlink()
        heals(server.url)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux changes the limits of another process")
@pytest.mark.parametrize("face", ["native", "openai"])
def test_a_stream_whose_run_cannot_be_kept_says_so(tmp_path: Path, face: str) -> None:
    """When the store takes no more rows in mid-run, a stream ends with the error, and the run goes on afterwards."""
    path, body = {
        "native": ("/api/v1/agents/slow/runs", {"input": LONG, "mode": "stream"}),
        "openai": ("/v1/chat/completions", {"model": "slow", "messages": HELLO, "stream": True}),
    }[face]
    with serving(tmp_path) as server:
        limit = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        with httpx2.stream("POST", server.url + path, json=body, timeout=30) as answer:
            run_id = answer.headers["x-run-id"]
            lines = (line for line in answer.iter_lines() if line.startswith("data: "))
            next(lines)
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1024, limit[1]))
            last = json.loads(list(lines)[-1][6:])
        assert last.get("error", last)["code"] == "storage_error"
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limit)
        heals(server.url)
        assert wait(server.url, run_id)["status"] in {"completed", "cancelled"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux changes the limits of another process")
def test_a_file_that_cannot_grow_is_told_and_heals(tmp_path: Path) -> None:
    """A quota that is used up is a 503 that may be tried again, and nothing is lost when it is raised."""
    with serving(tmp_path) as server:
        before = httpx2.post(f"{server.url}/api/v1/agents/support/runs", json={"input": "hello"}).json()
        limit = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1024, limit[1]))
        assert refusals(server.url) == [(503, "storage_error")] * 5
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limit)
        heals(server.url)
        assert get(server.url, before["id"]) == before


async def attached(session: aiohttp.ClientSession, url: str) -> AsyncIterator[tuple[int, str]]:
    """Number and type of each event of a stream."""
    async with session.get(url) as answer:
        number = 0
        async for line in answer.content:
            if line.startswith(b"id: "):
                number = int(line[4:])
            elif line.startswith(b"event: "):
                yield number, line[7:].decode().strip()


async def test_many_streams_lose_and_repeat_nothing(server: Server) -> None:
    """Ten readers attach to each of fifty runs at different moments, and all get the same story."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(server.url, connector=connector, timeout=aiohttp.ClientTimeout(60)) as session:

        async def begin() -> str:
            body = {"input": "word " * 20, "mode": "background"}
            async with session.post("/api/v1/agents/slow/runs", json=body) as answer:
                return str((await answer.json())["id"])

        async def read(run_id: str, delay_s: float) -> list[tuple[int, str]]:
            await asyncio.sleep(delay_s)
            return [event async for event in attached(session, f"/api/v1/runs/{run_id}/events")]

        run_ids = await asyncio.gather(*[begin() for _ in range(RUNS)])
        readers = [read(run_id, 0.05 * turn) for run_id in run_ids for turn in range(STREAMS // RUNS)]
        stories = await asyncio.gather(*readers)
    for index, run_id in enumerate(run_ids):
        first, *others = stories[index * 10 : index * 10 + 10]
        deltas = _deltas(first)
        assert (first[-1][1], len(deltas)) == ("run.completed", 30), run_id
        for story in (first, *others):
            numbers = [number for number, _ in story]
            assert numbers == sorted(set(numbers)), run_id
            assert _without_deltas(story) == _without_deltas(first), run_id
            # A reader that came after the message was complete has the message in place of its pieces.
            assert _deltas(story) in (deltas, []), run_id


def _deltas(story: list[tuple[int, str]]) -> list[tuple[int, str]]:
    return [event for event in story if event[1] == "message.delta"]


def _without_deltas(story: list[tuple[int, str]]) -> list[tuple[int, str]]:
    return [event for event in story if event[1] != "message.delta"]

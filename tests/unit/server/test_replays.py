"""Replays, forks and runs as files over HTTP."""

from __future__ import annotations

import httpx2
import pytest

RUNS = "/api/v1/agents/support/runs"


@pytest.fixture(name="run")
async def _run(client: httpx2.AsyncClient) -> str:
    """A run that is over."""
    return (await client.post(RUNS, json={"input": "hello"})).json()["id"]


async def test_a_replay_is_a_run(client: httpx2.AsyncClient, run: str) -> None:
    """A replay without a body repeats the run; nothing is used again, and the diff says that it is the same."""
    again = (await client.post(f"/api/v1/runs/{run}/replay")).json()
    assert (again["status"], again["replay_of"], again["usage"]["input_tokens"]) == ("completed", run, 0)
    assert (await client.get(f"/api/v1/runs/{run}/diff/{again['id']}")).json()["is_same"]


async def test_an_edit_diverges(client: httpx2.AsyncClient, run: str) -> None:
    """A replay with another configuration is over as diverged, and its events show the difference."""
    body = {"config": {"instructions": "Be kind."}}
    again = (await client.post(f"/api/v1/runs/{run}/replay", json=body)).json()
    assert (again["status"], again["error"]["code"]) == ("failed", "diverged")
    story = (await client.get(f"/api/v1/runs/{again['id']}/events")).text
    assert "event: replay.diverged" in story
    assert "Be kind." in story


async def test_a_fork_goes_on_live(client: httpx2.AsyncClient, run: str) -> None:
    """A fork at the first step asks the model again, with the change."""
    (step,) = (await client.get(f"/api/v1/runs/{run}/steps")).json()["data"]
    body = {"at": step["seq"], "input": "goodbye"}
    fork = (await client.post(f"/api/v1/runs/{run}/fork", json=body)).json()
    assert fork["status"] == "completed", fork
    assert (fork["input"], "goodbye" in fork["output"]) == ("goodbye", True)


async def test_modes(client: httpx2.AsyncClient, run: str) -> None:
    """A replay is streamed, or left in the background, as any run is."""
    streamed = await client.post(f"/api/v1/runs/{run}/replay", json={"mode": "stream"})
    assert "event: run.completed" in streamed.text
    left = await client.post(f"/api/v1/runs/{run}/replay", json={"mode": "background"})
    assert (left.status_code, left.headers["location"]) == (202, f"/api/v1/runs/{left.json()['id']}")


async def test_a_repeated_key_attaches(client: httpx2.AsyncClient, run: str) -> None:
    """The same Idempotency-Key gives the same replay."""
    headers = {"Idempotency-Key": "once"}
    first, second = [
        (await client.post(f"/api/v1/runs/{run}/replay", json={}, headers=headers)).json()["id"] for _ in range(2)
    ]
    assert first == second


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("replay", {"live": ["models"]}, 422),
        ("replay", {"live": ["all:x"]}, 422),
        ("replay", {"at": 999}, 422),
        ("replay", {"at": "x"}, 422),
        ("replay", {"results": {"3": "x"}}, 422),
        ("replay", {"results": {"x": 1}}, 422),
        ("replay", {"unknown": 1}, 422),
        ("replay", {"config": {"model": "local:/etc/passwd.gguf"}}, 422),
        ("replay", {"version": "9.9.9"}, 404),
        ("replay", {"agent": "nobody"}, 404),
        ("fork", {}, 422),
    ],
    ids=str,
)
async def test_mistakes(client: httpx2.AsyncClient, run: str, path: str, body: dict[str, object], status: int) -> None:
    """What cannot be is refused with a problem, and nothing is begun."""
    answer = await client.post(f"/api/v1/runs/{run}/{path}", json=body)
    assert (answer.status_code, "detail" in answer.json()) == (status, True), answer.text
    assert len((await client.get("/api/v1/runs")).json()["data"]) == 1


async def test_runs_that_cannot_be_replayed(client: httpx2.AsyncClient) -> None:
    """An unknown run is 404, one that goes on is 409."""
    assert (await client.post("/api/v1/runs/run_none/replay")).status_code == 404
    live = (await client.post("/api/v1/agents/waits/runs", json={"input": "x", "mode": "background"})).json()["id"]
    assert (await client.post(f"/api/v1/runs/{live}/replay")).status_code == 409
    assert (await client.get(f"/api/v1/runs/{live}/export")).status_code == 409
    await client.post(f"/api/v1/runs/{live}/cancel")


async def test_files(client: httpx2.AsyncClient, run: str) -> None:
    """An exported run is taken in again as what it is; anything else is refused."""
    file = await client.get(f"/api/v1/runs/{run}/export")
    assert (file.status_code, file.headers["content-type"]) == (200, "application/gzip")
    taken = await client.post("/api/v1/runs/import", content=file.content)
    assert (taken.status_code, taken.json()["id"]) == (201, run)
    assert (await client.post("/api/v1/runs/import", content=b"hello")).status_code == 422
    for rule in ("nothing", "own=["):
        refused = await client.get(f"/api/v1/runs/{run}/export", params={"redact": rule})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request"), refused.text


async def test_a_group(client: httpx2.AsyncClient) -> None:
    """A group is a story with totals, whatever its label is."""
    await client.post(RUNS, json={"input": "hello", "group": "a/b"})
    view = (await client.get("/api/v1/groups/a%2Fb", params={"steps": 5})).json()
    assert (view["group"], view["runs"], [step["name"] for step in view["steps"]]) == ("a/b", 1, ["demo"])
    assert (await client.get("/api/v1/groups/none")).status_code == 404

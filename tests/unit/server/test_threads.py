"""Threads over HTTP, against a real App in memory."""

import httpx2
import pytest
from inline_snapshot import snapshot

from tests.unit.server.conftest import plain

THREADS = "/api/v1/threads"


async def test_a_thread_is_made_changed_and_taken_away(client: httpx2.AsyncClient) -> None:
    """The life of a thread."""
    made = await client.post(THREADS, json={"id": "t1", "title": "First", "user": "u1"})
    assert (made.status_code, made.headers["location"], plain(made.json())) == snapshot(
        (
            201,
            "/api/v1/threads/t1",
            {
                "id": "<id>",
                "object": "thread",
                "title": "First",
                "user": "u1",
                "metadata": {},
                "head": None,
                "created_at": "<created_at>",
            },
        )
    )
    assert (await client.post(THREADS, json={"id": "t1"})).status_code == 409
    changed = (await client.patch(f"{THREADS}/t1", json={"title": "Second", "metadata": {"k": "v"}})).json()
    assert (changed["title"], changed["metadata"], changed["user"]) == ("Second", {"k": "v"}, "u1")
    assert (await client.get(f"{THREADS}/t1")).json() == changed
    assert (await client.delete(f"{THREADS}/t1")).status_code == 204
    for answer in (await client.get(f"{THREADS}/t1"), await client.delete(f"{THREADS}/t1")):
        assert answer.json()["code"] == "not_found"


async def test_a_thread_without_a_body_gets_an_id(client: httpx2.AsyncClient) -> None:
    """Nothing needs to be said about a thread; an id that is none is refused."""
    assert (await client.post(THREADS)).json()["id"].startswith("thr_")
    assert (await client.post(THREADS, json={"id": ""})).json()["errors"][0]["pointer"] == "/id"


async def test_an_id_in_any_script_can_be_found(client: httpx2.AsyncClient) -> None:
    """The location of a thread is an address, whatever its id is written in."""
    for name in ("線", "a b?c#d", "grün"):
        made = await client.post(THREADS, json={"id": name})
        assert made.status_code == 201
        assert (await client.get(made.headers["location"])).json()["id"] == name


LARGE = {"k": "v" * 17_000}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"id": "x" * 129}, "/id"),
        ({"id": "a\u0000b"}, "/id"),
        ({"id": "a\n"}, "/id"),
        ({"id": "a/b"}, "/id"),
        ({"id": ".."}, "/id"),
        ({"user": "u" * 129}, "/user"),
        ({"title": "t" * 1001}, "/title"),
        ({"metadata": LARGE}, "/metadata"),
    ],
)
async def test_what_stands_in_rows_has_bounds(client: httpx2.AsyncClient, body: object, pointer: str) -> None:
    """A thread's labels are short and printable, for a new thread and for a change."""
    answer = await client.post(THREADS, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    await client.post(THREADS, json={"id": "t1"})
    change = await client.patch(f"{THREADS}/t1", json={"metadata": LARGE})
    assert change.json()["errors"][0]["pointer"] == "/metadata"


@pytest.mark.parametrize("thread", ["a/b", "/", ".", ".."])
@pytest.mark.parametrize("name", ["thread_id", "session_id"])
async def test_a_run_makes_no_thread_that_no_path_reaches(client: httpx2.AsyncClient, thread: str, name: str) -> None:
    """A run that names a thread which could not be asked for is refused by that name, and nothing is made."""
    refused = await client.post("/api/v1/agents/support/runs", json={"input": "one", name: thread})
    assert refused.status_code == 422
    assert "'/'" in refused.json()["errors"][0]["detail"]
    assert (await client.get(THREADS)).json()["data"] == []


async def test_runs_share_their_threads_history(client: httpx2.AsyncClient) -> None:
    """A thread keeps what was said; `session_id` is another name for it, and runs can be listed by it."""
    run = "/api/v1/agents/support/runs"
    await client.post(run, json={"input": "one", "thread_id": "t1"})
    last = (await client.post(run, json={"input": "two", "session_id": "t1"})).json()
    messages = (await client.get(f"{THREADS}/t1/messages")).json()["data"]
    assert messages == snapshot(
        [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "This is the demo model, not an LLM. You said: one"},
            {"role": "user", "content": "two"},
            {"role": "assistant", "content": "This is the demo model, not an LLM. You said: two"},
        ]
    )
    assert (await client.get(f"{THREADS}/t1")).json()["head"] == last["id"]
    for name in ("thread_id", "session_id"):
        assert len((await client.get("/api/v1/runs", params={name: "t1"})).json()["data"]) == 2


async def test_a_busy_thread_is_not_taken_away(client: httpx2.AsyncClient) -> None:
    """A thread stays while a run of it is at work."""
    body = {"input": "word " * 200, "thread_id": "t1", "mode": "background"}
    run = (await client.post("/api/v1/agents/slow/runs", json=body)).json()
    assert (await client.delete(f"{THREADS}/t1")).status_code == 409
    rejected = await client.post("/api/v1/agents/slow/runs", json=body | {"multitask": "reject"})
    assert rejected.status_code == 409
    await client.post(f"/api/v1/runs/{run['id']}/cancel")
    assert (await client.get(f"{THREADS}/t1/messages")).json()["data"] == []
    assert (await client.delete(f"{THREADS}/t1")).status_code == 204


async def test_threads_are_listed_by_page_and_user(client: httpx2.AsyncClient) -> None:
    """Pages of threads follow each other by key."""
    for name in ("a", "b", "c"):
        await client.post(THREADS, json={"id": name, "user": "u1" if name != "c" else "u2"})
    first = (await client.get(THREADS, params={"limit": 2})).json()
    second = (await client.get(THREADS, params={"limit": 2, "after": first["next"]})).json()
    assert sorted(thread["id"] for page in (first, second) for thread in page["data"]) == ["a", "b", "c"]
    mine = (await client.get(THREADS, params={"user": "u1"})).json()
    assert sorted(thread["id"] for thread in mine["data"]) == ["a", "b"]

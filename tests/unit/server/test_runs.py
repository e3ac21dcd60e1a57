"""Runs over HTTP, against a real App in memory."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest
from fastapi import FastAPI
from inline_snapshot import snapshot

from runwright import App
from tests.unit.server.conftest import plain

RUNS = "/api/v1/agents/support/runs"


def events_of(text: str) -> list[dict[str, Any]]:
    """The data of every event of a stream."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [msgspec.json.decode(line) for line in lines]


async def start(client: httpx2.AsyncClient, agent: str = "support", **body: object) -> httpx2.Response:
    """Start a run and wait for it."""
    return await client.post(f"/api/v1/agents/{agent}/runs", json={"input": "hello", **body})


async def test_a_run_is_answered_when_it_is_over(client: httpx2.AsyncClient) -> None:
    """Mode `wait` gives the whole run, and names it in headers."""
    answer = await start(client, user="u1", tags=["a"], metadata={"k": "v"}, group="g")
    run = answer.json()
    assert (answer.status_code, answer.headers["content-location"], answer.headers["x-run-id"]) == (
        200,
        f"/api/v1/runs/{run['id']}",
        run["id"],
    )
    assert plain(run) == snapshot(
        {
            "id": "<id>",
            "object": "run",
            "agent": "support",
            "version": "1.0.0",
            "status": "completed",
            "reason": None,
            "is_lost": False,
            "mode": "wait",
            "thread_id": None,
            "parent_run_id": None,
            "root_run_id": "<root_run_id>",
            "replay_of": None,
            "tainted": [],
            "group": "g",
            "user": "u1",
            "tags": ["a"],
            "metadata": {"k": "v"},
            "input": "hello",
            "output": "This is the demo model, not an LLM. You said: hello",
            "finish_reason": "stop",
            "error": None,
            "usage": {
                "input_tokens": 18,
                "output_tokens": 13,
                "cached_input_tokens": 0,
                "cache_write_tokens": 0,
                "reasoning_tokens": 0,
                "requests": 1,
                "tool_calls": 0,
                "is_estimated": False,
            },
            "cost": {"usd": "0", "source": "demo"},
            "created_at": "<created_at>",
            "started_at": "<started_at>",
            "ended_at": "<ended_at>",
            "last_seq": 6,
        }
    )
    assert (await client.get(f"/api/v1/runs/{run['id']}")).json() == run


async def test_a_background_run_is_accepted_at_once(client: httpx2.AsyncClient) -> None:
    """Mode `background` gives 202 and the place of the run."""
    answer = await start(client, mode="background")
    assert answer.status_code == 202
    location = answer.headers["location"]
    assert (await client.get(location)).json()["id"] == answer.json()["id"]
    text = (await client.get(f"{location}/events")).text
    assert events_of(text)[-1]["type"] == "run.completed"


async def test_a_stream_tells_the_whole_story(client: httpx2.AsyncClient) -> None:
    """Mode `stream` gives every event in order, the terminal one last; a late reader gets the record of it."""
    answer = await start(client, mode="stream")
    live = events_of(answer.text)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [event["seq"] for event in live] == sorted(event["seq"] for event in live)
    late = events_of((await client.get(f"/api/v1/runs/{answer.headers['x-run-id']}/events")).text)
    kept = [event for event in live if event["type"] != "message.delta"]
    assert late == kept
    assert plain(late, also=("messages", "request")) == snapshot(
        [
            {
                "type": "run.queued",
                "seq": 1,
                "run_id": "<run_id>",
                "step_id": None,
                "ts": "<ts>",
                "agent": "support",
                "version": "1.0.0",
                "input": "hello",
            },
            {"type": "run.started", "seq": 2, "run_id": "<run_id>", "step_id": None, "ts": "<ts>", "loop": 2},
            {
                "type": "step.started",
                "seq": 3,
                "run_id": "<run_id>",
                "step_id": 3,
                "ts": "<ts>",
                "kind": "model",
                "name": "demo",
                "key": "<key>",
                "request": "<request>",
                "messages": "<messages>",
                "tools": None,
            },
            {
                "type": "message.completed",
                "seq": 15,
                "run_id": "<run_id>",
                "step_id": 3,
                "ts": "<ts>",
                "message": {"role": "assistant", "content": "This is the demo model, not an LLM. You said: hello"},
            },
            {
                "type": "step.completed",
                "seq": 16,
                "run_id": "<run_id>",
                "step_id": 3,
                "ts": "<ts>",
                "model": "demo, not an LLM",
                "provider": "demo",
                "finish_reason": "stop",
                "usage": {
                    "input_tokens": 18,
                    "output_tokens": 13,
                    "cached_input_tokens": 0,
                    "cache_write_tokens": 0,
                    "reasoning_tokens": 0,
                    "requests": 1,
                    "tool_calls": 0,
                    "is_estimated": False,
                },
                "cost": {"nano_usd": 0, "source": "demo"},
            },
            {
                "type": "run.completed",
                "seq": 17,
                "run_id": "<run_id>",
                "step_id": None,
                "ts": "<ts>",
                "output": "This is the demo model, not an LLM. You said: hello",
                "finish_reason": "stop",
                "usage": {
                    "input_tokens": 18,
                    "output_tokens": 13,
                    "cached_input_tokens": 0,
                    "cache_write_tokens": 0,
                    "reasoning_tokens": 0,
                    "requests": 1,
                    "tool_calls": 0,
                    "is_estimated": False,
                },
                "cost": {"nano_usd": 0, "source": "demo"},
            },
        ]
    )


async def test_a_reader_attaches_after_any_event(client: httpx2.AsyncClient) -> None:
    """`Last-Event-ID` and `after` skip what is known; nothing left is 204."""
    run = (await start(client)).json()
    events = f"/api/v1/runs/{run['id']}/events"
    whole = events_of((await client.get(events)).text)
    known = whole[2]["seq"]
    by_header = await client.get(events, headers={"Last-Event-ID": str(known)})
    by_query = await client.get(events, params={"after": known})
    assert events_of(by_header.text) == events_of(by_query.text) == whole[3:]
    assert (await client.get(events, params={"after": whole[-1]["seq"]})).status_code == 204
    assert (await client.get(events, params={"after": "x"})).status_code == 422
    assert (await client.get("/api/v1/runs/run_0/events")).status_code == 404


async def test_steps_show_requests_and_results(client: httpx2.AsyncClient) -> None:
    """The steps of a run are listed with what was asked and answered, and each can be had alone."""
    run = (await start(client)).json()
    page = (await client.get(f"/api/v1/runs/{run['id']}/steps")).json()
    assert plain(page, also=("usage",)) == snapshot(
        {
            "data": [
                {
                    "run_id": "<run_id>",
                    "seq": 3,
                    "object": "step",
                    "lane": "",
                    "kind": "model",
                    "name": "demo",
                    "key": "<key>",
                    "nth": 0,
                    "effect": "read",
                    "status": "completed",
                    "attempt": 1,
                    "request": {
                        "model": "demo",
                        "settings": {},
                        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
                        "tools": None,
                    },
                    "result": {
                        "message": {
                            "role": "assistant",
                            "content": "This is the demo model, not an LLM. You said: hello",
                        },
                        "reasoning": None,
                    },
                    "error": None,
                    "usage": "<usage>",
                    "cost": {"usd": "0", "source": "demo"},
                    "started_at": "<started_at>",
                    "ended_at": "<ended_at>",
                    "taped": None,
                    "decisions": [],
                }
            ],
            "has_more": False,
            "next": None,
        }
    )
    step = page["data"][0]
    assert (await client.get(f"/api/v1/runs/{run['id']}/steps/{step['seq']}")).json() == step
    assert (await client.get(f"/api/v1/runs/{run['id']}/steps/9999")).status_code == 404


async def test_runs_are_listed_by_page_and_filter(client: httpx2.AsyncClient) -> None:
    """Pages follow each other by key, newest first, within what the filters let through."""
    made = [(await start(client, tags=["even"] if number % 2 == 0 else [])).json()["id"] for number in range(5)]
    first = (await client.get("/api/v1/runs", params={"limit": 2})).json()
    second = (await client.get("/api/v1/runs", params={"limit": 2, "after": first["next"]})).json()
    third = (await client.get("/api/v1/runs", params={"limit": 2, "after": second["next"]})).json()
    # Ids rise with time, within a millisecond in any order.
    assert [run["id"] for page in (first, second, third) for run in page["data"]] == sorted(made, reverse=True)
    assert (first["has_more"], third["has_more"], third["next"]) == (True, False, None)
    even = (await client.get("/api/v1/runs", params={"tag": "even", "agent": "support", "status": "completed"})).json()
    assert [run["id"] for run in even["data"]] == sorted(made[::2], reverse=True)
    wrong = await client.get("/api/v1/runs", params={"state": "done"})
    told = "there is no parameter 'state'; /openapi.json lists those that there are"
    assert (wrong.status_code, wrong.json()["errors"]) == (422, [{"pointer": "query/state", "detail": told}])


async def test_a_failed_run_is_a_run(client: httpx2.AsyncClient) -> None:
    """A run that fails is answered with 200 and its error: the request did what it was asked."""
    answer = await start(client, "fails")
    assert (answer.status_code, answer.json()["status"], answer.json()["error"]) == snapshot(
        (200, "failed", {"code": "agent_error", "message": "KeyError: 'hello'"})
    )


async def test_a_step_of_unknown_outcome_is_resolved(client: httpx2.AsyncClient) -> None:
    """A waiting run says for what it waits, and goes on when somebody says what became of the step."""
    run = (await start(client, "mails")).json()
    assert (run["status"], run["reason"]) == ("waiting", "unknown_effect")
    place = f"/api/v1/runs/{run['id']}"
    assert (await client.post(f"{place}/resume")).status_code == 409
    wrong = await client.post(f"{place}/resolve", json={"action": "maybe"})
    assert wrong.json()["errors"][0]["pointer"] == "/action"
    resolved = await client.post(f"{place}/resolve", json={"action": "done", "result": "sent", "by": "me"})
    assert resolved.status_code == 200
    events = events_of((await client.get(f"{place}/events")).text)
    assert (events[-1]["type"], events[-1]["output"]) == ("run.completed", "sent")


async def test_a_run_is_cancelled(client: httpx2.AsyncClient) -> None:
    """Cancel answers with the cancelled run, and a run that is over stays as it is."""
    run = (await start(client, "slow", input="word " * 200, mode="background")).json()
    cancelled = (await client.post(f"/api/v1/runs/{run['id']}/cancel", json={"reason": "enough"})).json()
    assert cancelled["status"] == "cancelled"
    again = await client.post(f"/api/v1/runs/{run['id']}/cancel")
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")


async def test_a_run_is_paused_and_goes_on(client: httpx2.AsyncClient) -> None:
    """Pause answers with the run, which waits after its step; resume has it go on, and one that is over is refused."""
    run = (await start(client, "mails")).json()
    place = f"/api/v1/runs/{run['id']}"
    await client.post(f"{place}/resolve", json={"action": "done", "result": "sent"})
    await client.get(f"{place}/events")
    over = await client.post(f"{place}/pause", json={"reason": "lunch"})
    assert (over.status_code, over.json()["detail"]) == (
        409,
        f"{run['id']} is completed; only a run that is not over can be paused.",
    )
    assert (await client.post(f"{place}/pause", json={"why": 1})).status_code == 422
    run = (await start(client, "slow", input="word " * 20, mode="background")).json()
    assert (await client.post(f"/api/v1/runs/{run['id']}/pause")).json()["status"] in {"running", "completed"}


async def test_a_repeated_key_attaches_to_its_run(client: httpx2.AsyncClient) -> None:
    """The same Idempotency-Key and body give the same run; another body, caller's route or key do not."""
    key = {"Idempotency-Key": "k1"}
    first = await client.post(RUNS, json={"input": "hello"}, headers=key)
    again = await client.post(RUNS, json={"input": "hello"}, headers=key)
    assert again.json() == first.json()
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    other = await client.post(RUNS, json={"input": "bye"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    elsewhere = await client.post("/api/v1/agents/upper/runs", json={"input": "bye"}, headers=key)
    assert elsewhere.json()["output"] == "BYE"
    assert (await client.post(RUNS, json={}, headers={"Idempotency-Key": "k" * 256})).status_code == 422


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"", ""),
        (b'{"input": "\xff"}', ""),
        (b'{"inputs": 1}', "/inputs"),
        (b'{"input": "x", "tags": [1]}', "/tags/0"),
        (b'{"input": "x", "thread_id": "a", "session_id": "b"}', "/session_id"),
        (b'{"input": {"messages": [{"role": "nobody"}]}}', "/messages/0/role"),
    ],
)
async def test_bad_bodies_are_pointed_at(client: httpx2.AsyncClient, body: bytes, pointer: str) -> None:
    """What is wrong in a body is answered with 422 and its place."""
    answer = await client.post(RUNS, content=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


async def test_an_unknown_agent_is_not_found(client: httpx2.AsyncClient) -> None:
    """A run of nobody is 404 with a word about who there is."""
    answer = await start(client, "suport")
    assert plain(answer.json()) == snapshot(
        {
            "type": "/errors/not_found",
            "title": "There is no such thing",
            "status": 404,
            "detail": "there is no agent 'suport'; did you mean 'support'?",
            "code": "not_found",
            "retryable": False,
            "request_id": "<request_id>",
        }
    )


async def test_a_body_above_the_limit_is_refused(client: httpx2.AsyncClient) -> None:
    """More than 20 MB are not taken in."""

    async def big() -> AsyncIterator[bytes]:
        for _ in range(22):
            yield b"x" * 1024 * 1024

    answer = await client.post(RUNS, content=big())
    assert (answer.status_code, answer.json()["code"], answer.headers["connection"]) == (413, "too_large", "close")


async def test_a_drained_server_refuses_runs(client: httpx2.AsyncClient, app: App) -> None:
    """While it drains, a server answers 503 to new runs and is not ready, and still shows old ones."""
    run = (await start(client)).json()
    await app.drain()
    refused = await start(client)
    assert (refused.status_code, refused.json()["code"], refused.json()["retryable"]) == (503, "unavailable", True)
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get(f"/api/v1/runs/{run['id']}")).status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("thread_id", "t" * 129),
        ("session_id", "s\u0007"),
        ("group", "g" * 129),
        ("user", "u" * 1_000_000),
        ("tags", ["t"] * 51),
        ("tags", ["t" * 129]),
        ("version", "1" * 129),
        ("metadata", {"k": "v" * 17_000}),
    ],
)
async def test_labels_have_bounds(client: httpx2.AsyncClient, field: str, value: object) -> None:
    """What stands in rows and indexes of a run is short; the same holds for a completion."""
    answer = await client.post(RUNS, json={"input": "x", field: value})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith(f"/{field}")
    if field in {"user", "metadata"}:
        body: dict[str, object] = {"model": "support", "messages": [], field: value}
        chat = await client.post("/v1/chat/completions", json=body)
        assert (chat.status_code, chat.json()["error"]["param"]) == (422, field)


@pytest.mark.parametrize("number", ["9" * 19, "9" * 25, "9" * 5000])
async def test_numbers_that_no_row_holds_are_refused(client: httpx2.AsyncClient, number: str) -> None:
    """A number of any length is the caller's mistake, not the server's."""
    run = f"/api/v1/runs/{(await start(client)).json()['id']}"
    for path in ("steps", "events"):
        assert (await client.get(f"{run}/{path}", params={"after": number})).status_code == 422
    assert (await client.get(f"{run}/events", headers={"last-event-id": number})).status_code == 422
    assert (await client.get(f"{run}/steps/{number}")).status_code == 422
    body = {"action": "done", "step": int(number[:30]), "result": 1}
    assert (await client.post(f"{run}/resolve", json=body)).status_code == 422


async def test_a_page_of_another_site_starts_nothing(client: httpx2.AsyncClient) -> None:
    """A POST that browsers send for any page without asking, as text, is refused on both faces before it is read."""
    headers = {"content-type": "text/plain", "origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    native = await client.post(RUNS, content=b'{"input": "hi"}', headers=headers)
    assert (native.status_code, native.json()["code"]) == (403, "forbidden")
    chat = await client.post("/v1/chat/completions", content=b'{"model": "upper", "messages": []}', headers=headers)
    assert (chat.status_code, chat.json()["error"]["code"]) == (403, "forbidden")
    assert (await client.get("/api/v1/runs")).json()["data"] == []


async def test_a_stop_during_a_wait_is_said_on_both_faces(client: httpx2.AsyncClient, app: App) -> None:
    """A client that waits while the server stops gets 503 where its run is left, not 500."""
    native = asyncio.create_task(client.post("/api/v1/agents/waits/runs", json={"input": "x"} | CANCEL))
    body = {"model": "waits", "messages": [{"role": "user", "content": "x"}]}
    chat = asyncio.create_task(client.post("/v1/chat/completions", json=body))
    while len((await client.get("/api/v1/runs", params={"status": "running"})).json()["data"]) < 2:
        continue
    await app.drain()
    assert [(await native).status_code, (await chat).status_code] == [503, 503]


CANCEL = {"on_disconnect": "cancel"}


class Leaver:
    """A client that sends a body and leaves when told."""

    def __init__(self, server: FastAPI, path: str, body: object) -> None:
        self.left = asyncio.Event()
        self.run_id = asyncio.get_running_loop().create_future()
        self._server = server
        self._path = path
        self._parts = [{"type": "http.request", "body": msgspec.json.encode(body), "more_body": False}]

    async def go(self) -> None:
        """Send the request."""
        headers = [(b"host", b"localhost")]
        scope = {"type": "http", "method": "POST", "path": self._path, "headers": headers, "query_string": b""}
        await self._server(scope | {"root_path": "", "state": {}}, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if self._parts:
            return self._parts.pop()
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        for name, value in message.get("headers", ()):
            if name == b"x-run-id" and not self.run_id.done():
                self.run_id.set_result(value.decode())


@pytest.mark.parametrize(("on_disconnect", "status"), [("cancel", "cancelled"), ("continue", "completed")])
async def test_a_stream_that_is_left(
    client: httpx2.AsyncClient, server: FastAPI, app: App, on_disconnect: str, status: str
) -> None:
    """A run goes on when its reader leaves, unless the reader asked for the contrary."""
    body = {"input": "one two three four", "mode": "stream", "on_disconnect": on_disconnect}
    leaver = Leaver(server, "/api/v1/agents/slow/runs", body)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(leaver.go())
        run_id = await leaver.run_id
        leaver.left.set()
    assert (await app.runs.wait(run_id)).status == status


async def test_two_runs_are_compared(client: httpx2.AsyncClient) -> None:
    """The diff names both runs, what each took, and where they part."""
    one, two = [(await start(client, input=text)).json()["id"] for text in ("hello", "goodbye")]
    same = (await client.get(f"/api/v1/runs/{one}/diff/{one}")).json()
    assert (same["is_same"], same["first_divergence"]) == (True, None)
    diff = (await client.get(f"/api/v1/runs/{one}/diff/{two}")).json()
    assert (diff["left"]["run_id"], diff["right"]["run_id"], diff["is_same"]) == (one, two, False)
    assert [change["what"] for change in diff["changes"]] == ["input", "output"]
    step = diff["steps"][diff["first_divergence"]]
    assert (step["mark"], step["changes"][0]) == snapshot(
        (
            "changed_request",
            {"what": "messages", "text": "@@ -1,2 +1,2 @@\n user:\n-  hello\n+  goodbye", "cut": 0},
        )
    )


async def test_a_run_that_is_not_there_cannot_be_compared(client: httpx2.AsyncClient) -> None:
    """The problem names the run that is missing, whichever it is."""
    run = (await start(client)).json()["id"]
    for pair in (f"{run}/diff/run_x", f"run_x/diff/{run}"):
        answer = await client.get(f"/api/v1/runs/{pair}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert "run_x" in answer.json()["detail"]


async def test_runs_that_others_began_can_be_left_out(client: httpx2.AsyncClient) -> None:
    """With `is_root` the list holds what somebody asked for, and not the runs below."""
    chain = {"steps": [{"agent": "upper"}, {"agent": "upper"}], "input": "x"}
    begun = (await client.post("/api/v1/runs/chain", json=chain)).json()["id"]
    listed = (await client.get("/api/v1/runs", params={"is_root": "true"})).json()["data"]
    assert [run["id"] for run in listed] == [begun]
    assert len((await client.get("/api/v1/runs")).json()["data"]) == 3


async def test_runs_are_searched_for_a_text(client: httpx2.AsyncClient) -> None:
    """A list with a text has the runs that hold it, with its place, and says how far it went; no sign is a wildcard."""
    run = (await start(client, user="ada")).json()["id"]
    await start(client, input="100% sure_thing")
    answer = (await client.get("/api/v1/runs", params={"text": "HELLO", "user": "ada"})).json()
    assert ([each["id"] for each in answer["data"]], answer["looked_at"], answer["has_more"]) == ([run], 1, False)
    assert answer["matches"] == {run: {"place": "input", "before": "", "found": "hello", "after": ""}}
    for text, count in (("%", 1), ("e_t", 1), ("he%o", 0), ("_", 1)):
        assert len((await client.get("/api/v1/runs", params={"text": text})).json()["data"]) == count


@pytest.mark.parametrize("text", ["", " ", "x" * 201], ids=["empty", "blank", "long"])
async def test_a_text_that_cannot_be_searched_for_is_refused(client: httpx2.AsyncClient, text: str) -> None:
    """The problem names the parameter."""
    answer = await client.get("/api/v1/runs", params={"text": text})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/text")

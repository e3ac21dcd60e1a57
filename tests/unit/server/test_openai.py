"""The OpenAI face, against a real App in memory."""

import asyncio

import httpx2
import pytest
from fastapi import FastAPI
from inline_snapshot import snapshot

from runwright import App
from runwright.core.ports import RunFilter
from runwright.server.openai import NAMES, read
from tests.unit.server.conftest import plain
from tests.unit.server.test_completion import chunks, said
from tests.unit.server.test_runs import Leaver

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]


async def ask(client: httpx2.AsyncClient, agent: str = "support", /, **body: object) -> httpx2.Response:
    """Ask for a chat completion."""
    return await client.post(CHAT, json={"model": agent, "messages": HELLO, **body})


async def test_a_completion(client: httpx2.AsyncClient) -> None:
    """A run as a chat completion, its id in the header and in the metadata."""
    answer = await ask(client, user="u1", metadata={"k": "v"})
    assert plain(answer.json()) == snapshot(
        {
            "id": "<id>",
            "object": "chat.completion",
            "created": "<created>",
            "model": "support",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "This is the demo model, not an LLM. You said: hello",
                        "refusal": None,
                    },
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": 18,
                "completion_tokens": 13,
                "total_tokens": 31,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
            "metadata": {"run_id": "<run_id>", "status": "completed"},
        }
    )
    run = (await client.get(f"/api/v1/runs/{answer.headers['x-run-id']}")).json()
    assert (run["user"], run["metadata"], run["input"]) == ("u1", {"k": "v"}, {"messages": HELLO})
    assert answer.json()["metadata"] == {"run_id": run["id"], "status": "completed"}


async def test_a_streamed_completion_says_the_same(client: httpx2.AsyncClient) -> None:
    """The pieces of a stream make up the whole answer, and usage comes when it is asked for."""
    whole = (await ask(client)).json()
    answer = await ask(client, stream=True, stream_options={"include_usage": True})
    assert said(answer.content) == whole["choices"][0]["message"]["content"]
    made = chunks(answer.content)
    assert (made[-1], made[-2]["usage"]) == ("[DONE]", whole["usage"])
    assert made[-3]["choices"][0]["finish_reason"] == "stop"
    assert made[-2]["choices"] == []
    assert "usage" not in (await ask(client, stream=True)).text


async def test_agents_are_models(client: httpx2.AsyncClient) -> None:
    """Every agent is a model, and each of its versions by name and version."""
    models = (await client.get("/v1/models")).json()
    assert [model["id"] for model in models["data"]] == snapshot(
        ["asks", "busy", "fails", "mails", "pays", "slow", "structured", "support", "think", "tuned", "upper", "waits"]
    )
    assert plain((await client.get("/v1/models/support@1.0.0")).json(), also=("created",)) == snapshot(
        {"id": "<id>", "object": "model", "created": "<created>", "owned_by": "runwright"}
    )
    assert (await ask(client, "support@1.0.0")).status_code == 200
    for unknown in ("nobody", "support@9.9.9"):
        assert (await client.get(f"/v1/models/{unknown}")).json()["error"]["code"] == "not_found"
        assert (await ask(client, unknown)).status_code == 404


async def test_unknown_parameters_are_ignored_and_named(client: httpx2.AsyncClient) -> None:
    """What means nothing here does no harm, and the answer says what that was."""
    answer = await ask(client, temperature=0, logprobs=True, tools=[{"type": "function"}], top_k=None)
    assert (answer.status_code, answer.headers["x-runwright-ignored"]) == (200, "logprobs, tools")
    code = await ask(client, "upper", temperature=0, response_format={"type": "json_object"})
    assert code.json()["choices"][0]["message"]["content"] == "HELLO"
    assert code.headers["x-runwright-ignored"] == "response_format, temperature"


async def test_any_number_of_unknown_parameters_leaves_a_short_header(client: httpx2.AsyncClient) -> None:
    """The header names the first of many ignored parameters and says that there are more."""
    answer = await ask(client, **{f"p{number:05}": 1 for number in range(10_000)})
    named = answer.headers["x-runwright-ignored"].split(", ")
    assert (answer.status_code, len(named), named[0], named[-1]) == (200, NAMES + 1, "p00000", "...")


async def test_sampling_parameters_reach_the_model(client: httpx2.AsyncClient) -> None:
    """Parameters that the agent knows are the settings of its model calls."""
    sent = {"temperature": 0.5, "max_completion_tokens": 50, "seed": 7, "stop": "END", "top_p": 0.9}
    answer = await ask(client, **sent)
    steps = (await client.get(f"/api/v1/runs/{answer.headers['x-run-id']}/steps")).json()
    assert steps["data"][0]["request"]["settings"] == snapshot(
        {"temperature": 0.5, "top_p": 0.9, "max_tokens": 50, "seed": 7, "stop": ["END"]}
    )


async def test_the_settings_of_the_agent_stay_beneath_the_callers(app: App) -> None:
    """A caller's parameter replaces the agent's own; the agent's others stay."""
    body = b'{"model": "tuned", "messages": [], "temperature": 1, "max_tokens": 5}'
    assert read(body, app.registry, is_kept=False).config == snapshot(
        {"settings": {"temperature": 1.0, "seed": 7, "max_tokens": 5}}
    )


async def test_a_schema_shapes_the_answer(client: httpx2.AsyncClient) -> None:
    """`response_format` makes the answer JSON that fits, streamed or not."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": True}}
    answer = await ask(client, response_format=wanted)
    assert answer.json()["choices"][0]["message"]["content"] == snapshot('{"city":"hello"}')
    streamed = await ask(client, response_format=wanted, stream=True)
    assert said(streamed.content) == answer.json()["choices"][0]["message"]["content"]
    missing = await ask(client, response_format={"type": "json_schema"})
    assert missing.json()["error"]["param"] == "response_format.json_schema"


async def test_what_a_code_flow_says_is_its_output(client: httpx2.AsyncClient) -> None:
    """The texts of models inside a code flow are not the answer, streamed or not."""
    whole = (await ask(client, "think")).json()["choices"][0]["message"]["content"]
    assert whole == snapshot("[This is the demo model, not an LLM. You said: hello]")
    assert said((await ask(client, "think", stream=True)).content) == whole


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"n": 2}, 422, "n"),
        ({"messages": []}, 422, "messages"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, 422, "messages.0.role"),
        ({"temperature": "hot"}, 422, "temperature"),
        ({"temperature": 9}, 422, "temperature"),
        ({"model": 1}, 422, "model"),
    ],
)
async def test_bad_requests_are_pointed_at(
    client: httpx2.AsyncClient, body: dict[str, object], status: int, param: str
) -> None:
    """What is wrong is an OpenAI error that names the parameter and is not worth a retry."""
    answer = await ask(client, **body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["type"]) == (status, param, "invalid_request_error")
    assert answer.headers["x-should-retry"] == "false"


async def test_a_failed_run_is_an_error(client: httpx2.AsyncClient) -> None:
    """The error of a run has the status its class has, as a chunk when the stream has begun."""
    answer = await ask(client, "fails")
    assert (answer.status_code, answer.json(), answer.headers["x-should-retry"]) == snapshot(
        (
            500,
            {
                "error": {
                    "message": "KeyError: 'hello'",
                    "type": "server_error",
                    "param": None,
                    "code": "agent_error",
                }
            },
            "false",
        )
    )
    busy = await ask(client, "busy")
    assert (busy.status_code, busy.json()["error"]["type"], busy.headers["x-should-retry"]) == snapshot(
        (429, "rate_limit_error", "true")
    )
    streamed = await ask(client, "fails", stream=True)
    assert (streamed.status_code, chunks(streamed.content)[-1]) == snapshot(
        (
            200,
            {
                "error": {
                    "message": "KeyError: 'hello'",
                    "type": "server_error",
                    "param": None,
                    "code": "agent_error",
                }
            },
        )
    )


async def test_a_waiting_run_says_so(client: httpx2.AsyncClient) -> None:
    """A run that waits for somebody ends the completion with a word about it."""
    answer = (await ask(client, "mails")).json()
    assert answer["metadata"] | {"run_id": ""} == {"run_id": "", "status": "waiting", "reason": "unknown_effect"}
    assert "waits (unknown effect)" in answer["choices"][0]["message"]["content"]
    streamed = await ask(client, "mails", stream=True)
    assert chunks(streamed.content)[-2]["metadata"]["status"] == "waiting"


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_a_client_that_leaves_cancels_its_run(server: FastAPI, app: App, is_streamed: bool) -> None:
    """Nobody waits for the answer, so nobody pays for it."""
    body = {"model": "waits", "messages": HELLO, "stream": is_streamed}
    leaver = Leaver(server, CHAT, body)
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(leaver.go())
        run_id = await leaver.run_id if is_streamed else await the_run(app)
        leaver.left.set()
        await asking
    run = await app.runs.get(run_id)
    assert (run.status, run.mode) == ("cancelled", "stream" if is_streamed else "wait")


async def the_run(app: App) -> str:
    """The id of the only run, once there is one."""
    while True:
        found = await app.runs.find(RunFilter())
        if found.data:
            return found.data[0].id


async def test_a_client_with_a_key_may_come_back(client: httpx2.AsyncClient) -> None:
    """With an Idempotency-Key the run is kept, and a repeat gets its answer without another run."""
    key = {"Idempotency-Key": "k1"}
    body = {"model": "support", "messages": HELLO}
    first = await client.post(CHAT, json=body, headers=key)
    again = await client.post(CHAT, json=body, headers=key)
    assert plain(again.json()) == plain(first.json())
    assert again.headers["x-run-id"] == first.headers["x-run-id"]
    assert again.headers["idempotency-replayed"] == "true"
    streamed = await client.post(CHAT, json=body | {"stream": True}, headers=key)
    assert streamed.json()["error"]["code"] == "idempotency_mismatch"

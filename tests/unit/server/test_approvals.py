"""Approvals over HTTP."""

from typing import Any

import httpx2
from inline_snapshot import snapshot

from tests.unit.server.conftest import plain

API = "/api/v1/approvals"


async def begun(client: httpx2.AsyncClient, agent: str, said: str = "pay an amount of 50") -> Any:
    """The one approval of a run that was just started."""
    run = (await client.post(f"/api/v1/agents/{agent}/runs", json={"input": said})).json()
    assert run["status"] == "waiting"
    return (await client.get(API, params={"agent": agent})).json()["data"][0]


async def ended(client: httpx2.AsyncClient, run: str) -> Any:
    """A run when it is over."""
    await client.get(f"/api/v1/runs/{run}/events")
    return (await client.get(f"/api/v1/runs/{run}")).json()


async def test_a_call_is_approved(client: httpx2.AsyncClient) -> None:
    """A call is listed, approved, and cannot be denied afterwards."""
    view = await begun(client, "pays")
    assert plain(view, also=("since",)) == snapshot(
        {
            "id": "<id>",
            "object": "approval",
            "status": "waiting",
            "kind": "approval",
            "run_id": "<run_id>",
            "step": 6,
            "agent": "pays",
            "user": None,
            "lane": "",
            "name": "pay",
            "arguments": {"amount": 50},
            "question": None,
            "schema": None,
            "since": "<since>",
            "until": None,
            "by": "",
            "note": "",
            "resolved_at": None,
        }
    )
    url = f"{API}/{view['id']}/resolve"
    answer = await client.post(url, json={"decision": "approve", "arguments": {"amount": 5}, "by": "ada"})
    assert (answer.status_code, answer.json()["status"], answer.json()["by"]) == (200, "approved", "ada")
    assert (await ended(client, view["run_id"]))["output"] == snapshot("The result is paid 5.")
    second = await client.post(url, json={"decision": "deny"})
    assert (second.status_code, second.json()["code"]) == (409, "conflict")
    assert "was approved already by ada, at 20" in second.json()["detail"]
    assert (await client.get(f"{API}/{view['id']}")).json()["status"] == "approved"


async def test_a_question_is_answered(client: httpx2.AsyncClient) -> None:
    """A question takes an answer that fits its schema, and nothing else."""
    view = await begun(client, "asks")
    url = f"{API}/{view['id']}/resolve"
    assert (view["question"], view["schema"]) == ("How many?", {"type": "integer"})
    refused = await client.post(url, json={"decision": "answer", "result": "many"})
    assert refused.status_code == 422
    assert '"many" is not of type "integer"' in refused.json()["detail"]
    assert (await client.post(url, json={"decision": "answer", "result": 3})).json()["status"] == "answered"
    assert (await ended(client, view["run_id"]))["output"] == 3


async def test_the_run_takes_the_same(client: httpx2.AsyncClient) -> None:
    """What `approvals` takes, `resolve` of the run takes too."""
    view = await begun(client, "pays")
    url = f"/api/v1/runs/{view['run_id']}/resolve"
    answer = await client.post(url, json={"action": "deny", "note": "too much"})
    assert answer.status_code == 200
    run = await ended(client, view["run_id"])
    steps = (await client.get(f"/api/v1/runs/{run['id']}/steps")).json()["data"]
    assert [step["error"]["message"] for step in steps if step["error"]] == ["A person did not allow it: too much"]


async def test_what_is_wrong_is_told(client: httpx2.AsyncClient) -> None:
    """Unknown ids, bodies and arguments are problems in clear words."""
    view = await begun(client, "pays")
    url = f"{API}/{view['id']}/resolve"
    answers = [
        await client.get(f"{API}/run_none.3"),
        await client.post(url, json={"decision": "maybe"}),
        await client.post(url, json={"decision": "approve", "arguments": {"amount": "much"}}),
        await client.post(url, json={"decision": "answer", "result": 3}),
        await client.get(API, params={"after": "nothing"}),
    ]
    told = [
        (answer.status_code, answer.json()["detail"].replace(view["run_id"], "RUN").partition(" should")[0])
        for answer in answers
    ]
    assert told == snapshot(
        [
            (404, "There is no approval 'run_none.3'; `runwright approvals ls` lists those that wait."),
            (422, "/decision: this is one of 'answer', 'approve', 'deny', not 'maybe'"),
            (422, "the arguments do not fit: /amount: Input"),
            (409, "RUN is waiting; step 6 does not wait for an answer."),
            (404, "There is no approval 'nothing': an id is that of a run and the number of a step, as run_1.7."),
        ]
    )
    assert (await client.get(f"{API}/{view['id']}")).json()["status"] == "waiting"


async def test_waiting_runs_are_listed_by_their_reason(client: httpx2.AsyncClient) -> None:
    """A reason keeps the runs that wait for it; a word that is none is refused."""
    view = await begun(client, "pays")
    listed = {
        reason: [run["id"] for run in (await client.get("/api/v1/runs", params={"reason": reason})).json()["data"]]
        for reason in ("approval", "timer")
    }
    assert listed == {"approval": [view["run_id"]], "timer": []}
    assert (await client.get("/api/v1/runs", params={"reason": "none"})).status_code == 422

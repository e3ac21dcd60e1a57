"""Chains and parallel runs over HTTP."""

import httpx2
import pytest

CHAIN = "/api/v1/runs/chain"
PARALLEL = "/api/v1/runs/parallel"
STEPS = [{"agent": "upper"}, {"agent": "think", "input": "I heard {{ last }}"}]


async def test_a_chain_is_a_run(client: httpx2.AsyncClient) -> None:
    """The answer is the run of the chain, whose links are steps and runs that name it."""
    run = (
        await client.post(CHAIN, json={"steps": STEPS, "input": "hi", "group": "g", "user": "u", "tags": ["t"]})
    ).json()
    assert (run["agent"], run["status"], run["group"], run["user"], run["tags"]) == (
        "chain", "completed", "g", "u", ["t"],
    )  # fmt: skip
    assert run["output"] == "[This is the demo model, not an LLM. You said: I heard HI]"
    steps = (await client.get(f"/api/v1/runs/{run['id']}/steps")).json()["data"]
    assert [(step["kind"], step["name"], step["status"]) for step in steps] == [
        ("child", "upper", "completed"),
        ("child", "think", "completed"),
    ]
    children = (await client.get("/api/v1/runs", params={"parent_run_id": run["id"]})).json()["data"]
    assert [(each["agent"], each["root_run_id"]) for each in children] == [("think", run["id"]), ("upper", run["id"])]


async def test_a_group_counts_nothing_twice(client: httpx2.AsyncClient) -> None:
    """A chain uses nothing itself: what its group took is what its links took."""
    run = (await client.post(CHAIN, json={"steps": STEPS, "input": "hi", "group": "story"})).json()
    assert run["usage"]["output_tokens"] == 0
    story = (await client.get("/api/v1/groups/story")).json()
    used = [each["usage"]["output_tokens"] for each in story["members"] if each["parent_run_id"] == run["id"]]
    assert (story["runs"], story["usage"]["output_tokens"]) == (3, sum(used))
    assert sum(used) > 0


async def test_branches_run_side_by_side(client: httpx2.AsyncClient) -> None:
    """Results come by the names of the branches, and the join says when it is decided."""
    branches = [{"agent": "upper", "name": "loud"}, {"agent": "fails"}]
    run = (
        await client.post(PARALLEL, json={"branches": branches, "input": "hi", "join": "settled", "limit": 1})
    ).json()
    assert run["status"] == "completed"
    assert run["output"]["results"] == {"loud": "HI"}
    assert "KeyError: 'hi'" in run["output"]["errors"]["fails"]
    failed = (await client.post(PARALLEL, json={"branches": branches, "input": "hi"})).json()
    assert (failed["status"], failed["error"]["code"]) == ("failed", "child_failed")


async def test_modes_and_idempotency_keys(client: httpx2.AsyncClient) -> None:
    """A chain streams, goes to the background and is repeated by its key as any run is."""
    body = {"steps": STEPS, "input": "hi"}
    streamed = await client.post(CHAIN, json={**body, "mode": "stream"})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert "event: run.completed" in streamed.text
    headers = {"idempotency-key": "once"}
    first = await client.post(CHAIN, json={**body, "mode": "background"}, headers=headers)
    again = await client.post(CHAIN, json={**body, "mode": "background"}, headers=headers)
    assert (first.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert first.json()["id"] == again.json()["id"]


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        (CHAIN, {"steps": [{"agent": "upper"}, {"agent": "uper"}]}, "/steps/1/agent"),
        (CHAIN, {"steps": [{"agent": "upper", "input": "$lst"}]}, "/steps/0/input"),
        (CHAIN, {"steps": [{"agent": "upper", "inptu": 1}]}, "/steps/0/inptu"),
        (CHAIN, {"steps": [{"agent": "upper"}], "output": "$steps.x.output"}, "/output"),
        (CHAIN, {"steps": []}, "/steps"),
        (PARALLEL, {"branches": [{"agent": "lower"}]}, "/branches/0/agent"),
        (PARALLEL, {"branches": [{"agent": "upper"}], "join": 2}, "/join"),
        (PARALLEL, {"branches": [{"agent": "upper"}], "join": "most"}, "/join"),
    ],
)  # fmt: skip
async def test_what_is_wrong_has_its_place(
    client: httpx2.AsyncClient, path: str, body: dict[str, object], place: str
) -> None:
    """A body that cannot work is refused with a pointer into it, and no run is made."""
    answer = await client.post(path, json={"input": "hi", **body})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith(place), answer.json()
    assert (await client.get("/api/v1/runs")).json()["data"] == []

"""Pins over HTTP."""

import httpx2


async def test_a_run_is_pinned_and_let_go(client: httpx2.AsyncClient) -> None:
    """The answer says how it stands; an unknown run is 404."""
    run = (await client.post("/api/v1/agents/support/runs", json={"input": "hello"})).json()["id"]
    answers = [
        await client.post(f"/api/v1/runs/{run}/pin"),
        await client.get(f"/api/v1/runs/{run}/pin"),
        await client.post(f"/api/v1/runs/{run}/unpin"),
    ]
    assert [answer.json()["is_pinned"] for answer in answers] == [True, True, False]
    assert (await client.post("/api/v1/runs/run_none/pin")).status_code == 404

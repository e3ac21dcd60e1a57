"""Stats over HTTP."""

import httpx2
import pytest


async def test_stats_are_reported(client: httpx2.AsyncClient) -> None:
    """A report counts by what was asked for: model calls of the last 30 days when nothing is said."""
    await client.post("/api/v1/agents/support/runs", json={"input": "hello"})
    report = (await client.get("/api/v1/stats")).json()
    assert (report["by"], report["kind"], report["total"]["calls"], report["total"]["errors"]) == ("day", "model", 1, 0)
    runs = (await client.get("/api/v1/stats", params={"by": "agent", "kind": "run", "since": "1h"})).json()
    assert [(group["key"], group["calls"]) for group in runs["data"]] == [("support", 1)]
    assert runs["total"]["p95_s"] >= runs["total"]["p50_s"] > 0


async def test_agents_are_counted_by_their_template(client: httpx2.AsyncClient) -> None:
    """By template, runs are those of its agents; a template stands for them in any other report."""
    await client.post("/api/v1/agents/support/runs", json={"input": "hello"})
    runs = (await client.get("/api/v1/stats", params={"by": "template", "kind": "run"})).json()
    assert [(group["key"], group["calls"]) for group in runs["data"]] == [("conversation", 1)]
    of_template = (await client.get("/api/v1/stats", params={"by": "agent", "template": "conversation"})).json()
    assert [group["key"] for group in of_template["data"]] == ["support"]
    none = (await client.get("/api/v1/stats", params={"template": "chain"})).json()
    assert none["total"]["calls"] == 0


async def test_users_are_counted(client: httpx2.AsyncClient) -> None:
    """By user there are runs, of those who asked for an agent."""
    await client.post("/api/v1/agents/support/runs", json={"input": "hello", "user": "eva"})
    found = (await client.get("/api/v1/stats", params={"by": "user", "agent": "support"})).json()
    assert (found["kind"], found["is_cut"]) == ("run", False)
    assert [(group["key"], group["calls"]) for group in found["data"]] == [("eva", 1)]


async def test_errors_are_grouped(client: httpx2.AsyncClient) -> None:
    """What failed is told by agent, code and message, with its runs."""
    for _ in range(2):
        await client.post("/api/v1/agents/fails/runs", json={"input": "hello"})
    runs = (await client.get("/api/v1/runs", params={"agent": "fails"})).json()["data"]
    report = (await client.get("/api/v1/errors", params={"agent": "fails", "since": "1h"})).json()
    (group,) = report["data"]
    assert (report["total"], group["count"], group["agent"]) == (2, 2, "fails")
    assert group["runs"] == [run["id"] for run in runs]
    assert (await client.get("/api/v1/errors", params={"code": "nothing"})).json()["data"] == []
    assert (await client.get("/api/v1/errors", params={"since": "soon"})).status_code == 422


async def test_a_mistake_is_told(client: httpx2.AsyncClient) -> None:
    """What is no key, no time or no parameter is the caller's mistake."""
    for query in ({"by": "planet"}, {"since": "soon"}, {"colour": "red"}):
        assert (await client.get("/api/v1/stats", params=query)).status_code == 422


@pytest.mark.parametrize(
    ("path", "name"),
    [("stats", "template"), ("errors", "code"), ("costs", "on_model"), ("costs/calls", "user")],
)
@pytest.mark.parametrize("value", ["x" * 129, "a\u202eb"], ids=["long", "unseen"])
async def test_a_query_is_held_to_what_labels_are(client: httpx2.AsyncClient, path: str, name: str, value: str) -> None:
    """What could be no name is the caller's mistake, and the answer says which parameter it is in."""
    answer = await client.get(f"/api/v1/{path}", params={name: value})
    (problem,) = answer.json()["errors"]
    assert (answer.status_code, problem["pointer"]) == (422, f"query/{name}")

"""Memory over HTTP, against a real App in memory."""

from typing import Any

import httpx2
import msgspec
import pytest
from inline_snapshot import snapshot

from runwright.agents.agent import Agent
from runwright.app import App
from runwright.core.context import Context
from tests.unit.server.conftest import plain

MEMORY = "/api/v1/memory"
OWNER = f"{MEMORY}/agent:support"


async def keeps(text: str, context: Context) -> int:
    """Count, and note what was said."""
    count = await context.memory.get("count", 0) + 1
    await context.memory.set("count", count)
    await context.memory.append("said", text)
    await context.memory.list()
    return count


@pytest.fixture
async def run(app: App, client: httpx2.AsyncClient) -> str:
    """The id of a run that read and wrote."""
    app.registry.put(Agent("keeper", run=keeps).declare())
    done = await client.post("/api/v1/agents/keeper/runs", json={"input": "one"})
    assert done.json()["status"] == "completed", done.json()
    return done.json()["id"]


async def put(client: httpx2.AsyncClient, name: str, value: object, **more: Any) -> httpx2.Response:
    """Write a block of the agent `support`."""
    return await client.put(f"{OWNER}/blocks/{name}", json={"value": value, **more})


async def blocks(client: httpx2.AsyncClient, owner: str = "agent:support", at: str | None = None) -> dict[str, Any]:
    """The blocks of an owner."""
    found = await client.get(f"{MEMORY}/{owner}/blocks", params={} if at is None else {"at": at})
    return {block["name"]: block["value"] for block in found.json()["data"]}


async def test_a_block_is_written_and_read(client: httpx2.AsyncClient) -> None:
    """The life of a block that no run touches."""
    made = await put(client, "profile", "Ada")
    assert (made.status_code, plain(made.json())) == snapshot(
        (
            200,
            {
                "owner": "agent:support",
                "name": "profile",
                "object": "memory.block",
                "value": "Ada",
                "size": 5,
                "commit": 1,
                "run_id": None,
                "step": None,
                "created_at": "<created_at>",
            },
        )
    )
    assert (await put(client, "profile", {"name": "Ada"})).json()["commit"] == 2
    assert (await client.get(f"{OWNER}/blocks/profile")).json()["value"] == {"name": "Ada"}
    assert (await client.get(f"{OWNER}/blocks/profile", params={"at": "1"})).json()["value"] == "Ada"
    assert (await client.delete(f"{OWNER}/blocks/profile", params={"expect": 1})).status_code == 409
    assert (await client.delete(f"{OWNER}/blocks/profile")).status_code == 204
    assert (await client.get(f"{OWNER}/blocks/profile")).json()["code"] == "not_found"
    assert (await client.delete(f"{OWNER}/blocks/profile")).status_code == 404
    owners = (await client.get(MEMORY)).json()
    assert owners == {
        "data": [{"owner": "agent:support", "commit": 3, "blocks": 0, "size": 0}],
        "has_more": False,
        "next": None,
    }


async def test_the_commits_of_runs_and_others(client: httpx2.AsyncClient, run: str) -> None:
    """Each commit says what it changed, and the run and step that made it."""
    await client.put(f"{MEMORY}/agent:keeper/blocks/said", json={"value": "one\ntwo"})
    commits = (await client.get(f"{MEMORY}/agent:keeper/commits")).json()["data"]
    assert [(each["number"], each["parent"], each["run_id"], each["touched"]) for each in commits] == [
        (3, 2, None, [{"name": "said", "size": 10, "overwrote": None}]),
        (2, 1, run, [{"name": "said", "size": 5, "overwrote": None}]),
        (1, None, run, [{"name": "count", "size": 1, "overwrote": None}]),
    ]
    page = (await client.get(f"{MEMORY}/agent:keeper/commits", params={"limit": 2})).json()
    assert (page["has_more"], page["next"]) == (True, "2")
    rest = (await client.get(f"{MEMORY}/agent:keeper/commits", params={"after": 2, "name": "count"})).json()
    assert [each["number"] for each in rest["data"]] == [1]
    lines = (await client.get(f"{MEMORY}/agent:keeper/blocks/said/blame")).json()["data"]
    assert [(line["text"], line["commit"], line["run_id"]) for line in lines] == [("one", 2, run), ("two", 3, None)]
    older = (await client.get(f"{MEMORY}/agent:keeper/blocks/said/blame", params={"at": 2})).json()["data"]
    assert [line["text"] for line in older] == ["one"]


async def test_what_a_run_read_and_wrote(client: httpx2.AsyncClient, run: str) -> None:
    """Reads and writes of a run, with steps and commits; a replay tells what it repeats, and commits nothing."""
    found = (await client.get(f"/api/v1/runs/{run}/memory")).json()
    steps = [step["seq"] for step in (await client.get(f"/api/v1/runs/{run}/steps")).json()["data"]]
    assert found["reads"] == [
        {"step": steps[0], "owner": "agent:keeper", "name": "count", "value": None},
        {"step": steps[3], "owner": "agent:keeper", "name": "", "value": ["count", "said"]},
    ]
    both = {"owner": "agent:keeper", "overwrote": None, "taped": None}
    assert found["writes"] == [
        {"step": steps[1], "name": "count", "action": "set", "value": 1, "commit": 1, **both},
        {"step": steps[2], "name": "said", "action": "append", "value": "one", "commit": 2, **both},
    ]
    again = (await client.post(f"/api/v1/runs/{run}/replay", json={})).json()
    assert again["status"] == "completed", again
    repeated = (await client.get(f"/api/v1/runs/{again['id']}/memory")).json()
    assert [(each["commit"], each["taped"]) for each in repeated["writes"]] == [(None, steps[1]), (None, steps[2])]
    assert [each["value"] for each in repeated["reads"]] == [each["value"] for each in found["reads"]]
    assert (await client.get("/api/v1/runs/run_0/memory")).status_code == 404


async def test_memory_as_a_run_saw_it(client: httpx2.AsyncClient, run: str) -> None:
    """A place in the history can be a run, or a step of it: what stood when it began, and what it wrote until then."""
    steps = [step["seq"] for step in (await client.get(f"/api/v1/runs/{run}/steps")).json()["data"]]
    await client.put(f"{MEMORY}/agent:keeper/blocks/count", json={"value": 77})
    second = (await client.post("/api/v1/agents/keeper/runs", json={"input": "two"})).json()["id"]
    after = [await blocks(client, "agent:keeper", f"{run}:{step}") for step in (0, *steps)]
    assert after == [{}, {}, {"count": 1}, *[{"count": 1, "said": "one"}] * 2]
    assert await blocks(client, "agent:keeper", run) == {}
    assert await blocks(client, "agent:keeper", second) == {"count": 77, "said": "one"}
    again = (await client.post(f"/api/v1/runs/{run}/replay", json={})).json()["id"]
    seen = (await client.get(f"{MEMORY}/agent:keeper/blocks", params={"at": f"{again}:{10**9}"})).json()["data"]
    assert [(each["name"], each["value"], each["commit"]) for each in seen] == [
        ("count", 1, None),
        ("said", "one", None),
    ]
    differs = (await client.get(f"{MEMORY}/agent:keeper/diff", params={"left": run, "right": second})).json()
    assert [(each["name"], each["mark"]) for each in differs["blocks"]] == [("count", "added"), ("said", "added")]


async def test_a_diff_and_a_restore(client: httpx2.AsyncClient) -> None:
    """What changed since a commit is shown, and can be made to stand again, one block or all."""
    await put(client, "a", "one\ntwo")
    await put(client, "b", 1)
    await put(client, "a", "one\nthree")
    await client.delete(f"{OWNER}/blocks/b")
    await put(client, "c", "x")
    found = (await client.get(f"{OWNER}/diff", params={"left": "2"})).json()
    assert found == snapshot(
        {
            "owner": "agent:support",
            "left": "2",
            "right": "now",
            "blocks": [
                {"name": "a", "mark": "changed", "text": "@@ -1,2 +1,2 @@\n one\n-two\n+three", "cut": 0},
                {"name": "b", "mark": "deleted", "text": "@@ -1,1 +1,0 @@\n-1", "cut": 0},
                {"name": "c", "mark": "added", "text": "@@ -1,0 +1,1 @@\n+x", "cut": 0},
            ],
        }
    )
    one = (await client.post(f"{OWNER}/restore", json={"commit": 2, "name": "a"})).json()
    assert (one["number"], one["restores"], [each["name"] for each in one["touched"]]) == (6, 2, ["a"])
    assert await blocks(client) == {"a": "one\ntwo", "c": "x"}
    whole = (await client.post(f"{OWNER}/restore", json={"commit": 2})).json()
    assert [(each["name"], each["size"]) for each in whole["touched"]] == [("b", 1), ("c", None)]
    assert await blocks(client) == {"a": "one\ntwo", "b": 1}
    same = (await client.post(f"{OWNER}/restore", json={"commit": 2})).json()
    assert same["number"] == whole["number"]
    await client.post(f"{OWNER}/restore", json={"commit": 0})
    assert await blocks(client) == {}


async def test_the_memory_of_a_thread(client: httpx2.AsyncClient) -> None:
    """A thread's id may be written in any script."""
    path = f"{MEMORY}/thread:%E7%B7%9A%201/blocks/note"
    assert (await client.put(path, json={"value": "x"})).json()["owner"] == "thread:線 1"
    assert await blocks(client, "thread:%E7%B7%9A%201") == {"note": "x"}
    assert (await client.get(MEMORY, params={"limit": 1})).json()["data"][0]["owner"] == "thread:線 1"


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("nobody/blocks/a", {"value": 1}, 422, "agent:NAME or thread:ID"),
        ("agent:/blocks/a", {"value": 1}, 422, "agent:NAME or thread:ID"),
        ("thread:/blocks/a", {"value": 1}, 422, "no id of a thread"),
        ("thread:../blocks/a", {"value": 1}, 422, "'/'"),
        ("agent:support/blocks/a%20b", {"value": 1}, 422, "up to 64 letters"),
        ("agent:support/blocks/a", {"value": None}, 422, "delete 'a' instead"),
        ("agent:support/blocks/a", {"value": "x" * 70_000}, 422, "65,536 is the most"),
        ("agent:support/blocks/a", {}, 422, "value"),
        ("agent:support/blocks/a", {"value": 1, "expect": 3}, 409, "is not there"),
        ("agent:support/blocks/a", {"value": 1, "expect": -1}, 422, "expect"),
    ],
    ids=["owner", "agent", "thread", "dots", "name", "null", "large", "empty", "expected", "negative"],
)
async def test_what_is_no_block_is_refused(
    client: httpx2.AsyncClient, path: str, body: object, status: int, told: str
) -> None:
    """A write says what is wrong with it, and changes nothing."""
    answer = await client.put(f"{MEMORY}/{path}", json=body)
    assert (answer.status_code, told in msgspec.json.encode(answer.json()).decode()) == (status, True), answer.json()
    assert (await client.get(MEMORY)).json()["data"] == []


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("blocks?at=x", 422, "run_ID:STEP"),
        ("blocks?at=9", 404, "no commit 9; the newest is 1"),
        ("blocks?at=run_0", 404, "no run 'run_0'"),
        ("blocks/b", 404, "no block 'b'"),
        ("blocks/a?at=0", 404, "no block 'a' at 0"),
        ("blocks/b/blame", 404, "no block 'b'"),
        ("diff?left=9", 404, "no commit 9"),
    ],
)
async def test_what_is_not_there_is_said(client: httpx2.AsyncClient, path: str, status: int, told: str) -> None:
    """A read of what is not there says what there is."""
    await put(client, "a", 1)
    answer = await client.get(f"{OWNER}/{path}")
    assert (answer.status_code, told in answer.json()["detail"]) == (status, True), answer.json()


async def test_what_cannot_be_restored(client: httpx2.AsyncClient) -> None:
    """A commit or a block that never was is not found."""
    assert (await client.post(f"{OWNER}/restore", json={"commit": 0})).status_code == 404
    await put(client, "a", 1)
    for body in ({"commit": 2}, {"commit": 1, "name": "b"}):
        assert (await client.post(f"{OWNER}/restore", json=body)).status_code == 404

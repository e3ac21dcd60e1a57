"""Schedules over HTTP, against a real App in memory."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx2
import pytest
from inline_snapshot import snapshot

from runwright import App
from runwright.core.schedule import Schedule, ScheduleRow
from tests.unit.server.conftest import plain

SCHEDULES = "/api/v1/schedules"
NIGHTLY = {"name": "nightly", "agent": "upper", "input": "hi", "cron": "0 3 * * *", "timezone": "Europe/Berlin"}


async def test_a_schedule_is_made_changed_and_taken_away(client: httpx2.AsyncClient) -> None:
    """The life of a schedule."""
    made = await client.post(SCHEDULES, json=NIGHTLY)
    assert (made.status_code, made.headers["location"], plain(made.json())) == snapshot(
        (
            201,
            "/api/v1/schedules/nightly",
            {
                "name": "nightly",
                "object": "schedule",
                "status": "active",
                "next_at": "<next_at>",
                "definition": {
                    "name": "nightly",
                    "agent": "upper",
                    "input": "hi",
                    "cron": "0 3 * * *",
                    "timezone": "Europe/Berlin",
                },
                "fired": 0,
                "queued": 0,
                "source": "api",
                "place": "",
                "problem": "",
                "created_at": "<created_at>",
            },
        )
    )
    assert (await client.post(SCHEDULES, json=NIGHTLY)).json()["code"] == "conflict"
    nightly = f"{SCHEDULES}/nightly"
    patched = (await client.patch(nightly, json={"cron": None, "every_s": 3600, "metadata": {"a": "b"}})).json()
    assert patched["definition"] == {
        "name": "nightly",
        "agent": "upper",
        "input": "hi",
        "every_s": 3600.0,
        "timezone": "Europe/Berlin",
        "metadata": {"a": "b"},
    }
    assert (await client.get(nightly)).json() == patched
    put = (await client.put(nightly, json={"agent": "upper", "input": "x", "every_s": 60})).json()
    assert put["definition"] == {"name": "nightly", "agent": "upper", "input": "x", "every_s": 60.0}
    assert [each["name"] for each in (await client.get(SCHEDULES)).json()["data"]] == ["nightly"]
    assert (await client.get(SCHEDULES, params={"agent": "other"})).json()["data"] == []
    assert (await client.delete(nightly)).status_code == 204
    for answer in (await client.get(nightly), await client.delete(nightly), await client.post(f"{nightly}/trigger")):
        assert answer.json()["code"] == "not_found"


async def test_pause_resume_and_trigger(client: httpx2.AsyncClient) -> None:
    """A paused schedule has no next time and can be triggered all the same, once for each key."""
    await client.post(SCHEDULES, json=NIGHTLY)
    nightly = f"{SCHEDULES}/nightly"
    paused = (await client.post(f"{nightly}/pause")).json()
    assert (paused["status"], paused["next_at"]) == ("paused", None)
    keyed = {"Idempotency-Key": "k"}
    first = await client.post(f"{nightly}/trigger", headers=keyed)
    again = await client.post(f"{nightly}/trigger", headers=keyed)
    other = await client.post(f"{nightly}/trigger")
    assert (first.status_code, first.json()) == (202, again.json())
    assert other.json()["run_id"] != first.json()["run_id"]
    resumed = (await client.post(f"{nightly}/resume")).json()
    assert (resumed["status"], resumed["fired"]) == ("active", 0)
    assert resumed["next_at"] is not None
    page = (await client.get(f"{nightly}/firings", params={"limit": 1})).json()
    rest = (await client.get(f"{nightly}/firings", params={"after": page["next"]})).json()
    assert page["has_more"]
    shown = [(each["run_id"], each["became"], each["is_manual"]) for each in (*page["data"], *rest["data"])]
    assert shown == [(other.json()["run_id"], "started", True), (first.json()["run_id"], "started", True)]


async def test_a_time_that_comes(client: httpx2.AsyncClient, app: App) -> None:
    """A schedule over HTTP fires, and its run says which schedule and time it is of."""
    begin = datetime.now(UTC) - timedelta(seconds=0.8)
    each_second = {"every_s": 1, "start_at": begin.isoformat(), "max_firings": 1}
    made = await client.post(SCHEDULES, json={"agent": "upper", "input": "hi", **each_second})
    name = made.json()["name"]
    assert name.startswith("sch_")
    while not (found := (await client.get(f"{SCHEDULES}/{name}/firings")).json()["data"]):
        continue
    run = await app.runs.wait(found[0]["run_id"])
    at = datetime.fromisoformat(found[0]["at"]).isoformat()
    assert (bytes(run.output), run.metadata) == (b'"HI"', {"schedule": name, "scheduled_for": at})
    over = (await client.get(f"{SCHEDULES}/{name}")).json()
    assert (over["status"], over["fired"]) == ("over", 1)
    assert 'runwright_firings_total{became="started"} 1.0' in (await client.get("/metrics")).text


async def test_a_repeat_with_a_key_gives_what_is_there(client: httpx2.AsyncClient) -> None:
    """A creation that is sent again makes no second schedule; with other words it is a conflict."""
    body = {key: value for key, value in NIGHTLY.items() if key != "name"}
    keyed = {"Idempotency-Key": "k"}
    first = (await client.post(SCHEDULES, json=body, headers=keyed)).json()
    assert (await client.post(SCHEDULES, json=body, headers=keyed)).json() == first
    other = await client.post(SCHEDULES, json={**body, "input": "x"}, headers=keyed)
    assert other.json()["code"] == "conflict"
    assert len((await client.get(SCHEDULES)).json()["data"]) == 1


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"cron": "61 * * * *"}, "/cron"),
        ({"cron": "* * * * * *"}, "/cron"),
        ({"timezone": "Europe/Berlim"}, "/timezone"),
        ({"every_s": 60}, "/every_s"),
        ({"cron": None}, ""),
        ({"cron": None, "every_s": 0.5}, "/every_s"),
        ({"cron": None, "at": "yesterday"}, "/at"),
        ({"cron": None, "at": "2020-01-01T00:00:00Z"}, "/at"),
        ({"end_at": "2020-01-01T00:00:00"}, "/cron"),
        ({"start_at": "2030-01-01T00:00:00", "end_at": "2029-01-01T00:00:00Z"}, "/end_at"),
        ({"agent": "nobody"}, "/agent"),
        ({"version": "9.9.9"}, "/agent"),
        ({"input": 7}, "/input"),
        ({"config": {"guard": {"retry": 7}}}, "/config/guard/retry"),
        ({"agent": "support", "config": {"model": "local:/etc/passwd"}}, "/config/model"),
        ({"overlap": "maybe"}, "/overlap"),
        ({"jitter_s": -1}, "/jitter_s"),
        ({"max_firings": 0}, "/max_firings"),
        ({"name": "a/b"}, "/name"),
        ({"thread_id": "a/b"}, "/thread_id"),
        ({"tags": ["a", 7]}, "/tags/1"),
        ({"metadata": {"k": "v" * 17_000}}, "/metadata"),
        ({"crom": "0 3 * * *"}, "/crom"),
    ],
)
async def test_what_is_wrong_has_a_place(client: httpx2.AsyncClient, change: dict[str, Any], pointer: str) -> None:
    """A schedule that cannot be is refused, with a pointer to each mistake, and nothing is stored."""
    body = {name: value for name, value in {**NIGHTLY, **change}.items() if value is not None}
    answer = await client.post(SCHEDULES, json=body)
    assert answer.status_code in {400, 422}
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert (await client.get(SCHEDULES)).json()["data"] == []


async def test_a_wrong_change_leaves_what_was_there(client: httpx2.AsyncClient) -> None:
    """A change that cannot be is refused whole; a schedule keeps its name."""
    made = (await client.post(SCHEDULES, json=NIGHTLY)).json()
    for change in ({"cron": "x"}, {"name": "other"}, {"agent": None}, {"at": "2020-01-01T00:00:00"}):
        assert (await client.patch(f"{SCHEDULES}/nightly", json=change)).status_code in {400, 422}
    assert (await client.get(f"{SCHEDULES}/nightly")).json() == made


async def test_one_that_cannot_be_read_is_listed_and_replaced(client: httpx2.AsyncClient, app: App) -> None:
    """A definition of another release stands among the others with what is wrong; it is replaced whole or deleted."""
    schedule = Schedule(name="foreign", agent="upper", overlap=cast("Any", "later"))
    now = datetime.now(UTC)
    foreign = ScheduleRow(schedule=schedule, source="api", created_at=now, since=now, due_at=now)
    stores = app._stores  # pyright: ignore[reportPrivateUsage] - no release wrote such a row yet
    await asyncio.to_thread(stores.schedules.add, foreign)
    await client.post(SCHEDULES, json=NIGHTLY)
    listed = (await client.get(SCHEDULES)).json()["data"]
    assert [(each["name"], each["status"]) for each in listed] == [("foreign", "unreadable"), ("nightly", "active")]
    assert listed[0]["problem"].startswith("The schedule 'foreign' cannot be read: ")
    at = f"{SCHEDULES}/foreign"
    refused = [await client.patch(at, json={"input": "x"}), await client.post(f"{at}/pause")]
    refused.append(await client.post(f"{at}/trigger"))
    assert ["cannot be read" in each.json()["detail"] for each in refused] == [True] * 3
    told = (await client.get("/health")).json()["warnings"]
    assert told == [{"place": "schedule foreign", "detail": listed[0]["problem"]}]
    await asyncio.to_thread(app.reload)
    put = (await client.put(at, json={"agent": "upper", "input": "x", "every_s": 60})).json()
    assert (put["status"], put["problem"]) == ("active", "")
    assert (await client.delete(at)).status_code == 204


async def test_an_agent_that_is_gone_is_told(client: httpx2.AsyncClient) -> None:
    """A schedule whose agent was deleted says so in the list and in the health of the server."""
    await client.post("/api/v1/agents", json={"name": "brief", "model": "demo"})
    await client.post(SCHEDULES, json={"name": "s", "agent": "brief", "input": "x", "every_s": 60})
    assert (await client.get("/health")).json()["warnings"] == []
    assert (await client.delete("/api/v1/agents/brief")).status_code == 204
    problem = (await client.get(f"{SCHEDULES}/s")).json()["problem"]
    assert problem.startswith("there is no agent 'brief'")
    assert (await client.get("/health")).json()["warnings"] == [{"place": "schedule s", "detail": problem}]

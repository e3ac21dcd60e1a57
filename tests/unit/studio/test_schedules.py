"""Schedules and threads in the browser."""

from html import unescape
from urllib.parse import quote

from runwright import Agent
from tests.unit.studio.conftest import Open, Site

DAILY = {"name": "daily", "agent": "support", "cron": "0 9 * * *", "timezone": "Asia/Tokyo", "input": "hello"}
TYPED = {"/name": "daily", "/agent": '"support"', "/cron": "0 9 * * *", "/timezone": "Asia/Tokyo", "/input": "hello"}


async def test_a_schedule_is_made_of_what_was_typed(site: Site) -> None:
    """Mistakes stand at their fields; what is saved has its next times on the clock of its zone."""
    assert "No schedules yet" in await site.text("/schedules")
    wrong = await site.client.post("/schedule", data=TYPED | {"/cron": "daily", "/every_s": "x"})
    assert (wrong.status_code, 'id="w/every_s"' in wrong.text) == (422, True)
    saved = await site.client.post("/schedule", data=TYPED)
    assert (saved.status_code, saved.headers["location"]) == (303, "/schedules/daily")
    page = await site.text("/schedules/daily")
    assert page.count("09:00:00 Asia/Tokyo") == 5
    assert "09:00:00 Asia/Tokyo" in await site.text("/schedules")
    taken = await site.client.post("/schedule", data=TYPED)
    assert (taken.status_code, "already" in taken.text) == (409, True)


async def test_a_schedule_is_changed_paused_resumed_and_deleted(site: Site) -> None:
    """Each is a button of its page, and comes back to it."""
    await site.app.schedules.create(DAILY)
    edited = await site.client.post("/schedules/daily/edit", data=TYPED | {"/cron": "30 7 * * *"})
    assert edited.headers["location"] == "/schedules/daily"
    assert "07:30:00 Asia/Tokyo" in await site.text("/schedules/daily")
    await site.client.post("/schedules/daily/pause")
    assert "No time is to come while it is paused" in await site.text("/schedules/daily")
    await site.client.post("/schedules/daily/resume")
    assert "07:30:00 Asia/Tokyo" in await site.text("/schedules/daily")
    assert (await site.client.post("/schedules/daily/delete")).headers["location"] == "/schedules"
    assert (await site.client.get("/schedules/daily")).status_code == 404


async def test_a_trigger_leads_to_its_run(site: Site) -> None:
    """A run that was asked for is shown at once, and stands in the history of its schedule."""
    await site.app.schedules.create(DAILY)
    answer = await site.client.post("/schedules/daily/trigger")
    run = answer.headers["location"].removeprefix("/runs/")
    assert (await site.app.runs.wait(run)).status == "completed"
    page = await site.text("/schedules/daily")
    assert run in page
    assert "asked for" in page


async def test_a_schedule_of_code_is_not_changed_here(open_site: Open) -> None:
    """One that stands beside its agent says where, and can be paused and triggered alone."""
    agent = Agent("digest", model="demo", schedules=[{"cron": "0 0 * * *", "input": "go"}])
    async with open_site([agent]) as site:
        page = await site.text("/schedules/digest")
        assert "change it there" in page
        assert "Delete this schedule" not in page
        assert (await site.client.get("/schedules/digest/edit")).status_code == 409
        assert (await site.client.post("/schedules/digest/delete")).status_code == 409


async def test_a_thread_is_shown_turn_by_turn(site: Site) -> None:
    """A thread with any name has a page with its turns in order, each a link to its run; to delete it keeps them."""
    name = "tea & <b>cake? 50%"
    assert "No threads here" in await site.text("/threads")
    first = await site.app.run("support", "one *first*", thread_id=name)
    last = await site.app.run("support", "two", thread_id=name)
    path = f"/threads/{quote(name)}"
    assert f'href="{path}"' in await site.text("/threads")
    page = await site.text(path)
    assert "<b>cake" not in page
    assert name in unescape(page)
    assert page.index(f"/runs/{first.id}") < page.index(f"/runs/{last.id}")
    assert "<em>first</em>" in page
    assert "events=" not in page
    assert (await site.client.post(f"{path}/delete")).headers["location"] == "/threads"
    assert (await site.client.get(path)).status_code == 404
    assert (await site.app.runs.get(first.id)).status == "completed"

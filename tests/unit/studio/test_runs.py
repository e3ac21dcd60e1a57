"""The list of runs: filters, what stands below others, what changes, and what is done to several."""

import asyncio
import re

import pytest
from sqlalchemy import update

from runwright import Agent, Context
from runwright.core.ports import RunFilter
from runwright.service import search
from runwright.store.schema import runs
from runwright.studio.pages import groups
from runwright.studio.pages import runs as runs_page
from tests.unit.studio.conftest import Open, Site

FORM = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m"


async def echo(text: str) -> str:
    """Give the text back."""
    return text


async def lead(text: str, context: Context) -> str:
    """Begin another run."""
    return str(await context.run("echo", text))


AGENTS = (Agent("echo", run=echo), Agent("lead", run=lead))


async def shown(site: Site, query: str = "", **headers: str) -> list[str]:
    """The ids of the rows of the list."""
    return re.findall(r'<tr id="(run_\w+)"', await site.text(f"/runs?{query}", **headers))


async def test_runs_below_others_are_shown_when_asked_for(open_site: Open) -> None:
    """A run that another one began stands below it when that is open, or in the list where all are asked for."""
    async with open_site(AGENTS) as site:
        top = (await site.app.run("lead", "a")).id
        page = await site.text("/runs")
        assert f"Show the runs below {top}" in page
        assert await shown(site) == [top]
        below = (await shown(site, f"open={top}"))[1:]
        assert len(below) == 1
        assert await shown(site, "children=1") == [below[0], top]


async def fan(text: str, context: Context) -> str:
    """Begin twelve runs, of which the last begins another one."""
    for _ in range(11):
        await context.run("echo", text)
    return str(await context.run("lead", text))


async def test_runs_of_a_run_that_are_not_shown_are_named(open_site: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below an open run and on its page stand the newest it began, with a link to the list of all, and no others."""
    async with open_site((*AGENTS, Agent("fan", run=fan))) as site:
        top = (await site.app.run("fan", "a")).id
        path = f"/runs?parent_run_id={top}"
        every = await shown(site, f"parent_run_id={top}")
        assert len(every) == 12
        page = await site.text(f"/runs/{top}")
        begun = page.partition("Runs that it began")[2].partition("</section>")[0]
        assert (begun.count("<li>"), "the 10 newest" in begun, f'href="{path}"' in begun) == (10, True, True)
        assert f'name="parent_run_id" value="{top}"' in await site.text(path)
        assert "Earlier runs" not in await site.text(f"/runs?open={top}")
        monkeypatch.setattr(runs_page, "ON_A_PAGE", 5)
        page = await site.text(f"/runs?open={top},{every[0]}")
        assert page.count(f'<a href="{path}">Earlier runs below') == 1
        below = re.findall(r'<tr id="(run_\w+)"', page)
        assert below[:6] == [top, *every[:5][::-1]]
        assert f'\u2003└ <a class="id" href="/runs/{below[6]}"' in page
        assert "the 10 newest" not in await site.text(f"/runs/{every[0]}")


async def test_changed_rows_come_by_their_ids(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of named runs alone are a fragment, in the order of the ids, from one query for all that are there."""
    first, second = [(await site.app.run("support", text)).id for text in ("a", "b")]
    monkeypatch.delattr(type(site.app.runs), "get")
    partial = {"hx-request-type": "partial", "hx-target": "tbody#rows"}
    assert await shown(site, f"ids={first},run_none", **partial) == [first]
    assert await shown(site, f"ids={first},{second}", **partial) == [first, second]
    assert second not in await site.text(f"/runs?ids={first}", **partial)
    assert " older>" in await site.text(f"/runs?ids={first}")


async def test_pages_keep_what_was_asked_for(open_site: Open) -> None:
    """The link to older runs keeps filters and choices, and gives each run once."""
    async with open_site(AGENTS) as site:
        runs = [(await site.app.run("echo", "a", tags=("t",))).id for _ in range(51)]
        await site.app.run("echo", "a")
        page = await site.text(f"/runs?tag=t&pick={runs[0]}")
        older = re.search(r'<a href="([^"]+)" rel="next"', page)
        assert older is not None
        assert f"pick={runs[0]}" in older[1]
        rest = re.findall(r'<tr id="(run_\w+)"', await site.text(older[1].replace("&amp;", "&")))
        assert rest == [runs[0]]


async def test_a_search_shows_where_the_text_stands(open_site: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that hold a text are listed with it marked and inert; one goes on to look further back with all filters."""
    async with open_site(AGENTS) as site:
        first = (await site.app.run("echo", f"{HOSTILE} Needle", tags=("t",), thread_id="needle")).id
        others = [(await site.app.run("echo", "hay", tags=("t",))).id for _ in range(3)]
        page = await site.text("/runs?text=nEEDLE&agent=echo")
        assert await shown(site, "text=nEEDLE&agent=echo") == [first]
        assert "&lt;script&gt;alert(1)&lt;/script&gt;⟨U+202E⟩⟨U+001B⟩[31m <mark>Needle</mark>" in page
        assert 'value="nEEDLE"' in page
        assert "1 found in 4 runs" in page
        assert " older>" in page
        assert 'href="/runs?thread_id=needle"' in await site.text("/runs?text=needle")
        monkeypatch.setattr(search, "RUNS", 2)
        page = await site.text("/runs?text=needle&tag=t")
        assert "Nothing found in these runs." in page
        further = re.search(r'<a href="([^"]+)" rel="next">Look further back', page)
        assert further is not None
        assert f"after={others[1]}" in further[1]
        assert first in await site.text(further[1].replace("&amp;", "&"))


async def test_runs_below_one_that_was_found_are_not_found(open_site: Open) -> None:
    """A search counts the runs that hold its text, whatever is open below them."""
    async with open_site(AGENTS) as site:
        top = (await site.app.run("lead", "needle")).id
        page = await site.text(f"/runs?text=needle&open={top}")
        assert (page.count('<tr id="run_'), "1 found in" in page) == (2, True)


async def test_fields_hold_what_was_searched_for(site: Site) -> None:
    """Characters that join letters stay in the fields: the next form asks for the same."""
    words = "می\u200cخواهم"
    page = await site.text(f"/runs?text={words}&tag={words}")
    assert page.count(f'value="{words}"') == 2


async def test_a_search_that_asks_for_nothing_is_the_list(site: Site) -> None:
    """An empty field searches nothing; the id of a run lists that run; a text that is too long is refused."""
    run = (await site.app.run("support", "a")).id
    assert await shown(site, "text=++") == [run]
    assert await shown(site, f"text={run}&status=failed") == [run]
    assert await shown(site, "text=%3Cb%3E") == []
    assert (await site.client.get("/runs", params={"text": "x" * 201})).status_code == 422


def _left(site: Site) -> None:
    """Have all runs be at work in a process that is gone."""
    database = site.app._stores.database  # pyright: ignore[reportPrivateUsage] - a test of what another process left
    with database.write() as connection:
        connection.execute(update(runs).values(status="running", ended_at=None, owner="boot_gone"))


async def test_runs_whose_process_is_gone_are_lost_everywhere(open_site: Open) -> None:
    """The list, runs below others, home, groups and the agent's page say lost, and count no time any more."""
    async with open_site(AGENTS, recover=False) as site:
        top = await site.app.run("lead", "a", group="trip", thread_id="t1")
        below = next(iter((await site.app.runs.find(RunFilter(parent_run_id=top.id))).data)).id
        await asyncio.to_thread(_left, site)
        for path, times in (
            (f"/runs?open={top.id}", 2),
            ("/", 2),
            ("/groups/trip", 2),
            ("/threads/t1", 1),
            ("/agents/lead", 1),
            (f"/runs/{top.id}", 2),
        ):
            assert (await site.text(path)).count('class="status lost"') == times, path
        assert "running</span>" not in await site.text(f"/runs?ids={below}")
        assert (await site.client.get(f"/api/v1/runs/{top.id}")).json()["is_lost"]


async def test_two_chosen_runs_are_compared(site: Site) -> None:
    """The form leads to the diff of two runs, and says what to do with another number of them."""
    answer = await site.client.post("/runs/compare", content="pick=run_a&pick=run_b", headers=FORM)
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/run_a/diff/run_b")
    wrong = await site.client.post("/runs/compare", content="pick=run_a", headers=FORM)
    assert (wrong.status_code, "Choose two runs" in wrong.text) == (422, True)


async def test_chosen_runs_are_cancelled(open_site: Open) -> None:
    """Runs at work are cancelled and the list is shown as it was, without choices and without what is no filter."""

    async def asks(text: str, context: Context) -> str:
        return str(await context.ask(text))

    async with open_site((Agent("asks", run=asks),)) as site:
        runs = [(await site.app.run("asks", "a")).id for _ in range(2)]
        form = f"pick={runs[0]}&pick={runs[1]}&back=status%3Dwaiting%26pick%3Dx%26else%3Dy"
        answer = await site.client.post("/runs/cancel", content=form, headers=FORM)
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs?status=waiting")
        assert [(await site.app.runs.get(run)).status for run in runs] == ["cancelled", "cancelled"]


@pytest.mark.parametrize("path", ["/runs", "/groups", "/groups/{group}"], ids=["runs", "groups", "group"])
async def test_hostile_labels_are_inert(open_site: Open, path: str) -> None:
    """Scripts, codes of terminals and marks of direction in inputs and labels are text."""
    async with open_site(AGENTS) as site:
        await site.app.run("echo", HOSTILE, group="<i>g</i>", user="<b>", tags=("<u>",))
        page = await site.text(path.replace("{group}", "%3Ci%3Eg%3C%2Fi%3E"))
        assert "<script>alert" not in page
        assert "<i>g" not in page
        assert not re.search("[\u202e\x1b]", page)


async def test_a_group_is_one_story(open_site: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of a group has its runs, by pages, and their steps; a label that no run carries is not found."""
    async with open_site() as site:
        runs = [(await site.app.run("support", text, group="trip")).id for text in ("a", "b")]
        page = await site.text("/groups/trip")
        assert all(f"/runs/{run}?step=" in page for run in runs)
        assert "/groups/trip" in await site.text("/groups")
        for path in ("/groups", "/groups/trip"):
            assert re.findall(r'aria-current="true">(\w+)', await site.text(path)) == ["Runs"]
        monkeypatch.setattr(groups, "MEMBERS", 1)
        page = await site.text("/groups/trip")
        assert 'href="/groups/trip?from=1" rel="next"' in page
        members = re.findall(r'title="(run_\w+)"', page) + re.findall(
            r'title="(run_\w+)"', await site.text("/groups/trip?from=1")
        )
        assert members == runs
        assert (await site.client.get("/groups/none")).status_code == 404

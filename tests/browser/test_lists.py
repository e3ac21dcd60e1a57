"""Lists and figures: rows change in place, keys move and choose, a chart is zoomed, and all of it without scripts."""

import re
from collections.abc import Iterator
from urllib.error import HTTPError

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from runwright.studio.pages import PAGES
from tests.browser.conftest import WAIT_MS, Site, Watched, once, write

PHONE: ViewportSize = {"width": 390, "height": 844}
CAREFUL = {"name": "careful", "model": "demo", "tools": ["weather"], "approvals": ["weather"]}
QUESTION = "What is the weather in Paris?"
CROWDED = {"/runs", "/approvals", "/settings", "/guard"}
"""Pages that are looked at more closely: to look at one takes a second."""
WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
READ = """() => [window.scrollY, document.activeElement.textContent, `${document.getSelection()}`]"""


@pytest.fixture
def reader(browser: Browser, site: Site) -> Iterator[Watched]:
    """A page of a small window, on a site with an agent whose runs wait; it must end without faults."""
    try:
        site.post("/api/v1/agents", CAREFUL)
    except HTTPError as error:
        assert error.code == 409
    context = browser.new_context(viewport={"width": 1280, "height": 300})
    watched = Watched(context.new_page(), site)
    yield watched
    context.close()
    assert watched.faults == []


@pytest.fixture
def plain(browser: Browser, reader: Watched) -> Iterator[Page]:
    """A page of a browser without JavaScript."""
    context = browser.new_context(java_script_enabled=False, base_url=reader.site.url)
    context.set_default_timeout(WAIT_MS)
    yield context.new_page()
    context.close()


def row(page: Page, run: str) -> Locator:
    """The row of a run."""
    return page.locator(f"tr[id='{run}']")


def is_at(locator: Locator) -> None:
    """Wait until the focus is within something."""
    expect(locator.locator(":focus")).to_have_count(1)


@once
def test_rows_change_under_who_reads_without_moving(reader: Watched) -> None:
    """A run that goes on changes its row alone: focus, place, selection and what is chosen stay, also what is new."""
    waits = reader.site.run("careful", QUESTION)
    chosen = reader.site.run("support", "One that is chosen.")
    for number in range(6):
        reader.site.run("support", f"Number {number}.")
    page = reader.open("/runs")
    row(page, chosen).get_by_role("checkbox").check()
    row(page, waits).get_by_role("link").first.focus()
    row(page, waits).locator("td.gist").evaluate("cell => document.getSelection().selectAllChildren(cell)")
    before = page.evaluate(READ)
    assert before[0] > 0
    reader.site.post(f"/api/v1/runs/{waits}/resolve", {"action": "approve"})
    expect(row(page, waits)).to_contain_text("completed")
    newer = reader.site.run("support", "A new one.")
    expect(page.locator(".newer")).to_be_visible()
    assert page.evaluate(READ) == before
    expect(row(page, newer)).to_have_count(0)
    expect(row(page, chosen).get_by_role("checkbox")).to_be_checked()
    assert f"pick={chosen}" in page.url


@once
def test_a_list_is_walked_and_two_runs_are_compared_with_keys(reader: Watched) -> None:
    """Keys move, find, choose and compare, as the sheet of this page alone says; a box that scrolls keeps arrows."""
    failed = reader.site.run("fails", "Fails.")
    newest = reader.site.run("fails", "Fails again.")
    page = reader.open("/runs")
    page.keyboard.press("j")
    is_at(row(page, newest))
    page.keyboard.press("x")
    page.keyboard.press("ArrowDown")
    is_at(row(page, failed))
    page.keyboard.press("ArrowUp")
    page.keyboard.press("e")
    is_at(row(page, failed))
    page.keyboard.press("x")
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog")
    expect(sheet.get_by_text("compare the two that are chosen")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    page.wait_for_url(f"**/runs/{newest}/diff/{failed}")
    reader.open("/errors")
    page.locator("main tbody summary").first.click()
    box = page.locator("main tbody pre").first
    box.focus()
    page.keyboard.press("ArrowDown")
    expect(box).to_be_focused()
    reader.open("/settings")
    page.keyboard.press("?")
    expect(sheet.get_by_text("to the filter")).to_be_visible()
    expect(sheet.get_by_text("chosen")).to_be_hidden()


@once
def test_times_are_told_from_now_and_printed_in_full(reader: Watched) -> None:
    """A time says how long ago it was, and on paper, where that is soon wrong, when."""
    run = reader.site.run("support", "When?")
    page = reader.open("/runs")
    time = row(page, run).locator("time")
    expect(time).to_have_text(re.compile("just now|ago"))
    expect(time).to_have_attribute("title", re.compile(r"Z$"))
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(time).to_have_text(re.compile(r"20\d\d"))
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(time).to_have_text(re.compile("just now|ago"))


@once
def test_a_chart_is_zoomed_by_dragging_and_by_typing(reader: Watched) -> None:
    """To drag over the costs asks for that time in the address, and the fields of the form ask for the same."""
    page = reader.open("/costs")
    drawn = page.locator("time-chart .u-over")
    drawn.scroll_into_view_if_needed()
    box = drawn.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.6, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, middle, steps=4)
    page.mouse.up()
    page.wait_for_url(re.compile(r"since=\d{4}-\d\d-\d\dT.*until=\d{4}"))
    expect(page.get_by_label("Since")).to_have_value(re.compile("T"))
    expect(page.locator("time-chart canvas")).to_be_visible()
    write(page.get_by_label("Since"), "24h")
    write(page.get_by_label("Until"), "")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("since=24h"))
    expect(page.locator("time-chart canvas")).to_be_visible()


@once
def test_pages_fit_a_phone(browser: Browser, reader: Watched) -> None:
    """At 390 pixels no page scrolls sideways, and on the widest ones axe finds nothing serious."""
    reader.site.run("careful", QUESTION)
    run = reader.site.run("support", QUESTION * 40, thread_id="trip", user="a" * 60, group="g" * 60)
    paths = [page.path for page in PAGES if "{" not in page.path]
    paths += ["/agents/support", "/agents/careful/edit", "/templates/task", "/playground/support?thread=trip"]
    paths += ["/threads/trip", f"/runs/{run}", f"/runs/{run}/replay", f"/groups/{'g' * 60}"]
    context = browser.new_context(viewport=PHONE, has_touch=True)
    watched = Watched(context.new_page(), reader.site)
    wrong: dict[str, object] = {}
    for path in paths:
        page = watched.open(path)
        found = (page.evaluate(WIDER), watched.shut_out() if path in CROWDED else [])
        if found != (0, []):
            wrong[path] = found
    context.close()
    assert wrong == {}
    assert watched.faults == []


@once
def test_lists_and_forms_work_without_scripts(reader: Watched, plain: Page) -> None:
    """A browser without JavaScript filters and compares runs, approves a call, and talks to an agent."""
    runs = [reader.site.run("support", QUESTION, tags=["bare"]) for _ in range(2)]
    plain.goto(reader.site.url + "/runs")
    plain.get_by_label("Tag").fill("bare")
    plain.get_by_role("button", name="Filter").click()
    expect(plain.locator("tbody tr")).to_have_count(2)
    for run in runs:
        row(plain, run).get_by_role("checkbox").check()
    plain.get_by_role("button", name="Compare two").click()
    plain.wait_for_url(re.compile("/diff/"))
    waits = reader.site.run("careful", QUESTION)
    plain.goto(reader.site.url + "/approvals")
    plain.locator(f"form[id^='{waits}']").get_by_role("button", name="Approve").click()
    plain.goto(f"{reader.site.url}/runs/{waits}")
    expect(plain.locator("#output")).to_contain_text("sunny in Paris")
    plain.goto(reader.site.url + "/playground/support")
    plain.get_by_label("Message").fill(QUESTION)
    plain.get_by_role("button", name="Send").click()
    expect(plain.locator(".answer")).to_contain_text("sunny in Paris")

"""What happens is shown in every tab, over one stream."""

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from tests.browser.conftest import WAIT_MS, Site

TABS = 7
GATHERED_MS = 2000
AGAIN_MS = 6000
IS_PART = re.compile(r"/(runs\?ids=.*)?$")
COUNT = """() => {
  window.heard = [];
  document.addEventListener("live:runs", ({detail}) => window.heard.push(...detail.runs.map((run) => run.id)));
}"""


@pytest.fixture
def window(browser: Browser) -> Iterator[BrowserContext]:
    """Tabs that share what a browser's tabs share."""
    context = browser.new_context()
    context.set_default_timeout(WAIT_MS)
    yield context
    context.close()


def opened(window: BrowserContext, site: Site) -> Page:
    """A tab with the list of runs that notes which runs it hears of."""
    page = window.new_page()
    page.goto(site.url + "/runs")
    page.evaluate(COUNT)
    return page


def hears(page: Page, run: str) -> None:
    """Wait until a tab has heard of a run."""
    page.wait_for_function("(run) => window.heard.includes(run)", arg=run)


def test_seven_tabs_stay_live(window: BrowserContext, site: Site) -> None:
    """A seventh tab loads and hears of runs like the others, and when the leading one closes another one leads."""
    asked: list[Request] = []
    window.on("request", lambda request: asked.append(request) if "/live?" in request.url else None)
    tabs = [opened(window, site) for _ in range(TABS)]
    first = site.run("support", "To all tabs.")
    for page in tabs:
        hears(page, first)
    assert {request.frame.page for request in asked} == {tabs[0]}
    tabs[0].close()
    second = site.run("support", "To those that are left.")
    for page in tabs[1:]:
        hears(page, second)


def test_no_event_is_lost_between_tabs(window: BrowserContext, site: Site) -> None:
    """Two tabs follow a run from other places, and each hears all that lies behind its own, once and in order."""
    run = site.run("support", "Say it again and again.")
    follow = """([src, run, after]) => new Promise((done) => {
      const seqs = [];
      document.addEventListener("live:run", ({detail}) => {
        seqs.push(...detail.events.map((event) => event.seq));
        if (detail.is_over) done(seqs);
      });
      const feed = document.createElement("live-feed");
      feed.setAttribute("src", src);
      feed.setAttribute("run", run);
      feed.setAttribute("after", after);
      document.body.append(feed);
    })"""
    first, second = opened(window, site), opened(window, site)
    source = first.locator("live-feed").first.get_attribute("src")
    whole = first.evaluate(follow, [source, run, 0])
    rest = second.evaluate(follow, [source, run, whole[2]])
    assert whole == sorted(set(whole))
    assert rest == whole[3:]
    assert json.dumps(whole) != "[]"


def test_a_page_says_that_it_is_cut_off(window: BrowserContext, site: Site) -> None:
    """Without the stream a page says that nothing new comes, until there is one again."""
    window.route("**/live?*", lambda route: route.abort())
    page = opened(window, site)
    note = page.get_by_text("Not connected")
    expect(note).to_be_visible(timeout=WAIT_MS)
    window.unroute("**/live?*")
    expect(note).to_be_hidden(timeout=WAIT_MS)


@pytest.mark.parametrize("path", ["/", "/runs"], ids=["home", "runs"])
def test_a_part_is_asked_for_until_it_comes(window: BrowserContext, site: Site, path: str) -> None:
    """What changed is fetched once more when that failed, and not at all when no run changed."""
    run = site.run("support", "Changes.")
    page = window.new_page()
    page.clock.install()
    page.goto(site.url + path)
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request) if "hx-target" in request.headers else None)
    told = """(runs) => document.dispatchEvent(new CustomEvent("live:runs", {detail: {runs, is_gap: false}}))"""
    page.evaluate(told, [])
    page.clock.run_for(GATHERED_MS)
    page.route(IS_PART, lambda route: route.abort())
    with page.expect_event("requestfailed"):
        page.evaluate(told, [{"id": run}])
        page.clock.run_for(GATHERED_MS)
    page.unroute(IS_PART)
    with page.expect_event("requestfinished", lambda request: request in asked):
        page.clock.run_for(AGAIN_MS)
    assert [request.failure is None for request in asked] == [False, True]

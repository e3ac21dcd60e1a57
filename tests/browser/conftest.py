"""A real server, Debian's Chromium, and pages that are watched: what they load, what they log, whom they shut out."""

import json
import os
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.e2e.serving import serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 20_000
expect.set_options(timeout=WAIT_MS)
TABS_AT_MOST = 300
AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
SERIOUS = {"serious", "critical"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder need a browser."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)


class Site:
    """A server with a prefix, and the runs that its pages show."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url = url + prefix

    def post(self, path: str, body: object) -> dict[str, Any]:
        """What the API answers."""
        raw = json.dumps(body).encode()
        asked = Request(self.url + path, raw, {"content-type": "application/json"})
        with urlopen(asked, timeout=30) as answer:
            return json.load(answer)

    def run(self, agent: str, input: object, **options: object) -> str:
        """The id of a run that is over."""
        return str(self.post(f"/api/v1/agents/{agent}/runs", {"input": input, **options})["id"])


class Watched:
    """A page whose faults are kept: messages of the console, errors, and requests to other places."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page = page
        self.site = site
        self.faults: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", lambda request: self._asked(request.url))

    def open(self, path: str) -> Page:
        """Go to a page of the site."""
        answer = self.page.goto(self.site.url + path)
        assert answer is not None
        assert answer.ok, answer.text()
        return self.page

    def shut_out(self) -> list[str]:
        """What axe finds serious on the page as it is now."""
        # The page forbids scripts that are not its own, but not those of its debugger.
        self.page.evaluate(AXE)
        found: dict[str, Any] = self.page.evaluate("() => axe.run()")
        return [
            f"{each['id']}: {node['html'][:200]}"
            for each in found["violations"]
            if each["impact"] in SERIOUS
            for node in each["nodes"]
        ]

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"{message.type}: {message.text}")

    def _asked(self, url: str) -> None:
        if not url.startswith((self.site.url, "data:", "blob:")):
            self.faults.append(f"asked {url}")


def reach(target: Locator) -> Locator:
    """Go to something with the Tab key alone, as far as it may be."""
    expect(target).to_be_visible()
    for _ in range(TABS_AT_MOST):
        if target.evaluate("element => element === document.activeElement"):
            return target
        target.page.keyboard.press("Tab")
    raise AssertionError(f"no Tab leads to {target}")


def press(target: Locator) -> None:
    """Reach something and press Enter there."""
    reach(target)
    target.page.keyboard.press("Enter")


def write(target: Locator, text: str) -> None:
    """Reach a field and write over what it holds."""
    reach(target)
    target.page.keyboard.press("Control+A")
    target.page.keyboard.type(text)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    if CHROMIUM is None:
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail("Chromium is not installed: apt-get install chromium")
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session", params=["", "/tools/runwright"], ids=["root", "prefix"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that some runs were made on, at the root or under a prefix."""
    prefix = str(request.param)
    with serving(tmp_path_factory.mktemp("site"), root_path=prefix) as server:
        made = Site(server.url, prefix)
        made.run("support", "What is the weather in Paris?", group="trip", tags=["demo"])
        made.run("fails", "This one fails.")
        yield made


once = pytest.mark.parametrize("site", [""], indirect=True, ids=["once"])
"""For what neither the prefix nor the colours can change."""


@pytest.fixture(params=["light", "dark"])
def watched(request: pytest.FixtureRequest, browser: Browser, site: Site) -> Iterator[Watched]:
    """An empty page in one of both colour schemes; it must end without faults."""
    scheme: Literal["light", "dark"] = request.param
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 800})
    page = Watched(context.new_page(), site)
    yield page
    context.close()
    assert page.faults == []

"""Every page opens, in both colour schemes and under a prefix, shuts nobody out and asks nobody else."""

import pytest
from playwright.sync_api import expect

from runwright.studio.pages import PAGES
from tests.browser.conftest import Watched

PLAIN = [page.path for page in PAGES if "{" not in page.path]


@pytest.mark.parametrize("path", PLAIN)
def test_a_page_opens_for_everybody(watched: Watched, path: str) -> None:
    """A page has one heading, nothing that axe calls serious, and loads nothing from elsewhere."""
    page = watched.open(path)
    assert page.locator("h1").count() == 1
    assert watched.shut_out() == []


def test_the_search_is_found_by_its_key(watched: Watched) -> None:
    """A slash goes to the search, whose answer stands in the address and marks what it found, for everybody."""
    page = watched.open("/runs")
    page.keyboard.press("/")
    page.keyboard.type("support")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs?text=support*")
    rows = page.locator("tbody tr")
    expect(rows.first.locator("mark")).to_have_text("support")
    expect(rows.filter(has_text="fails")).to_have_count(0)
    assert watched.shut_out() == []

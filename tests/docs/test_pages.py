"""The pages of the documentation hold together: what they show is run, and where they lead there is something."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest

from tests.docs.pages import PAGES, ROOT, blocks

HOWTO = [page for page in PAGES if page.startswith("docs/howto/")]
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(?P<text>.+)$", re.MULTILINE)
_NO_ANCHOR = re.compile(r"[^\w\- ]")


def _prose(page: str) -> str:
    return _FENCED.sub("", (ROOT / page).read_text(encoding="utf-8"))


def _anchors(page: str) -> set[str]:
    """The anchors of a page, made of its headings as GitHub makes them."""
    headings = (found["text"].replace("`", "") for found in _HEADING.finditer(_prose(page)))
    return {_NO_ANCHOR.sub("", text.lower()).replace(" ", "-") for text in headings}


def _is_there(page: str, target: str) -> bool:
    path, _, anchor = target.partition("#")
    found = ROOT / PurePosixPath(page).parent / path if path else ROOT / page
    if not found.exists():
        return False
    return not anchor or anchor in _anchors(found.resolve().relative_to(ROOT).as_posix())


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Every link to a page or a file of the repository, and to a heading of it, finds it."""
    targets = [found["target"] for found in _LINK.finditer(_prose(page))]
    assert [each for each in targets if "://" not in each and not _is_there(page, each)] == []


@pytest.mark.parametrize("page", HOWTO)
def test_every_block_of_a_howto_is_run(page: str) -> None:
    """A block is Python, a file of the walk, its commands, or what they print: nothing stands there unproved."""
    before = ""
    for block in blocks(page):
        is_run = block.language in {"python", "sh"} or block.file is not None
        assert is_run or (block.language == "text" and before == "sh"), f"{page}:{block.line}"
        before = block.language


@pytest.mark.parametrize("page", HOWTO)
def test_the_index_lists_every_howto(page: str) -> None:
    """The first page of the documentation leads to every how-to page."""
    assert f"({page.removeprefix('docs/')})" in _prose("docs/index.md")


def test_the_list_of_decisions_is_whole() -> None:
    """The page of decisions names each one, in order."""
    pages = [PurePosixPath(page).name for page in PAGES if page.startswith("docs/decisions/0")]
    listed = [found["target"] for found in _LINK.finditer(_prose("docs/decisions/README.md"))]
    assert listed == pages


@pytest.mark.parametrize("page", HOWTO)
def test_examples_that_a_page_names_are_there(page: str) -> None:
    """An example that a page names is a file."""
    named = re.findall(r"`(examples/[\w./-]+)`", _prose(page))
    assert [each for each in named if not (ROOT / each).is_file()] == []

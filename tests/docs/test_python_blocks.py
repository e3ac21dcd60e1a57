"""Every Python block of the documentation runs, page by page, without a network."""

from __future__ import annotations

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from tests.docs.pages import ROOT, blocks, pages_with

SYBIL = Sybil(parsers=[PythonCodeBlockParser()], path=str(ROOT))


@pytest.fixture(autouse=True)
def no_blocking() -> None:
    """Stands in for the fixture of this name: a page is a caller's code, which may read `.env` on its event loop."""


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_blocks_run(page: str) -> None:
    """The Python blocks of a page run one after the other; those that show a file run in the page's walk."""
    files = {block.line for block in blocks(page) if block.file is not None}
    for example in SYBIL.parse(ROOT / page).examples():
        if example.line not in files:
            example.evaluate()

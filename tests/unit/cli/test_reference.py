"""Reference pages say what the code says."""

import pytest

from docs.generate import PAGES, REFERENCE


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_page_is_what_the_code_says(name: str) -> None:
    """A generated page is there and up to date; `python -m docs.generate` writes it."""
    assert (REFERENCE / name).read_text(encoding="utf-8") == PAGES[name]()

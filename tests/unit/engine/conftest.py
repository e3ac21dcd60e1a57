"""Stores that outlive a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runwright.store import Stores, open_stores


@pytest.fixture
def stores() -> Iterator[Stores]:
    """A store in memory that several processes use, one after the other."""
    opened = open_stores(":memory:")
    yield opened
    opened.close()

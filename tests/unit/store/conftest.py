"""The implementations that every port test runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runwright.store import Stores, open_stores
from tests.valkey import pool, shared_valkey

__all__ = ["path", "pool", "shared_valkey", "stores"]


@pytest.fixture(params=["memory", "file"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Open stores: SQLite in memory, and SQLite in a file."""
    url = "sqlite://" if request.param == "memory" else tmp_path / "data" / "runwright.db"
    opened = open_stores(url)
    yield opened
    opened.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database file may be made."""
    return tmp_path / "runwright.db"

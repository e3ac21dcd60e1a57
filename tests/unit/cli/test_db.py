"""`runwright db`: sizes, pruning, compacting."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import msgspec
import pytest
from filelock import FileLock

from runwright.app import DATABASE
from runwright.cli import db
from runwright.cli.call import Options
from runwright.core.sizes import Sizes
from runwright.engine.owner import SERVER_LOCK
from runwright.errors import ConfigError, InvalidRequest
from runwright.store import open_stores
from runwright.store.cache import CacheTable
from tests.unit.cli.fakes import FakeCall
from tests.unit.service.test_retention import filled


@pytest.fixture
def call(tmp_path: Path) -> FakeCall:
    """A call on a data directory with ten runs, the last one ten months ago."""
    stores = open_stores(tmp_path / DATABASE)
    filled(stores)
    stores.close()
    return FakeCall(options=Options(data=tmp_path))


def test_old_runs_are_pruned(call: FakeCall) -> None:
    """A dry run says what would go, progress goes to stderr, and the newest run stays."""
    db.prune(older_than="1h", dry_run=True, call=call)
    assert call.printed.startswith("9 runs up to 2026-01-10 would be deleted; ")
    db.prune(older_than="2w", size="1GB", call=call)
    assert "9 runs up to 2026-01-10 and 9 blobs deleted, " in call.printed
    assert "9 runs deleted, up to" in call.noted
    db.prune(size="1KB", call=call)
    assert "\n0 runs and 0 blobs deleted" in call.printed


def test_kept_answers_go_when_their_time_is_over(call: FakeCall, tmp_path: Path) -> None:
    """Pruning takes answers of the cache that are past their time and leaves the others; a dry run takes none."""
    stores = open_stores(tmp_path / DATABASE)
    table = CacheTable(stores.database, limit=1000, now=time.time)
    table.keep([("model", b"old", 1, 1, b"x"), ("model", b"young", table.micros(1000), 1, b"x")])
    table.close()
    stores.close()
    db.prune(older_than="52w", dry_run=True, call=call)
    assert "cache" not in call.noted
    db.prune(older_than="52w", call=call)
    assert "1 answers of the cache went" in call.noted


@pytest.mark.parametrize("options", [{}, {"older_than": "old"}, {"size": "5 potatoes"}], ids=["none", "age", "size"])
def test_what_may_go_has_to_be_said(call: FakeCall, options: dict[str, str]) -> None:
    """Without options and settings nothing goes, and what cannot be read is a mistake."""
    with pytest.raises(InvalidRequest):
        db.prune(older_than=options.get("older_than"), size=options.get("size"), call=call)


def test_the_settings_say_what_may_go(call: FakeCall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Days and size of the settings are taken where nothing is said."""
    monkeypatch.setenv("RUNWRIGHT_RETENTION__DAYS", "7")
    db.prune(dry_run=True, call=call)
    assert call.printed.startswith("9 runs")


def test_sizes_are_tables(call: FakeCall) -> None:
    """The file, its tables, blobs by what refers to them, and agents; the same as JSON."""
    db.size(call=call)
    head, tables, blobs, agents = call.printed.split("\n\n")
    assert head.startswith("database ")
    assert "TABLE\tROWS\tSIZE" in tables
    assert agents.startswith("AGENT\tROWS\tSIZE")
    assert "run.completed\t10\t" in blobs
    assert "support\t10\t" in agents
    told = FakeCall(options=call.options, is_json=True)
    db.size(call=told)
    sizes = msgspec.json.decode(told.printed, type=Sizes)
    assert sum(share.bytes or 0 for share in sizes.tables) <= sizes.database
    assert sum(share.count for share in sizes.blobs) == 10


def test_a_database_is_made_compact(call: FakeCall, tmp_path: Path) -> None:
    """One that could not shrink can from then on; not while a server works on it."""
    path = tmp_path / DATABASE
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
    with sqlite3.connect(path) as connection:
        connection.execute("VACUUM")
    db.compact(call=call)
    assert call.printed.endswith("now\n")
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    lock = FileLock(tmp_path / SERVER_LOCK)
    with lock, pytest.raises(ConfigError, match="stop it before"):
        db.compact(call=call)


def test_there_has_to_be_a_database(tmp_path: Path) -> None:
    """None is made where there is none."""
    with pytest.raises(ConfigError, match="There is no database"):
        db.size(call=FakeCall(options=Options(data=tmp_path)))
    assert not (tmp_path / DATABASE).exists()

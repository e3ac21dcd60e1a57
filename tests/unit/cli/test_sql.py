"""`runwright db archive` and `runwright sql`."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from runwright.app import DATABASE
from runwright.cli import db
from runwright.cli.call import Options
from runwright.cli.sql import sql
from runwright.errors import InvalidRequest
from runwright.store import open_stores
from tests.unit.cli.fakes import FakeCall
from tests.unit.service.test_retention import filled
from tests.unit.store.rows import later, new, run, step


@pytest.fixture
def call(tmp_path: Path) -> FakeCall:
    """A call on a data directory with ten runs of ten days, one of which has two steps."""
    stores = open_stores(tmp_path / DATABASE)
    filled(stores)
    owner = run(50)
    stores.writes.append(
        [new(owner, steps=(step(owner, 2), step(owner, 4, status="completed", ended_at=later(1), name="it's")))]
    )
    stores.close()
    return FakeCall(options=Options(data=tmp_path), is_json=True)


def asked(call: FakeCall, question: str) -> list[dict[str, object]]:
    """The rows that answer a question."""
    told = FakeCall(options=call.options, is_json=True)
    sql(question, call=told)
    return msgspec.json.decode(told.printed, type=list[dict[str, object]])


def test_sealed_days_are_archived_once(call: FakeCall, tmp_path: Path) -> None:
    """A file for each table and day; a second time there is nothing to do."""
    db.archive(call=call)
    files = sorted(path.name for path in (tmp_path / "archive").iterdir())
    assert len(files) == 11
    assert files[0] == "runs-2026-01-02.parquet"
    assert files[-1] == "steps-2026-01-02.parquet"
    again = FakeCall(options=call.options)
    db.archive(call=again)
    assert again.printed == "0 files written\n"


def test_what_was_deleted_is_still_answered(call: FakeCall, tmp_path: Path) -> None:
    """Rows that are only in the archive come with those that are live, and none comes twice."""
    question = "SELECT count(*) AS n, min(ended_at)::DATE::VARCHAR AS first FROM runs"
    before = asked(call, question)
    assert before == [{"n": 11, "first": "2026-01-02"}]
    db.archive(call=call)
    assert asked(call, question) == before
    db.prune(older_than="1h", call=call)
    assert asked(call, question) == before
    db.archive(call=call)
    assert asked(call, question) == before
    stores = open_stores(tmp_path / DATABASE)
    late = run(60, status="completed", ended_at=later(timedelta(hours=1).total_seconds()))
    stores.writes.append([new(late)])
    stores.close()
    db.archive(call=call)
    assert asked(call, question) == [{"n": 12, "first": "2026-01-02"}]


def test_open_steps_and_quotes(call: FakeCall) -> None:
    """What has not ended is there too, with the agent of its run, and text is what it was."""
    rows = asked(call, "SELECT agent, name, status, ended_at IS NULL AS is_open FROM steps ORDER BY seq")
    assert rows == [
        {"agent": "support", "name": "demo:echo", "status": "running", "is_open": True},
        {"agent": "support", "name": "it's", "status": "completed", "is_open": False},
    ]


@pytest.mark.parametrize(
    "question",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "COPY runs TO '/tmp/runs.csv'",
        "SELECT 1; SELECT 2",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "DELETE FROM live_runs",
        "SELECT nothing FROM runs",
        "",
    ],
    ids=["file", "copy", "two", "setting", "install", "delete", "wrong", "empty"],
)
def test_it_reads_and_nothing_else(call: FakeCall, question: str) -> None:
    """No file, no network, no setting, no change: only one question."""
    with pytest.raises(InvalidRequest):
        asked(call, question)


def test_the_error_without_the_extra_says_what_to_install() -> None:
    """DuckDB is not in the core install: whoever asks is told the extra."""
    code = "import sys; sys.modules['duckdb'] = None; import runwright.backends.duckdb"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert "pip install 'runwright[analytics]'" in done.stderr.splitlines()[-1]


def test_a_table_is_printed(call: FakeCall) -> None:
    """Columns as they are called in the question."""
    told = FakeCall(options=call.options)
    sql("SELECT agent, count(*) AS runs FROM runs GROUP BY agent", call=told)
    assert told.printed == "AGENT\tRUNS\nsupport\t11\n"

"""What ended, counted by hour: the same as what the steps say."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from runwright.core.cost import CostBy, CostFilter
from runwright.core.money import NO_COST, UNPRICED, Cost
from runwright.core.ports import Batch, Stored
from runwright.core.run import Run
from runwright.core.step import Step
from runwright.core.usage import Usage
from runwright.store import Stores, open_stores
from runwright.store.schema import rollup_hour
from tests.unit.store.rows import NOW, event, later, more, new, run, step

HOUR = NOW.replace(minute=0, second=0, microsecond=0)
PAID = Cost(nano_usd=5, source="overlay")
STATUSES = ("completed", "failed", "unknown")


def rolled(stores: Stores, *columns: str) -> list[tuple[object, ...]]:
    """These columns of all roll-ups, or all but the number, in the order of keys."""
    chosen = [rollup_hour.c[name] for name in columns] or rollup_hour.columns
    query = select(*chosen).order_by(*rollup_hour.primary_key.columns)
    with stores.database.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def ended(owner: Run, seq: int, **changes: object) -> Step:
    """A model call that took a second."""
    return step(owner, seq, **{"status": "completed", "ended_at": later(1), "cost": PAID, **changes})


def over(owner: Run, seq: int) -> Batch:
    """The end of a run after two seconds."""
    done = msgspec.structs.replace(owner, status="completed", started_at=NOW, ended_at=later(2))
    batch = more(done, Stored(owner.id, seq, later(2), "run.completed", None, b"{}", 1))
    return msgspec.structs.replace(batch, is_end=True)


def test_steps_and_runs_are_counted_when_they_end(stores: Stores) -> None:
    """A call that goes on is not counted, then once; so is its run. What says nothing of the world is not."""
    owner = run()
    stores.writes.append([new(owner, event(owner, 1), steps=(step(owner, 2),))])
    assert rolled(stores) == []
    inner = ended(owner, 4, kind="clock", name="now", cost=NO_COST)
    stores.writes.append([more(owner, steps=(ended(owner, 2), inner)), over(owner, 6)])
    found = rolled(stores, "kind", "name", "status", "calls", "cost_nano", "duration_us")
    assert found == [("model", "demo:echo", "completed", 1, 5, 1_000_000), ("run", "", "completed", 1, 0, 2_000_000)]


def test_an_unknown_outcome_is_counted_when_it_is_known(stores: Stores) -> None:
    """A step of unknown outcome has not ended: it counts once, as what it turns out to be."""
    owner = run()
    tool = {"kind": "tool", "name": "pay", "cost": NO_COST}
    stores.writes.append([new(owner, steps=(ended(owner, 2, status="unknown", **tool),))])
    assert rolled(stores) == []
    stores.writes.append([more(owner, steps=(ended(owner, 2, status="failed", **tool),))])
    assert rolled(stores, "name", "status", "calls") == [("pay", "failed", 1)]


def test_what_a_tape_answered_is_not_counted(stores: Stores) -> None:
    """A replay happened before: neither its taped steps nor the run itself count, but what was live does."""
    owner = run(replay_of="run_x")
    stores.writes.append([new(owner, steps=(ended(owner, 2, taped=2), ended(owner, 4))), over(owner, 6)])
    assert rolled(stores, "kind", "calls") == [("model", 1)]


def test_what_is_refused_is_not_counted(stores: Stores) -> None:
    """A batch that is left out, or rolled back with its run, adds nothing; what came with it counts once."""
    owner, other = run(1), run(2)
    stores.writes.append([new(owner, steps=(ended(owner, 2),))])
    twice = new(owner, steps=(ended(owner, 4),))
    outcomes = stores.writes.append([twice, new(other, steps=(ended(other, 2),))])
    assert [outcome is None for outcome in outcomes] == [False, True]
    stores.writes.append([more(other, steps=(ended(other, 4),))])
    assert rolled(stores, "calls") == [(3,)]


def test_two_writers_add_to_each_other(stores: Stores) -> None:
    """What a writer remembers of a row is not trusted when another one has changed it."""
    for number in range(6):
        owner = run(number)
        writes = stores.imports if number % 3 else stores.writes
        writes.append([new(owner, steps=(ended(owner, 2),))])
    assert rolled(stores, "calls", "duration_us") == [(6, 6_000_000)]


_USAGE = st.builds(
    Usage,
    input_tokens=st.integers(0, 99),
    output_tokens=st.integers(0, 9),
    requests=st.integers(0, 1),
    is_estimated=st.booleans(),
)
_FIELDS: dict[str, st.SearchStrategy[object]] = {
    "kind": st.sampled_from(["model", "tool"]),
    "name": st.sampled_from(["a:x", "b:y"]),
    "status": st.sampled_from(["completed", "failed", "unknown", "running"]),
    "cost": st.sampled_from([NO_COST, UNPRICED, PAID]),
    "usage": _USAGE,
    "ended_at": st.integers(0, 200_000).map(later),
    "taped": st.sampled_from([None, None, 2]),
}
_STEPS = st.fixed_dictionaries(_FIELDS)
_RUNS = st.lists(st.tuples(st.sampled_from(["support", "writer"]), st.lists(_STEPS, max_size=5)), max_size=8)


def fill(stores: Stores, runs: Sequence[tuple[str, Sequence[Mapping[str, object]]]], together: int) -> None:
    """Write these runs, so many in a transaction; every second one ends."""
    batches: list[Batch] = []
    for number, (agent, made) in enumerate(runs):
        owner = run(number, agent=agent)
        batches.append(new(owner))
        batches += [more(owner, steps=(step(owner, 2 * at + 2, **fields),)) for at, fields in enumerate(made)]
        batches += [over(owner, 99)] if number % 2 else []
    for start in range(0, len(batches), together):
        assert not any(stores.writes.append(batches[start : start + together]))


@settings(deadline=None)
@given(_RUNS, st.integers(1, 30), st.sampled_from(["agent", "model", "day"]), st.booleans())
def test_roll_ups_say_what_the_steps_say(
    runs: list[tuple[str, list[dict[str, object]]]], together: int, by: CostBy, is_one: bool
) -> None:
    """Costs are the same from roll-ups as from the steps, whole hours or not."""
    stores = open_stores("sqlite://")
    fill(stores, runs, together)
    agent = "writer" if is_one else None
    # Nothing ends in the microsecond that makes an hour less than whole.
    little = timedelta(microseconds=1)
    for since, until in ((HOUR, HOUR + timedelta(days=1)), (HOUR + timedelta(hours=2), None)):
        whole = CostFilter(since=since, until=until, agent=agent)
        scanned = CostFilter(since=since - little, until=until and until - little, agent=agent)
        assert stores.costs.totals(by, whole) == stores.costs.totals(by, scanned)
    stores.close()


@pytest.mark.parametrize("together", [1, 7])
def test_a_migrated_database_has_the_roll_ups_of_its_steps(tmp_path: Path, together: int) -> None:
    """What was stored before there were roll-ups is counted by the migration just as by the writer."""
    path = tmp_path / "runwright.db"
    stores = open_stores(path)
    kinds = [{"kind": kind, "name": "x", "status": status} for kind in ("model", "tool", "id") for status in STATUSES]
    steps: list[Mapping[str, object]] = [
        {**fields, "ended_at": later(at * 600), "cost": PAID, "attempt": 1 + at % 3}
        for at, fields in enumerate(kinds * 3)
    ]
    fill(stores, [("support", steps[:9]), ("writer", steps[9:])], together)
    expected = rolled(stores)
    assert len(expected) > 4
    stores.close()
    go_back(path)
    stores = open_stores(path)
    assert rolled(stores) == expected
    stores.close()


def go_back(path: Path) -> None:
    """Make a database as it was before there were roll-ups."""
    with sqlite3.connect(path) as connection:
        tables = ("rollup_hour", "sweeps", "pins", "budgets", "cache", "similar_questions", "similar_looks")
        for table in (*tables, "schedules", "firings"):
            connection.execute(f"DROP TABLE {table}")
        for index in ("blobs_seen", "idempotency_run", "runs_parent", "steps_charged"):
            connection.execute(f"DROP INDEX {index}")
        of_steps = [("steps", name) for name in ("reserved_tokens", "reserved_nano", "decided")]
        for table, column in (("blobs", "seen"), *of_steps):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute("UPDATE alembic_version SET version_num = '0003'")

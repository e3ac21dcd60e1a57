"""The RunStore port."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwright.core.money import Cost
from runwright.core.ports import RunFilter
from runwright.core.run import ErrorInfo, Run
from runwright.core.step import Step
from runwright.core.usage import Usage
from runwright.errors import StorageError
from runwright.store import Stores, open_stores
from tests.unit.store.rows import deltas, event, later, new, run, seqs, step

# What a database can hold: Unicode without lone surrogates, integers of 64 bits.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
COUNT = st.integers(0, 2**31 - 1)
LONG = st.integers(0, 2**63 - 1)
TIME = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
USAGE = st.builds(
    Usage,
    input_tokens=LONG,
    output_tokens=LONG,
    cached_input_tokens=LONG,
    cache_write_tokens=LONG,
    reasoning_tokens=LONG,
    requests=COUNT,
    tool_calls=COUNT,
    is_estimated=st.booleans(),
)
COST = st.builds(Cost, nano_usd=st.none() | LONG, source=TEXT)
ERROR = st.builds(ErrorInfo, code=TEXT, message=TEXT, retryable=st.booleans(), step=st.none() | COUNT)
OPTIONAL = st.none() | TEXT
RUN = st.builds(
    Run,
    id=st.just("run_1"),
    agent=TEXT,
    version=TEXT,
    fingerprint=TEXT,
    status=st.sampled_from(["queued", "running", "waiting", "completed", "failed", "cancelled"]),
    created_at=TIME,
    mode=st.sampled_from(["wait", "stream", "background"]),
    reason=st.none() | st.sampled_from(["approval", "input", "timer"]),
    owner=OPTIONAL,
    epoch=COUNT,
    seq_limit=LONG,
    last_seq=LONG,
    thread_id=OPTIONAL,
    parent_run_id=OPTIONAL,
    root_run_id=OPTIONAL,
    group=OPTIONAL,
    user=OPTIONAL,
    tags=st.lists(TEXT, max_size=3).map(tuple),
    metadata=st.dictionaries(TEXT, TEXT, max_size=3),
    replay_of=OPTIONAL,
    is_ephemeral=st.booleans(),
    adoptions=COUNT,
    error=st.none() | ERROR,
    usage=USAGE,
    cost=COST,
    started_at=st.none() | TIME,
    ended_at=st.none() | TIME,
)
STEP = st.builds(
    Step,
    run_id=st.just("run_1"),
    seq=st.integers(1, 2**63 - 1),
    lane=TEXT,
    kind=st.sampled_from(["model", "tool", "child"]),
    name=TEXT,
    key=TEXT,
    nth=COUNT,
    effect=st.sampled_from(["read", "idempotent", "once"]),
    status=st.sampled_from(["running", "completed", "failed", "unknown"]),
    started_at=TIME,
    attempt=COUNT,
    end_seq=st.none() | LONG,
    ended_at=st.none() | TIME,
    error=st.none() | ERROR,
    usage=USAGE,
    cost=COST,
    decided=st.lists(TEXT, max_size=2).map(tuple),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(made=RUN, steps=st.lists(STEP, max_size=3, unique_by=lambda item: item.seq))
def test_runs_and_steps_come_back_as_they_were(made: Run, steps: list[Step]) -> None:
    """Every field of a run and of its steps survives the way into the database and back."""
    stores = open_stores("sqlite://")
    try:
        assert stores.writes.append([new(made, steps=tuple(steps))]) == [None]
        assert stores.runs.get(made.id) == made
        assert list(stores.runs.steps(made.id)) == sorted(steps, key=lambda item: item.seq)
    finally:
        stores.close()


def test_an_unknown_run(stores: Stores) -> None:
    """There is no run, no step and no event of an unknown id."""
    assert stores.runs.get("run_x") is None
    assert list(stores.runs.steps("run_x")) == []
    assert list(stores.runs.events("run_x")) == []
    assert stores.runs.idempotent("a", "b") is None


def test_pages_of_runs(stores: Stores) -> None:
    """Runs come newest first; the page after a run begins with the next older one."""
    made = [run(number) for number in range(1, 6)]
    stores.writes.append([new(item) for item in made])
    first = stores.runs.find(RunFilter(limit=2))
    assert list(first) == [made[4], made[3]]
    assert list(stores.runs.find(RunFilter(limit=9, after=first[-1].id))) == made[2::-1]


@pytest.mark.parametrize(
    "changes",
    [
        {"agent": "other"},
        {"status": "failed"},
        {"status": "completed"},
        {"thread_id": "thr_1"},
        {"group": "g"},
        {"user": "u"},
    ],
)
def test_runs_by_one_field(stores: Stores, changes: dict[str, object]) -> None:
    """A filter keeps the runs that have its value."""
    wanted = run(2, **changes)
    stores.writes.append([new(run(1)), new(wanted), new(run(3))])
    where = msgspec.convert(changes, RunFilter)
    assert list(stores.runs.find(where)) == [wanted]


def test_runs_that_wait_by_what_they_wait_for(stores: Stores) -> None:
    """A reason keeps the runs that wait for it now."""
    wanted = run(2, status="waiting", reason="unknown_effect")
    others = (run(1, status="waiting", reason="timer"), run(3, status="cancelled", reason="unknown_effect"))
    stores.writes.append([new(each) for each in (wanted, *others)])
    assert list(stores.runs.find(RunFilter(reason="unknown_effect"))) == [wanted]


def test_runs_by_their_ids(stores: Stores) -> None:
    """Those that are there come newest first, beside the other filters; of no ids comes none."""
    made = [run(number) for number in range(1, 4)]
    stores.writes.append([new(each) for each in made])
    assert list(stores.runs.find(RunFilter(ids=[made[0].id, "run_none", made[2].id]))) == [made[2], made[0]]
    assert list(stores.runs.find(RunFilter(ids=[made[0].id], agent="other"))) == []
    assert list(stores.runs.find(RunFilter(ids=[]))) == []


def test_runs_by_tag(stores: Stores) -> None:
    """A run is found by each of its tags, also when it names one twice."""
    wanted = run(2, tags=("a", "b", "a"))
    stores.writes.append([new(run(1)), new(wanted), new(run(3, tags=("b",)))])
    assert list(stores.runs.find(RunFilter(tag="a", agent="support"))) == [wanted]
    assert len(stores.runs.find(RunFilter(tag="b"))) == 2


def test_steps_of_a_group(stores: Stores) -> None:
    """The steps of the runs of a group come in the order of time, from one run on, as many as asked for."""
    old, first, second = (run(number, group="g") for number in (1, 2, 3))
    other = run(4)
    late, early = step(first, 2, started_at=later(9)), step(first, 3, started_at=later(1))
    between, same = step(second, 2, started_at=later(5)), step(second, 4, started_at=later(1))
    stores.writes.append(
        [
            new(old, steps=(step(old, 2),)),
            new(first, steps=(late, early)),
            new(second, steps=(between, same)),
            new(other, steps=(step(other, 2),)),
        ]
    )
    assert list(stores.stories.story("g", since=first.id, limit=9)) == [early, same, between, late]
    assert list(stores.stories.story("g", since=first.id, limit=2)) == [early, same]


def test_runs_in_some_statuses(stores: Stores) -> None:
    """The runs that a process may take up come oldest first."""
    made = [run(1, status="running"), run(2, status="completed"), run(3, status="waiting"), run(4)]
    stores.writes.append([new(item) for item in made])
    assert list(stores.runs.owned(["waiting", "running"])) == [made[0], made[2]]
    assert list(stores.runs.owned(["completed", "queued"])) == [made[1], made[3]]
    assert list(stores.runs.owned([])) == []


def test_only_one_adopts(stores: Stores) -> None:
    """The first to adopt a run gets it with the next epoch; the second gets nothing."""
    stores.writes.append([new(run(status="running"))])
    adopted = stores.runs.adopt(run().id, epoch=0, owner="boot_a")
    assert adopted == run(status="running", epoch=1, owner="boot_a", adoptions=1)
    assert stores.runs.adopt(run().id, epoch=0, owner="boot_b") is None
    assert stores.runs.get(run().id) == adopted


def test_a_run_that_is_over_is_not_adopted(stores: Stores) -> None:
    """A final status is never taken up again."""
    stores.writes.append([new(run(status="failed"))])
    assert stores.runs.adopt(run().id, epoch=0, owner="boot_a") is None


def test_pages_of_steps_and_events(stores: Stores) -> None:
    """Steps and events above a number come in order, as many as asked for."""
    owner = run()
    numbers = (2, 4, 6, 8)
    rows = [event(owner, seq) for seq in reversed(numbers)]
    stores.writes.append([new(owner, *rows, steps=tuple(step(owner, seq) for seq in numbers))])
    assert seqs(stores.runs.events(owner.id, after=2, limit=2)) == [4, 6]
    assert [item.seq for item in stores.runs.steps(owner.id, after=2, limit=2)] == [4, 6]


@pytest.mark.parametrize(
    ("after", "expected"), [(0, [1, 5, 10, 12]), (6, [5, 10, 12]), (8, [5, 10, 12]), (9, [10, 12]), (11, [12])]
)
def test_delta_rows_that_end_above_a_number(stores: Stores, after: int, expected: list[int]) -> None:
    """A reader in the middle of a range of deltas gets the row of the range."""
    owner = run()
    rows = (event(owner, 1), deltas(owner, 5, 9, of=1), event(owner, 10), deltas(owner, 12, 12, of=1))
    stores.writes.append([new(owner, *rows)])
    found = stores.runs.events(owner.id, after=after)
    assert seqs(found) == expected
    assert {item.last_seq for item in found if item.type == "deltas"} <= {9, 12}


def test_a_missing_body_is_an_error(stores: Stores) -> None:
    """An event whose blob is gone is not given back as if it were empty."""
    owner = run()
    stores.writes.append([new(owner, event(owner, 1, body=b"x" * 2000))])
    with stores.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM blobs")
    with pytest.raises(StorageError, match="event 1 of run"):
        stores.runs.events(owner.id)


def test_times_are_exact(stores: Stores) -> None:
    """A microsecond is not lost."""
    made = run(started_at=later(0.000001), ended_at=later(1e6 + 0.000003))
    stores.writes.append([new(made)])
    assert stores.runs.get(made.id) == made

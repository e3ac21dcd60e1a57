"""The Writes port."""

from __future__ import annotations

import threading

import msgspec
import pytest

from runwright.core.message import digest
from runwright.core.ports import Batch, Blob, IdempotencyKey, RunRow, Stored
from runwright.core.run import Run
from runwright.core.thread import Thread
from runwright.errors import Conflict, OwnershipLost
from runwright.store import Stores
from tests.unit.store.rows import NOW, deltas, event, later, more, new, run, seqs, step


def changed(owner: Run, **changes: object) -> Run:
    """The run with other values."""
    return msgspec.structs.replace(owner, **changes)


def claim(owner: Run, key: str = "k") -> Batch:
    """A batch that creates a run under an idempotency key."""
    key_row = IdempotencyKey("caller /runs", key, "hash", owner.id, NOW)
    return Batch(run=RunRow(owner, True), claim=key_row, events=(event(owner, 1),))


def test_a_batch_is_written_whole(stores: Stores) -> None:
    """Run, step and events of a batch can be read after the append."""
    owner = run()
    made = step(owner)
    assert stores.writes.append([new(owner, event(owner, 1), event(owner, 2), steps=(made,))]) == [None]
    assert stores.runs.get(owner.id) == owner
    assert list(stores.runs.steps(owner.id)) == [made]
    assert seqs(stores.runs.events(owner.id)) == [1, 2]


def test_rows_of_one_run_are_merged(stores: Stores) -> None:
    """The last row of a run and of a step wins, whether they come in one append or in two."""
    for number, apart in ((1, False), (2, True)):
        owner = run(number)
        done = changed(owner, status="completed", ended_at=later(1), last_seq=3)
        made = step(owner)
        ended = msgspec.structs.replace(made, status="completed", end_seq=3, ended_at=later(1))
        first, second = new(owner, steps=(made,)), more(done, steps=(ended,))
        for batches in [[first], [second]] if apart else [[first, second]]:
            assert not any(stores.writes.append(batches))
        assert stores.runs.get(owner.id) == done
        assert list(stores.runs.steps(owner.id)) == [ended]


def test_a_stale_epoch_is_left_out(stores: Stores) -> None:
    """All batches of a run that was adopted by another process are refused; other runs are written."""
    owner, other = run(1), run(2)
    stores.writes.append([new(owner)])
    stores.runs.adopt(owner.id, epoch=0, owner="boot_b")
    outcomes = stores.writes.append(
        [
            more(owner, event(owner, 5)),
            new(other, event(other, 1)),
            more(owner, event(owner, 6), steps=(step(owner),)),
        ]
    )
    assert [type(outcome) for outcome in outcomes] == [OwnershipLost, type(None), OwnershipLost]
    assert seqs(stores.runs.events(owner.id)) == []
    assert list(stores.runs.steps(owner.id)) == []
    assert seqs(stores.runs.events(other.id)) == [1]


def test_a_stale_epoch_does_not_harm_the_present_one(stores: Stores) -> None:
    """Batches of an old and of the present epoch in one append: only the old ones are left out."""
    owner = run()
    stores.writes.append([new(owner)])
    adopted = stores.runs.adopt(owner.id, epoch=0, owner="boot_b")
    assert adopted is not None
    batches = [more(owner, event(owner, 5)), more(adopted, event(owner, 6))]
    outcomes = stores.writes.append(batches)
    assert [type(outcome) for outcome in outcomes] == [OwnershipLost, type(None)]
    assert seqs(stores.runs.events(owner.id)) == [6]


def test_a_run_that_is_not_there_is_lost(stores: Stores) -> None:
    """A batch that goes on with an unknown run is refused."""
    assert isinstance(stores.writes.append([more(run())])[0], OwnershipLost)


def test_a_taken_idempotency_key_is_a_conflict(stores: Stores) -> None:
    """Only the first of three runs under one key is written, with its claim."""
    first, second, third = run(1), run(2), run(3)
    outcomes = stores.writes.append([claim(first), claim(second), more(second), new(run(9))])
    assert [type(o) for o in outcomes] == [type(None), Conflict, Conflict, type(None)]
    assert isinstance(stores.writes.append([claim(third)])[0], Conflict)
    found = stores.runs.idempotent("caller /runs", "k")
    assert found == IdempotencyKey("caller /runs", "k", "hash", first.id, NOW)
    assert stores.runs.get(second.id) is None
    assert seqs(stores.runs.events(second.id)) == []


def test_refused_rows_take_no_other_run_with_them(stores: Stores) -> None:
    """A number used twice and text that is no Unicode are conflicts of their own runs alone."""
    good, twice, surrogate = run(1), run(2), run(3, user="\ud800")
    outcomes = stores.writes.append(
        [new(good, event(good, 1)), new(twice, event(twice, 1), event(twice, 1)), new(surrogate)]
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), Conflict, Conflict]
    assert stores.runs.get(good.id) == good
    assert stores.runs.get(twice.id) is None
    assert stores.writes.append([new(run(4))]) == [None]


def test_blobs_are_stored_once(stores: Stores) -> None:
    """The same bytes in several batches and appends are one blob, given back whole."""
    data = b"The same words again and again. " * 100
    key = digest(data).hex()
    for number in (1, 2):
        owner = run(number)
        batch = Batch(run=RunRow(owner, True), blobs=(Blob(key, data), Blob(key, data)))
        assert stores.writes.append([batch]) == [None]
    assert stores.blobs.get([key]) == {key: data}
    with stores.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT length(data) FROM blobs").all()
    assert len(rows) == 1
    assert rows[0][0] < len(data) / 2


def test_voided_deltas_go(stores: Stores) -> None:
    """Deltas of a voided step go, stored or not; those of its next attempt and of other steps stay."""
    owner = run(last_seq=9)
    stores.writes.append([new(owner, deltas(owner, 3, 5, of=2))])
    restarted = Batch(
        run=RunRow(owner, False),
        events=(event(owner, 12, of=2), deltas(owner, 13, 14, of=2)),
        voided=((owner.id, 2),),
    )
    outcomes = stores.writes.append(
        [
            more(owner, deltas(owner, 6, 8, of=2), deltas(owner, 9, 9, of=7)),
            restarted,
            more(owner, deltas(owner, 15, 16, of=2)),
        ]
    )
    assert not any(outcomes)
    assert seqs(stores.runs.events(owner.id)) == [9, 12, 13, 15]


def test_positions_are_never_given_again(stores: Stores) -> None:
    """An event that replaces the newest deltas gets a higher position than they had."""
    owner = run()
    stores.writes.append([new(owner, deltas(owner, 3, 5, of=2))])
    highest = stores.runs.events(owner.id)[-1].position
    completed = Batch(run=RunRow(owner, False), events=(event(owner, 6, of=2),), voided=((owner.id, 2),))
    stores.writes.append([completed])
    assert [found.position > highest for found in stores.runs.events(owner.id)] == [True]


def test_many_events_keep_their_order(stores: Stores) -> None:
    """Positions rise in the order of the batches, however many rows go into one statement."""
    owner = run()
    numbers = list(range(1, 100))
    stores.writes.append([new(owner, *(event(owner, seq) for seq in numbers))])
    found = stores.runs.events(owner.id)
    assert seqs(found) == numbers
    positions = [item.position for item in found]
    assert positions == sorted(set(positions))


def test_a_thread_gets_its_head(stores: Stores) -> None:
    """The head of a thread is the run that the batch names."""
    thread = Thread(id="thr_1", created_at=NOW)
    stores.threads.put(thread)
    owner = run(thread_id=thread.id)
    stores.writes.append([Batch(run=RunRow(owner, True), thread_head=(thread.id, owner.id))])
    found = stores.threads.get(thread.id)
    assert found is not None
    assert found.head == owner.id


def test_a_probe_leaves_nothing(stores: Stores) -> None:
    """A probe writes nothing that stays, and appends go on after it."""
    stores.writes.probe()
    stores.writes.probe()
    with stores.database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM blobs").scalar() == 0
    assert stores.writes.append([new(run())]) == [None]


@pytest.mark.parametrize("size", [0, 1024, 1025, 300_000])
def test_bodies_of_any_size(stores: Stores, size: int) -> None:
    """A body comes back as it was, inline or as a blob."""
    owner = run()
    body = b"x" * size
    stores.writes.append([new(owner, event(owner, 1, body=body), event(owner, 2, body=body))])
    assert [found.body for found in stores.runs.events(owner.id)] == [body, body]


def test_other_threads_write_beside_the_journal(stores: Stores) -> None:
    """Threads that change other tables and read while the journal appends raise nothing and lose nothing."""
    failures: list[Exception] = []

    def write_threads() -> None:
        try:
            for number in range(30):
                stores.threads.put(Thread(id=f"thr_{number}", created_at=NOW))
                stores.runs.get("run_0")
        except Exception as error:  # noqa: BLE001 - handed to the test
            failures.append(error)

    beside = threading.Thread(target=write_threads)
    beside.start()
    for number in range(60):
        owner = run(number)
        assert stores.writes.append([new(owner, event(owner, 1))]) == [None]
    beside.join()
    assert failures == []
    assert len(stores.threads.find(limit=100)) == 30


def test_an_empty_append(stores: Stores) -> None:
    """Nothing to write is fine."""
    assert list(stores.writes.append([])) == []


def test_stored_events_are_as_they_were(stores: Stores) -> None:
    """Every field of an event comes back; its position is given by the store."""
    owner = run()
    stored = Stored(owner.id, 7, later(0.000001), "custom.emitted", 3, b'{"a":1}', 2)
    stores.writes.append([new(owner, stored)])
    [found] = stores.runs.events(owner.id)
    assert msgspec.structs.replace(found, position=0) == stored
    assert found.position > 0


def test_the_thread_of_a_run_is_made(stores: Stores) -> None:
    """A new run makes its thread, and leaves one alone that is there."""
    there = Thread(id="there", created_at=later(-1), title="Title", metadata={"a": "b"})
    stores.threads.put(there)
    stores.writes.append([new(run(1, thread_id="there", user="u")), new(run(2, thread_id="fresh", user="u"))])
    assert stores.threads.get("there") == there
    assert stores.threads.get("fresh") == Thread(id="fresh", created_at=NOW, user="u")


@pytest.mark.parametrize("apart", [False, True])
def test_a_busy_thread_rejects(stores: Stores, apart: bool) -> None:
    """Of runs that reject a busy thread the first one is written, in one transaction or in several."""
    batches = [new(run(number, thread_id="t", multitask="reject")) for number in range(3)]
    outcomes = [stores.writes.append([each])[0] for each in batches] if apart else stores.writes.append(batches)
    assert outcomes[0] is None
    assert all(isinstance(error, Conflict) and run(0).id in error.message for error in outcomes[1:])
    assert [stores.runs.get(run(number).id) is None for number in range(3)] == [False, True, True]


def test_a_thread_is_free_when_its_run_is_over(stores: Stores) -> None:
    """A run that rejects is written in the transaction in which the one before it ends, and after it."""
    first, second, third = (run(number, thread_id="t", multitask="reject") for number in range(3))
    stores.writes.append([new(first)])
    over = [more(changed(each, status="failed", ended_at=later(1))) for each in (first, second)]
    assert stores.writes.append([over[0], new(second)]) == [None, None]
    assert stores.writes.append([over[1]]) == [None]
    assert stores.writes.append([new(third)]) == [None]


def test_a_rejected_run_claims_no_key(stores: Stores) -> None:
    """The key of a run that a busy thread rejects can be used again; one whose key is taken blocks no thread."""
    stores.writes.append([claim(run(1, thread_id="t"))])
    rejected = run(2, thread_id="t", multitask="reject")
    assert isinstance(stores.writes.append([claim(rejected, "k2")])[0], Conflict)
    assert stores.runs.idempotent("caller /runs", "k2") is None
    twice = run(3, thread_id="u", multitask="reject")
    outcomes = stores.writes.append([claim(twice, "k"), new(run(4, thread_id="u", multitask="reject"))])
    assert [error is None for error in outcomes] == [False, True]

"""What retention deletes, and what it leaves."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from datetime import timedelta

import msgspec
import pytest

from runwright.core.event import Event, RunCompleted, RunStarted
from runwright.core.ports import Batch, RunRow
from runwright.core.run import Run
from runwright.errors import NotFound, StorageError
from runwright.journal.read import JournalReader
from runwright.journal.shapes import pack
from runwright.service.pins import Pins
from runwright.service.retention import Pruner, Retention, Rule
from runwright.store import Stores, open_stores
from runwright.store.prune import SqlPruneStore
from runwright.testing import FakeClock
from tests.unit.store.rows import NOW, later, run

DAY = 86_400.0


@pytest.fixture
def stores() -> Iterator[Stores]:
    """A store with ten runs, one a day, each with a text of its own; the last one wrote the newest event."""
    opened = open_stores("sqlite://")
    filled(opened)
    yield opened
    opened.close()


def filled(stores: Stores) -> None:
    """Write ten runs, one a day."""
    for number in range(10):
        assert stores.writes.append([_told(number)]) == [None]


def _told(number: int, *, head: str | None = None) -> Batch:
    text = b'"%s"' % random.Random(number).randbytes(9000).hex().encode()
    owner = run(number, status="completed", created_at=later(DAY * number), ended_at=later(DAY * number), last_seq=2)
    told = (RunStarted(loop=1, thread_head=head), RunCompleted(output=msgspec.Raw(text)))
    row, blobs = pack([Event(owner.id, seq, NOW, data) for seq, data in enumerate(told, start=1)])
    return Batch(run=RunRow(owner, True), events=(row,), blobs=blobs)


def pruner(stores: Stores, **options: object) -> Pruner:
    """A pruner ten days after the first run."""
    reader = JournalReader(stores.runs, stores.blobs)
    return Pruner(stores.prune, reader, FakeClock(later(DAY * 10)), **options)  # pyright: ignore[reportArgumentType] - options of a test's choice


def left(stores: Stores) -> list[int]:
    """The numbers of the runs that are there."""
    return [int(each.id[4:], 16) for each in stores.runs.owned(["completed"])]


def test_what_is_too_old_goes(stores: Stores) -> None:
    """Runs that ended before go with their texts; a dry run says the same and changes nothing."""
    rule = Rule(age=timedelta(days=6))
    plan = pruner(stores).plan(rule)
    assert (plan.runs, plan.until, len(left(stores))) == (4, later(DAY * 3), 10)
    notes: list[str] = []
    pruned = pruner(stores, note=notes.append).prune(rule)
    assert (pruned.runs, pruned.blobs, pruned.until) == (4, 4, later(DAY * 3))
    assert left(stores) == [4, 5, 6, 7, 8, 9]
    assert notes == ["4 runs deleted, up to 2026-01-05 03:04"]
    assert pruner(stores).prune(rule).runs == 0


def test_what_is_too_much_goes(stores: Stores) -> None:
    """The oldest go until the store is as small as it shall be, or nothing may go any more."""
    used = stores.prune.used()
    size = used - 40_000
    plan = pruner(stores).plan(Rule(size=size))
    pruned = pruner(stores).prune(Rule(size=size))
    assert 0 < plan.runs <= 9
    assert 0 < pruned.runs < 9
    assert left(stores) == list(range(pruned.runs, 10))
    assert pruned.used <= size
    assert pruner(stores).prune(Rule(size=1)).runs == 9 - pruned.runs
    assert left(stores) == [9]
    assert pruner(stores).plan(Rule(size=used)).runs == 0


async def test_a_pinned_run_stays_with_what_its_replay_needs(stores: Stores) -> None:
    """The run whose conversation it went on from stays too; what is not there cannot be pinned."""
    await asyncio.to_thread(stores.writes.append, [_told(20, head=run(2).id), _told(21)])
    pins = Pins(stores.pins, stores.runs, FakeClock(NOW))
    assert (await pins.pin(run(20).id)).is_pinned
    assert (await pins.get(run(20).id)).is_pinned
    await asyncio.to_thread(pruner(stores).prune, Rule(size=1))
    assert await asyncio.to_thread(left, stores) == [2, 20, 21]
    assert not (await pins.unpin(run(20).id)).is_pinned
    await asyncio.to_thread(pruner(stores).prune, Rule(size=1))
    assert await asyncio.to_thread(left, stores) == [21]
    with pytest.raises(NotFound):
        await pins.pin(run(20).id)


def test_it_stops_where_it_is_told_to(stores: Stores) -> None:
    """After the piece of work that it is at; what is left over goes the next time."""
    stores.writes.append([_thick(30), _thick(31), _told(32)])
    assert pruner(stores, go_on=lambda: False).prune(Rule(size=1)).runs == 10
    assert left(stores) == [30, 31, 32]
    assert pruner(stores).prune(Rule(size=1)).runs == 2


def test_what_a_stopped_pruning_left_is_found(stores: Stores) -> None:
    """Bodies that nothing refers to go with the next thorough pruning, though no run does."""
    stores.prune.begin()
    assert stores.prune.delete(stores.prune.oldest(limit=3)) == 3
    rule = Rule(age=timedelta(days=99))
    assert pruner(stores).prune(rule).blobs == 0
    assert pruner(stores).prune(rule, is_thorough=True).blobs == 3
    assert pruner(stores).prune(rule, is_thorough=True).blobs == 0
    reader = JournalReader(stores.runs, stores.blobs)
    assert all(list(reader.events(each.id)) for each in stores.runs.owned(["completed"]))


def _thick(number: int) -> Batch:
    batch = _told(number)
    return msgspec.structs.replace(batch, run=RunRow(msgspec.structs.replace(batch.run.run, last_seq=1999), True))


class Failing(SqlPruneStore):
    """A store that cannot be read; `asked` is set when it was."""

    def __init__(self, stores: Stores) -> None:
        super().__init__(stores.database)
        self.asked = threading.Event()

    def needed(self) -> list[str]:
        """Raises StorageError."""
        self.asked.set()
        raise StorageError("The disk is gone.")


def test_the_background_outlives_a_fault(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be done is told, and the thread goes on until it is stopped."""
    store = Failing(stores)
    reader = JournalReader(stores.runs, stores.blobs)
    retention = Retention(store, reader, FakeClock(NOW), rule=Rule(size=1), first_s=0)
    retention.start()
    assert store.asked.wait(10)
    retention.stop()
    assert "nothing was pruned: The disk is gone." in caplog.text


def test_the_background_prunes(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    """What the rule does not keep goes, and the log says how much it was."""
    reader = JournalReader(stores.runs, stores.blobs)
    told = threading.Event()
    with caplog.at_level("INFO", logger="runwright.retention"):
        retention = Retention(stores.prune, reader, FakeClock(NOW), rule=Rule(size=1), first_s=0, done=told.set)
        retention.start()
        assert told.wait(10)
        retention.stop()
    assert left(stores) == [9]
    assert "9 runs and 9 blobs pruned" in caplog.text


def test_a_run_is_never_half_there(stores: Stores) -> None:
    """What stays can be read to its end."""
    pruner(stores).prune(Rule(age=timedelta(days=6)))
    reader = JournalReader(stores.runs, stores.blobs)
    found: list[Run] = [*stores.runs.owned(["completed"])]
    assert [[event.type for event in reader.events(each.id)] for each in found] == [
        ["run.started", "run.completed"]
    ] * 6

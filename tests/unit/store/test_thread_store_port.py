"""The ThreadStore port."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec

from runwright.core.ports import Batch, RunRow
from runwright.core.run import Run
from runwright.core.thread import Thread
from runwright.store import Stores
from tests.unit.store.rows import NOW, later, more, new, run


def thread(number: int = 1, **changes: object) -> Thread:
    """A thread; its id sorts by its number."""
    made = Thread(id=f"thr_{number:032x}", created_at=NOW, title="Title", metadata={"a": "é"})
    return msgspec.structs.replace(made, **changes)


def changed(owner: Run, **changes: object) -> Run:
    """The run with other values."""
    return msgspec.structs.replace(owner, **changes)


def ended(owner: Run) -> Run:
    """The run when it is over."""
    return changed(owner, status="completed", ended_at=later(1))


def test_a_thread_comes_back(stores: Stores) -> None:
    """Every field of a thread is kept."""
    stores.threads.put(thread(user="u"))
    assert stores.threads.get(thread().id) == thread(user="u")
    assert stores.threads.get("thr_x") is None


def test_put_changes_title_and_metadata_alone(stores: Stores) -> None:
    """The head, user and time of a thread stay when it is put again."""
    stores.threads.put(thread(user="u", head="run_1"))
    stores.threads.put(thread(user="v", head=None, title="New", metadata={}))
    expected = thread(user="u", head="run_1", title="New", metadata={})
    assert stores.threads.get(thread().id) == expected


def test_pages_of_threads(stores: Stores) -> None:
    """Threads come newest first, of one user if asked, and page by page."""
    made = [thread(number, user="u" if number % 2 else None) for number in range(1, 6)]
    for item in made:
        stores.threads.put(item)
    assert list(stores.threads.find(limit=2)) == [made[4], made[3]]
    assert list(stores.threads.find(after=made[3].id)) == made[2::-1]
    assert list(stores.threads.find(user="u", after=made[4].id)) == [made[2], made[0]]


def test_a_deleted_thread(stores: Stores) -> None:
    """A thread goes when all its runs are over; they stay."""
    owner = run(thread_id=thread().id)
    stores.writes.append([new(owner)])
    assert not stores.threads.delete(thread().id)
    stores.writes.append([more(ended(owner))])
    assert stores.threads.delete(thread().id)
    assert not stores.threads.delete(thread().id)
    assert stores.runs.get(owner.id) == ended(owner)


def test_active_runs(stores: Stores) -> None:
    """The active runs of a thread are those that are not over, oldest first."""
    name = thread().id
    assert list(stores.threads.active_runs(name)) == []
    statuses = ("completed", "waiting", "running", "failed")
    stores.writes.append([new(run(n, thread_id=name, status=status)) for n, status in enumerate(statuses)])
    assert list(stores.threads.active_runs(name)) == [run(1).id, run(2).id]


def test_who_comes_later_interrupts(stores: Stores) -> None:
    """A run that interrupts does so to the runs before it in its thread, whatever became of it, and to no others."""
    name = thread().id
    interrupting = run(2, thread_id=name, multitask="interrupt", status="completed")
    stores.writes.append([new(run(1, thread_id=name)), new(interrupting), new(run(3, thread_id=name))])
    stores.writes.append([new(run(0, thread_id="thr_other"))])
    assert [stores.threads.is_interrupted(name, run(number).id) for number in (1, 2, 3)] == [True, False, False]
    assert not stores.threads.is_interrupted("thr_other", run(0).id)


def test_the_turn_is_that_of_the_oldest(stores: Stores) -> None:
    """The oldest run of a thread takes its turn, as often as it asks, and the others wait until it is over."""
    first, second = (run(number, thread_id="t") for number in (1, 2))
    stores.writes.append([new(second), new(first)])
    assert stores.threads.take("t", second.id) is None
    for _ in range(2):
        assert stores.threads.take("t", first.id) == stores.threads.get("t")
        assert stores.threads.take("t", second.id) is None
    stores.writes.append([more(changed(first, status="waiting"))])
    assert stores.threads.take("t", second.id) is None
    stores.writes.append([Batch(run=RunRow(ended(first), False), thread_head=("t", first.id))])
    taken = stores.threads.take("t", second.id)
    assert taken is not None
    assert taken.head == first.id


def test_a_turn_is_not_lost_to_an_older_run(stores: Stores) -> None:
    """A run of another process whose id is older, but which was stored later, waits for the one at work."""
    older, younger = (run(number, thread_id="t") for number in (1, 2))
    stores.writes.append([new(younger)])
    assert stores.threads.take("t", younger.id) is not None
    stores.writes.append([new(older)])
    assert stores.threads.take("t", older.id) is None
    stores.writes.append([more(ended(younger))])
    assert stores.threads.take("t", older.id) is not None


def test_a_turn_needs_a_run(stores: Stores) -> None:
    """Who is over, or not in the store, gets no turn."""
    stores.writes.append([new(run(1, thread_id="t", status="completed"))])
    assert stores.threads.take("t", run(1).id) is None
    assert stores.threads.take("t", run(2).id) is None
    assert stores.threads.take("x", run(1).id) is None


def test_one_of_many_takes_the_turn(stores: Stores) -> None:
    """Of runs that ask at the same moment, one gets the turn."""
    stores.writes.append([new(run(number, thread_id="t")) for number in range(8)])
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(stores.threads.take, "t", run(number).id) for number in range(8)]
    assert [each.result() is not None for each in asked] == [True] + [False] * 7

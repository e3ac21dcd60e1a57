"""The ThreadStore port."""

from __future__ import annotations

import msgspec

from runwright.core.thread import Thread
from runwright.store import Stores
from tests.unit.store.rows import NOW, new, run


def thread(number: int = 1, **changes: object) -> Thread:
    """A thread; its id sorts by its number."""
    made = Thread(id=f"thr_{number:032x}", created_at=NOW, title="Title", metadata={"a": "é"})
    return msgspec.structs.replace(made, **changes)


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
    """A thread goes, its runs stay."""
    stores.threads.put(thread())
    owner = run(thread_id=thread().id)
    stores.writes.append([new(owner)])
    assert stores.threads.delete(thread().id)
    assert not stores.threads.delete(thread().id)
    assert stores.runs.get(owner.id) == owner


def test_the_active_run(stores: Stores) -> None:
    """The active run of a thread is its oldest one that is not over."""
    name = thread().id
    assert stores.threads.active_run(name) is None
    statuses = ("completed", "waiting", "running", "failed")
    stores.writes.append([new(run(n, thread_id=name, status=status)) for n, status in enumerate(statuses)])
    assert stores.threads.active_run(name) == run(1).id

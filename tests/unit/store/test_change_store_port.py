"""The ChangeStore port."""

from __future__ import annotations

from runwright.store import Stores
from tests.unit.store.rows import deltas, event, more, new, run


def test_runs_come_as_they_stand_now(stores: Stores) -> None:
    """Who asks from a position on gets each run that has newer events once, and where the store stands."""
    assert (stores.changes.newest(), stores.changes.since(0, limit=9).position) == (0, 0)
    first, second = run(1), run(2)
    stores.writes.append([new(first, event(first, 1)), new(second, event(second, 1))])
    border = stores.changes.newest()
    ended = run(1, status="completed")
    stores.writes.append([more(ended, event(ended, 2), event(ended, 3))])
    assert [each.id for each in stores.changes.since(0, limit=9).runs] == [first.id, second.id]
    found = stores.changes.since(border, limit=9)
    assert [(each.id, each.status) for each in found.runs] == [(first.id, "completed")]
    assert found.position == stores.changes.newest()
    assert stores.changes.since(found.position, limit=9).runs == ()


def test_too_many_are_a_gap(stores: Stores) -> None:
    """More than the limit is told as a gap that ends where the store stands; the limit itself is not."""
    first = run(1)
    stores.writes.append([new(first, *(event(first, seq) for seq in range(1, 5)))])
    assert not stores.changes.since(0, limit=4).is_gap
    found = stores.changes.since(0, limit=3)
    assert (found.is_gap, found.runs, found.position) == (True, (), stores.changes.newest())


def test_pieces_of_an_answer_change_no_row(stores: Stores) -> None:
    """Deltas move the position on and name no run."""
    first = run(1)
    stores.writes.append([new(first, event(first, 1))])
    border = stores.changes.newest()
    stores.writes.append([more(first, deltas(first, 3, 5, of=2))])
    found = stores.changes.since(border, limit=9)
    assert (found.runs, found.position > border) == ((), True)

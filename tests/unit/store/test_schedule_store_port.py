"""The ScheduleStore and FiringStore ports, and what a run claims of a schedule."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

import msgspec

from runwright.core.ports import Batch, RunRow
from runwright.core.schedule import KEPT, Advance, Firing, Schedule, ScheduleRow
from runwright.errors import OwnershipLost
from runwright.store import Stores
from tests.unit.store.rows import NOW, event, later, run


def row(name: str = "nightly", **changes: Any) -> ScheduleRow:
    """A schedule whose next firing is due at NOW."""
    schedule = Schedule(name=name, agent="clerk", cron="0 9 * * *", input={"n": [1, None]}, at=datetime(2027, 1, 1))  # noqa: DTZ001 - as a user writes it
    made = ScheduleRow(
        schedule=schedule, source="file", place="a.yaml:3", created_at=NOW, since=NOW, next_at=NOW, due_at=NOW
    )
    return msgspec.structs.replace(made, **changes)


def after(before: ScheduleRow, *firings: Firing, **changes: Any) -> Advance:
    """A step from a row to the next revision."""
    return Advance(row=msgspec.structs.replace(before, revision=before.revision + 1, **changes), firings=firings)


def firing(number: int = 1, **changes: Any) -> Firing:
    """A firing at NOW that started nothing yet."""
    return msgspec.structs.replace(Firing(number=number, at=NOW, became="skipped", noted_at=NOW), **changes)


def test_a_schedule_comes_back_as_it_was(stores: Stores) -> None:
    """A row is read as it was written; a name is given once, and is free again when the schedule is deleted."""
    assert stores.schedules.add(row())
    assert not stores.schedules.add(row(place="b.yaml"))
    assert stores.schedules.get("nightly") == row()
    assert stores.schedules.delete("nightly")
    assert not stores.schedules.delete("nightly")
    assert stores.schedules.get("nightly") is None


def test_one_that_cannot_be_read_is_found_all_the_same(stores: Stores) -> None:
    """A definition of another release has a name, an agent and a fault, hides no other, and can be deleted."""
    foreign = row("foreign", schedule=Schedule(name="foreign", agent="clerk", overlap=cast("Any", "later")))
    stores.schedules.add(foreign)
    stores.schedules.add(row())
    found, other = stores.schedules.find()
    assert (found, other) == (stores.schedules.get("foreign"), row())
    assert found.schedule == Schedule(name="foreign", agent="clerk")
    assert found.fault.startswith("The schedule 'foreign' cannot be read: ")
    assert stores.schedules.delete("foreign")


def test_pages_are_by_name(stores: Stores) -> None:
    """Schedules are listed by name, of one agent or of all."""
    for name in ("c", "a", "b"):
        stores.schedules.add(row(name))
    assert [each.name for each in stores.schedules.find(limit=2)] == ["a", "b"]
    assert [each.name for each in stores.schedules.find(after="b")] == ["c"]
    assert len(stores.schedules.find(agent="clerk")) == 3
    assert not stores.schedules.find(agent="other")


def test_one_of_two_steps_is_first(stores: Stores) -> None:
    """Of two steps from one revision the second writes nothing, neither its row nor its firings."""
    stores.schedules.add(row())
    moved = after(row(), firing(), next_at=later(60), due_at=None, is_paused=True, fired=3, last_number=1)
    assert stores.schedules.advance(moved)
    assert not stores.schedules.advance(after(row(), firing(2)))
    assert stores.schedules.get("nightly") == moved.row
    assert list(stores.firings.find("nightly")) == [firing()]


def test_a_run_claims_its_firing(stores: Stores) -> None:
    """A run is written with the step of its schedule, or not at all, and no other run of the batch suffers."""
    stores.schedules.add(row())
    owner, second, other = run(1), run(2), run(3)
    batches = [
        _starting(owner.id, 1),
        _starting(second.id, 2),
        Batch(run=RunRow(other, True), events=(event(other, 1),)),
    ]
    outcome = stores.writes.append(batches)
    assert outcome[0] is None
    assert isinstance(outcome[1], OwnershipLost)
    assert outcome[2] is None
    assert [stores.runs.get(each.id) is not None for each in (owner, second, other)] == [True, False, True]
    assert [each.run_id for each in stores.firings.find("nightly")] == [owner.id]
    assert list(stores.firings.at_work("nightly", until=1)) == [owner.id]
    assert not stores.firings.at_work("nightly", until=0)


def _starting(run_id: str, number: int) -> Batch:
    owner = msgspec.structs.replace(run(), id=run_id)
    started = firing(number, became="started", run_id=run_id)
    return Batch(run=RunRow(owner, True), events=(event(owner, 1),), claim=after(row(), started))


def test_a_run_of_a_schedule_that_is_gone_is_not_written(stores: Stores) -> None:
    """Nothing fires for a schedule that was deleted meanwhile."""
    (outcome,) = stores.writes.append([_starting(run().id, 1)])
    assert isinstance(outcome, OwnershipLost)
    assert stores.runs.get(run().id) is None


def test_what_is_due(stores: Stores) -> None:
    """Due are schedules whose time came or which have something queued, but no paused ones; the earliest first."""
    stores.schedules.add(row("b", due_at=later(2)))
    stores.schedules.add(row("a", due_at=later(1)))
    stores.schedules.add(row("waits", due_at=later(99), queued=1))
    stores.schedules.add(row("paused", is_paused=True, queued=1))
    stores.schedules.add(row("over", due_at=None, next_at=None))
    assert list(stores.firings.due(later(2))) == ["a", "b", "waits"]
    assert list(stores.firings.due(NOW)) == ["waits"]
    assert stores.firings.upcoming(NOW) == later(1)
    assert stores.firings.upcoming(later(1)) == later(2)
    assert stores.firings.upcoming(later(99)) is None


def test_queued_and_keyed_firings(stores: Stores) -> None:
    """The oldest firing that waits is found, and the one of a key; a number that is known is replaced."""
    stores.schedules.add(row())
    waiting = [firing(number, became="queued") for number in (1, 2)]
    first = after(row(), *waiting, firing(3, is_manual=True, key="k1"), last_number=3)
    stores.schedules.advance(first)
    assert stores.firings.queued("nightly") == waiting[0]
    assert stores.firings.keyed("nightly", "k1") == firing(3, is_manual=True, key="k1")
    assert stores.firings.keyed("nightly", "k2") is None
    begun = firing(1, became="started", run_id="run_1", reason="late")
    stores.schedules.advance(after(first.row, begun))
    assert stores.firings.queued("nightly") == waiting[1]
    assert [each.became for each in stores.firings.find("nightly", before=3)] == ["queued", "started"]
    assert not stores.firings.at_work("nightly", until=9)


def test_the_newest_firings_are_kept(stores: Stores) -> None:
    """A schedule keeps its newest firings, and those that wait however old they are."""
    stores.schedules.add(row())
    first = after(row(), firing(1, became="queued"), firing(2), firing(3), last_number=3)
    stores.schedules.advance(first)
    stores.schedules.advance(after(first.row, firing(KEPT + 2), last_number=KEPT + 2))
    assert [each.number for each in stores.firings.find("nightly")] == [KEPT + 2, 3, 1]


def test_a_firing_is_kept_while_its_run_is_at_work(stores: Stores) -> None:
    """However many firings come after it, one whose run is not over is not forgotten, nor one that begins late."""
    stores.schedules.add(row())
    first, late = run(1), run(2)
    begun = firing(1, became="started", run_id=first.id)
    waits = firing(2, became="queued")
    steps = [
        Batch(run=RunRow(first, True), events=(event(first, 1),), claim=after(row(), begun, waits, last_number=2)),
    ]
    stores.writes.append(steps)
    second = msgspec.structs.replace(row(), revision=2)
    assert stores.schedules.advance(after(second, firing(KEPT + 9), last_number=KEPT + 9))
    third = msgspec.structs.replace(second, revision=3, last_number=KEPT + 9)
    taken = msgspec.structs.replace(waits, became="started", run_id=late.id)
    (outcome,) = stores.writes.append(
        [Batch(run=RunRow(late, True), events=(event(late, 1),), claim=after(third, taken))]
    )
    assert outcome is None
    assert list(stores.firings.at_work("nightly", until=KEPT + 9)) == [first.id, late.id]


def test_a_step_of_a_schedule_that_was_made_anew(stores: Stores) -> None:
    """A step from a schedule that is gone changes nothing of another one of its name, at the same revision."""
    stores.schedules.add(row())
    stores.schedules.delete("nightly")
    stores.schedules.add(row(created_at=later(1)))
    assert not stores.schedules.advance(after(row(), firing(), last_number=1))
    assert stores.schedules.get("nightly") == row(created_at=later(1))
    assert not stores.firings.find("nightly")

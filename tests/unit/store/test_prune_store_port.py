"""The PruneStore and PinStore ports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from runwright.core.memory import Change, Draft
from runwright.core.message import digest
from runwright.core.ports import Batch, Blob, IdempotencyKey, RunRow, Stored
from runwright.core.retention import Prunable
from runwright.core.run import Run
from runwright.journal.shapes import references
from runwright.store import Stores, open_stores
from runwright.store.prune import SqlPruneStore
from runwright.store.schema import events, metadata
from tests.unit.store.rows import NOW, deltas, event, later, run, step

TEXT = b'"' + b"many words " * 100 + b'"'


def over(number: int, *, ended_at: datetime = NOW, **changes: object) -> Run:
    """A run that is over."""
    return run(number, status="completed", started_at=NOW, ended_at=ended_at, last_seq=3, **changes)


def told(owner: Run, *texts: bytes) -> Batch:
    """A run with events that refer to these texts."""
    blobs = [Blob(digest(text).hex(), text) for text in texts]
    body = b'{"messages":[' + b",".join(b'{"$blob":"%s"}' % blob.hash.encode() for blob in blobs) + b"]}"
    rows = (event(owner, 1), event(owner, 2, body=body), event(owner, 3))
    return Batch(run=RunRow(owner, True), steps=(step(owner, 2),), events=rows, blobs=tuple(blobs))


def newest(stores: Stores) -> None:
    """A run that wrote the newest event, so that all others may go."""
    owner = run(999)
    stores.writes.append([Batch(run=RunRow(owner, True), events=(event(owner, 1),))])


def ids(found: Sequence[Prunable]) -> list[int]:
    """The numbers of runs."""
    return [int(each.run_id[4:], 16) for each in found]


def prune(stores: Stores, chosen: Sequence[Prunable]) -> int:
    """Delete these runs and what only they referred to; how many blobs went."""
    generation = stores.prune.begin()
    stores.prune.delete(chosen)
    return sum(stores.prune.sweep(generation, references))


def has(stores: Stores, text: bytes) -> bool:
    """Whether a blob is stored."""
    return bool(stores.blobs.get([digest(text).hex()]))


def test_what_is_over_and_old_may_go(stores: Stores) -> None:
    """Oldest first, by the time of their end; runs that are not over stay, and so does the one of the newest event."""
    made = [over(3), over(1), over(2, ended_at=later(60)), run(4), over(5)]
    stores.writes.append([told(owner) for owner in made])
    assert ids(stores.prune.oldest()) == [1, 2, 3]
    assert ids(stores.prune.oldest(before=later(60))) == [1, 3]
    assert ids(stores.prune.oldest(after=run(1).id, limit=1)) == [2]
    assert ids(stores.prune.oldest(limit=1, keep={run(1).id, run(2).id})) == [3]


def test_what_is_needed_stays(stores: Stores) -> None:
    """Pinned runs, the head of a thread, what a run that is not over replays or is a child of."""
    made = [
        over(1),
        over(2, thread_id="thr_1"),
        over(3, thread_id="thr_1"),
        over(4),
        run(5, replay_of=run(4).id),
        over(6, replay_of=run(3).id, parent_run_id=run(5).id),
        over(7, thread_id="thr_gone"),
    ]
    stores.writes.append([told(owner) for owner in made])
    for thread, head in (("thr_1", 3), ("thr_gone", 7)):
        stores.writes.append([Batch(run=RunRow(made[head - 1], False), thread_head=(thread, run(head).id))])
    newest(stores)
    stores.pins.put(run(1).id, NOW)
    assert ids(stores.prune.oldest()) == [2]
    assert sorted(stores.prune.needed()) == [run(1).id, run(4).id]
    stores.threads.delete("thr_gone")
    assert stores.pins.drop(run(1).id)
    assert ids(stores.prune.oldest()) == [1, 2, 7]


def test_pins(stores: Stores) -> None:
    """To pin twice is to pin; to take away what is not there says so."""
    for _ in range(2):
        stores.pins.put("run_1", NOW)
    assert stores.pins.has("run_1")
    assert [stores.pins.drop("run_1"), stores.pins.drop("run_1")] == [True, False]
    assert not stores.pins.has("run_1")


def test_a_run_goes_with_all_that_is_its_own(stores: Stores) -> None:
    """No table holds anything of it any more, but for its memory and the sums of its hour."""
    owner = over(1, tags=("a",), thread_id="thr_1")
    claim = IdempotencyKey("s", "k", "h", owner.id, NOW)
    change = Change(name="notes", action="set", value=TEXT)
    draft = Draft(owner="agent:support", created_at=NOW, changes=(change,), run_id=owner.id, seq=1, step=2)
    batch = msgspec.structs.replace(told(owner, TEXT), claim=claim, memory=(draft,))
    assert stores.writes.append([batch]) == [None]
    newest(stores)
    assert prune(stores, stores.prune.oldest()) == 0
    left: set[str] = set()
    with stores.database.read() as connection:
        columns = [table.c[name] for table in metadata.sorted_tables for name in ("id", "run_id") if name in table.c]
        for column in columns:
            if connection.scalar(select(func.count()).where(column == owner.id)):
                left.add(column.table.name)
    assert left == {"memory_commits"}
    assert has(stores, TEXT)


def test_a_run_that_was_pinned_meanwhile_stays(stores: Stores) -> None:
    """What was chosen is looked at again in the transaction that deletes."""
    stores.writes.append([told(over(1)), told(over(2))])
    newest(stores)
    chosen = stores.prune.oldest()
    stores.pins.put(run(1).id, NOW)
    assert stores.prune.delete(chosen) == 1
    assert stores.runs.get(run(1).id) is not None


def test_a_long_run_goes_piece_by_piece(stores: Stores) -> None:
    """Its last events go first, in transactions of a piece each, then the run with the rest."""
    owner = over(1)
    rows = tuple(event(owner, seq) for seq in range(1, 36))
    stores.writes.append([Batch(run=RunRow(msgspec.structs.replace(owner, last_seq=35), True), events=rows)])
    newest(stores)
    assert SqlPruneStore(stores.database, piece=10).delete(stores.prune.oldest()) == 1
    with stores.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(events)) == 1


def test_blobs_that_others_need_stay(stores: Stores) -> None:
    """What a run shares with one that stays is kept; a blob within a body that is a blob itself counts too."""
    shared, own, deep = b'"shared' + TEXT, b'"own' + TEXT, b'"deep' + TEXT
    stores.writes.append([told(over(1), shared, own), told(over(2), shared)])
    filler = [b'"%d' % number + TEXT for number in range(40)]
    stores.writes.append([told(run(3), deep, *filler)])
    newest(stores)
    assert prune(stores, stores.prune.oldest()[:1]) == 1
    assert [has(stores, text) for text in (shared, own, deep)] == [True, False, True]


def test_a_writer_does_not_trust_what_it_knew_before_a_sweep(stores: Stores) -> None:
    """A blob that went is stored again when the next run needs it, by every writer that knew it."""
    stores.writes.append([told(over(1), TEXT)])
    stores.imports.append([told(over(2), TEXT)])
    newest(stores)
    assert prune(stores, stores.prune.oldest()) == 1
    assert not has(stores, TEXT)
    stores.writes.append([told(over(3), TEXT)])
    assert has(stores, TEXT)
    newest_run = run(1000)
    stores.imports.append([told(newest_run, b'"other' + TEXT)])
    assert prune(stores, stores.prune.oldest()) == 1
    stores.imports.append([told(over(4), TEXT)])
    assert has(stores, TEXT)


def test_a_blob_that_is_needed_while_a_sweep_goes_on_stays(stores: Stores) -> None:
    """A run that begins between the deletion and the sweep keeps what it refers to, known to its writer or not."""
    stores.writes.append([told(over(1), TEXT)])
    newest(stores)
    generation = stores.prune.begin()
    stores.prune.delete(stores.prune.oldest())
    stores.writes.append([told(run(2), TEXT)])
    assert sum(stores.prune.sweep(generation, references)) == 0
    assert has(stores, TEXT)


def test_deltas_go_with_their_step_and_leave_the_numbers_alone(stores: Stores) -> None:
    """Voided deltas are gone from the table, and the next event has a position of its own."""
    owner = run(1)
    stores.writes.append([Batch(run=RunRow(owner, True), events=(event(owner, 1), deltas(owner, 2, 9, of=1)))])
    stores.writes.append([Batch(run=RunRow(owner, False), events=(event(owner, 10),), voided=((owner.id, 1),))])
    with stores.database.read() as connection:
        assert connection.execute(select(events.c.position, events.c.seq)).all() == [(1, 1), (3, 10)]


_ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.booleans(), st.frozensets(st.integers(0, 4))),
        st.tuples(st.just("prune"), st.integers(1, 4), st.just(frozenset[int]())),
        st.tuples(st.just("pin"), st.integers(0, 9), st.just(frozenset[int]())),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(_ACTS)
def test_no_body_is_ever_missing(acts: list[tuple[str, int, frozenset[int]]]) -> None:
    """However two writers and prunings follow each other, nothing refers to what is gone."""
    stores = open_stores("sqlite://")
    number = 0
    for act, count, texts in acts:
        if act == "write":
            number += 1
            writes = stores.writes if count else stores.imports
            assert writes.append([told(over(number), *map(_text, sorted(texts)))]) == [None]
        elif act == "pin":
            stores.pins.put(run(count).id, NOW)
        else:
            prune(stores, stores.prune.oldest()[:count])
    needed = {name for owner in stores.runs.owned(["completed"]) for name in references(_all(stores, owner))}
    known = {digest(_text(text)).hex() for text in range(5)}
    assert needed == set(stores.blobs.get(sorted(needed)))
    prune(stores, [*stores.prune.oldest()[:1]])
    needed = {name for owner in stores.runs.owned(["completed"]) for name in references(_all(stores, owner))}
    assert needed == set(stores.blobs.get(sorted(needed)))
    assert needed <= set(stores.blobs.get(sorted(known)))
    stores.close()


def _text(number: int) -> bytes:
    return b'"%d' % number + TEXT


def _all(stores: Stores, owner: Run) -> Sequence[Stored]:
    return stores.runs.events(owner.id)


def test_what_is_deleted_makes_room(path: Path) -> None:
    """Free pages are given back, and the file is smaller after the next checkpoint."""
    place = path
    stores = open_stores(place)
    stores.writes.append([told(over(number), b'"%d' % number + TEXT * 20) for number in range(1, 300)])
    newest(stores)
    before = stores.prune.used()
    prune(stores, stores.prune.oldest(limit=1000))
    assert stores.prune.used() < before / 2
    assert sum(stores.prune.shrink()) > before / 3
    stores.close()
    assert place.stat().st_size < before / 2

"""The MemoryStore port, and what batches write there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwright.core.memory import Action, Change, CommitFilter, Draft, Owner, Touched
from runwright.core.ports import Batch, RunRow
from runwright.core.run import Run
from runwright.errors import Conflict
from runwright.journal.memory import blame, changed
from runwright.store import Stores, open_stores
from tests.unit.store.rows import NOW, event, new, run

OWNER = "agent:support"


def change(name: str, value: object = None, action: Action = "set") -> Change:
    """What becomes of a block."""
    return Change(name, action, msgspec.json.encode(value))


def draft(*changes: Change, owner: str = OWNER, **of: Any) -> Draft:
    """A commit to be made."""
    return Draft(owner=owner, changes=changes, created_at=NOW, **of)


def written(owner: Run, seq: int, *changes: Change, **of: Any) -> Batch:
    """A batch of a run that tells of a commit at an event."""
    made = draft(*changes, run_id=owner.id, step=2, seq=seq, **of)
    return Batch(run=RunRow(owner, False), events=(event(owner, seq),), memory=(made,))


def standing(stores: Stores, at: int | None = None, owner: str = OWNER) -> dict[str, object]:
    """The blocks at a commit, or now."""
    entries = stores.memory.blocks(owner, stores.memory.head(owner) if at is None else at)
    return {entry.name: msgspec.json.decode(entry.value or b"null") for entry in entries}


def test_blocks_stand_as_every_commit_left_them(stores: Stores) -> None:
    """Each commit is a number, and what stood there can be asked for ever after."""
    commits = (
        (change("a", "one"), change("b", {"x": 1})),
        (change("a", "two", "append"),),
        (change("b", action="delete"),),
    )
    assert [stores.memory.commit(draft(*each)) for each in commits] == [1, 2, 3]
    assert [standing(stores, at) for at in range(4)] == [
        {},
        {"a": "one", "b": {"x": 1}},
        {"a": "one\ntwo", "b": {"x": 1}},
        {"a": "one\ntwo"},
    ]
    assert standing(stores) == standing(stores, 3)
    assert stores.memory.head("agent:other") == 0
    assert standing(stores, owner="agent:other") == {}


def test_what_changes_nothing_is_no_commit(stores: Stores) -> None:
    """The same content again, and the end of what is not there, leave the newest commit as it is."""
    stores.memory.commit(draft(change("a", "one")))
    assert stores.memory.commit(draft(change("a", "one"))) == 1
    assert stores.memory.commit(draft(change("b", action="delete"))) == 1


def test_a_block_comes_and_goes(stores: Stores) -> None:
    """The history of a block holds its ends; a text that is appended to nothing begins one."""
    for each in (change("a", 1), change("a", action="delete"), change("a", "x", "append")):
        stores.memory.commit(draft(each))
    assert [(entry.commit, entry.value) for entry in stores.memory.history(OWNER, "a")] == [
        (1, b"1"),
        (2, None),
        (3, b'"x"'),
    ]
    assert [entry.commit for entry in stores.memory.history(OWNER, "a", after=1, limit=1)] == [2]


def test_who_expects_another_block_is_refused(stores: Stores) -> None:
    """A write that names the commit it goes on from counts only if no other came between; 0 expects no block."""
    assert stores.memory.commit(draft(change("a", "one")), expect=0) == 1
    assert stores.memory.commit(draft(change("a", "two")), expect=1) == 2
    for number in (0, 1):
        with pytest.raises(Conflict, match=r"'a' was left as it is by commit 2, not by"):
            stores.memory.commit(draft(change("a", "three")), expect=number)
    stores.memory.commit(draft(change("a", action="delete")))
    with pytest.raises(Conflict, match=r"'a' is not there"):
        stores.memory.commit(draft(change("a", "three")), expect=2)
    assert stores.memory.head(OWNER) == 3


def test_a_batch_writes_its_commits(stores: Stores) -> None:
    """A commit of a run stands at the position of its event, and goes with its batch where that is refused."""
    first, lost = run(1), run(2, epoch=2)
    stores.writes.append([new(first, event(first, 1)), new(lost, event(lost, 1))])
    stale = msgspec.structs.replace(lost, epoch=1)
    outcome = stores.writes.append([written(stale, 2, change("b", 1)), written(first, 2, change("a", "é" * 2000))])
    assert [error is None for error in outcome] == [False, True]
    (commit,) = stores.memory.commits(CommitFilter(run_id=first.id))
    stored = stores.runs.events(first.id)
    assert (commit.number, commit.step, commit.position) == (1, 2, stored[-1].position)
    assert standing(stores) == {"a": "é" * 2000}


def test_memory_as_a_run_began_with_it(stores: Stores) -> None:
    """What is committed before a run starts stands then, and what comes after does not, whoever writes it."""
    first, second = run(1), run(2)
    stores.memory.commit(draft(change("a", 1)))
    stores.writes.append([new(first, event(first, 1))])
    stores.memory.commit(draft(change("a", 2)))
    stores.writes.append([new(second, event(second, 1)), written(first, 2, change("a", 3))])
    began = [stores.memory.began(each.id) for each in (first, second)]
    assert [stores.memory.head(OWNER, before=each) for each in began] == [1, 2]
    assert stores.memory.began(run(3).id) == 0


def test_who_overwrites_what_a_run_had_not_seen(stores: Stores) -> None:
    """A commit names the one of another writer that it replaced unseen; what is appended replaces nothing."""
    first, second = run(1), run(2)
    stores.memory.commit(draft(change("a", "zero"), change("b", "zero")))
    stores.writes.append([new(first, event(first, 1)), new(second, event(second, 1))])
    stores.writes.append([written(first, 2, change("a", "one")), written(first, 3, change("a", "two"))])
    stores.writes.append([written(second, 2, change("a", "three")), written(second, 3, change("b", "one", "append"))])
    stores.writes.append([written(first, 4, change("b", "two", "append")), written(second, 4, change("b", "end"))])
    commits = stores.memory.commits(CommitFilter(owner=OWNER))
    assert [(commit.number, commit.run_id, commit.touched) for commit in commits[:-1]] == [
        (7, second.id, (Touched(name="b", size=5, overwrote=6),)),
        (6, first.id, (Touched(name="b", size=len('"zero\\none\\ntwo"')),)),
        (5, second.id, (Touched(name="b", size=len('"zero\\none"')),)),
        (4, second.id, (Touched(name="a", size=7, overwrote=3),)),
        (3, first.id, (Touched(name="a", size=5),)),
        (2, first.id, (Touched(name="a", size=5),)),
    ]


def test_pages_of_commits(stores: Stores) -> None:
    """Commits come newest first, page by page, of one block if asked."""
    for number in range(6):
        stores.memory.commit(draft(change("ab"[number % 2], number)))
    numbers = [commit.number for commit in stores.memory.commits(CommitFilter(owner=OWNER, limit=2, before=5))]
    of_block = [commit.number for commit in stores.memory.commits(CommitFilter(owner=OWNER, name="a"))]
    assert (numbers, of_block) == ([4, 3], [5, 3, 1])


def test_who_has_memory(stores: Stores) -> None:
    """Owners come by name with what stands there now."""
    stores.memory.commit(draft(change("a", "x"), change("b", 1)))
    stores.memory.commit(draft(change("a", "x"), owner="thread:t1"))
    stores.memory.commit(draft(change("a", action="delete"), owner="thread:t1"))
    expected = [
        Owner(owner=OWNER, commit=1, blocks=2, size=4),
        Owner(owner="thread:t1", commit=2, blocks=0, size=0),
    ]
    assert list(stores.memory.owners()) == expected
    assert list(stores.memory.owners(after=OWNER, limit=1)) == expected[1:]


words = st.lists(st.sampled_from(["red", "green", "blue"]), max_size=5).map("\n".join)
changes = st.builds(
    change,
    st.sampled_from("abc"),
    st.one_of(words, st.integers(0, 3)),
    st.sampled_from(["set", "delete", "append"]),
).filter(lambda each: each.action != "append" or each.value[:1] == b'"')
Restore = int


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(st.lists(changes, min_size=1, max_size=2, unique_by=lambda each: each.name), st.integers(0))))
def test_random_writes_and_restores_are_those_of_a_dict(told: list[list[Change] | Restore]) -> None:
    """Every state that ever was can be read again, equal to that of plain dicts, and each line has its first writer."""
    stores = open_stores(":memory:")
    states: list[dict[str, bytes]] = [{}]
    for each in told:
        held = states[-1]
        if isinstance(each, Restore):
            back = states[each % len(states)]
            each = [Change(name, "set", value) for name, value in back.items()]
            each += [change(name, action="delete") for name in held.keys() - back.keys()]
        after = changed(held, each)
        number = stores.memory.commit(draft(*each))
        if after != held:
            states.append(after)
        assert number == len(states) - 1
    for at, state in enumerate(states):
        entries = stores.memory.blocks(OWNER, at)
        assert {entry.name: entry.value for entry in entries} == state
        assert all(entry.commit is not None and entry.commit <= at for entry in entries)
    for name, value in states[-1].items():
        lines = blame(stores.memory.history(OWNER, name, limit=10_000))
        if value[:1] == b'"':
            # What could be taken for other JSON is shown with its quotes.
            assert "\n".join(line.text for line in lines).strip('"') == msgspec.json.decode(value, type=str).strip("\n")
        for line in lines:
            # Whoever is blamed for a line left the block with it.
            assert line.entry.value is not None
            assert line.entry.value == states[line.entry.commit or 0][name]
            assert line.text.strip('"') in line.entry.value.decode()
    stores.close()

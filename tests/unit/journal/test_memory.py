"""Memory as events tell of it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from runwright.core.event import Event, MemoryWritten, RunTainted
from runwright.core.memory import BLOCK_BYTES, BLOCKS, OWNER_BYTES, Change, Draft, Entry, misfit
from runwright.journal.memory import COMPARED, blame, changed, memory_drafts

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def told(**of: object) -> Event:
    """An event that tells of a write."""
    data = MemoryWritten(owner="agent:a", name="notes", action="set", value=msgspec.Raw(b'"x"'))
    return Event("run_1", 7, NOW, msgspec.structs.replace(data, **of), 5)


def blamed(*texts: object) -> list[tuple[str, int | None]]:
    """The lines of the last of these values, each with the number of the one that wrote it; None is a deletion."""
    encoded = [None if text is None else msgspec.json.encode(text) for text in texts]
    entries = [Entry(name="notes", value=value, commit=number) for number, value in enumerate(encoded, start=1)]
    return [(line.text, line.entry.commit) for line in blame(entries)]


def test_an_event_makes_a_commit() -> None:
    """The commit of a write is tied to run, step and event; what a replay repeats makes none."""
    made = Draft(
        owner="agent:a",
        changes=(Change("notes", "set", b'"x"'),),
        created_at=NOW,
        run_id="run_1",
        step=5,
        seq=7,
    )
    assert memory_drafts([Event("run_1", 7, NOW, RunTainted(reason="x")), told(), told(taped=3)]) == (made,)
    assert memory_drafts([]) == ()


def test_blocks_after_changes() -> None:
    """To append adds a line to a text, and begins one where there is none."""
    changes = [
        Change("a", "append", b'"one"'),
        Change("a", "append", b'"two\\n"'),
        Change("a", "append", b'"three"'),
        Change("b", "append", b'"x"'),
        Change("c", "delete"),
        Change("d", "delete"),
    ]
    assert changed({"b": b"[1]", "c": b"1"}, changes) == {"a": b'"one\\ntwo\\nthree"', "b": b'"x"'}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("", b"1", "not ''"),
        ("a/b", b"1", "not 'a/b'"),
        ("a" * 65, b"1", "up to 64 letters"),
        ("a", b"null", "delete 'a' instead"),
        ("a", b'"' + b"x" * BLOCK_BYTES + b'"', "65,538 bytes; 65,536 is the most"),
        ("a", b'"' + b"x" * 50_000 + b'"', "1,048,602 bytes; 1,048,576 is the most"),
    ],
    ids=["empty", "slash", "long", "null", "block", "owner"],
)
def test_what_does_not_fit_is_refused(name: str, value: bytes, told: str) -> None:
    """Names are plain, a block has a size, and all of an owner together have one."""
    held = {"other": bytes(OWNER_BYTES - 49_976)}
    assert told in misfit(held, Change(name, "set", value))
    assert misfit(held, Change("a", "set", b"1")) == misfit(held, Change("a", "delete")) == ""


def test_there_are_so_many_blocks() -> None:
    """One more than the most is refused, and those that are there can be written."""
    held = {f"b{number}": b"1" for number in range(BLOCKS)}
    assert "256 blocks already" in misfit(held, Change("a", "set", b"1"))
    assert misfit(held, Change("b7", "set", b"2")) == ""


def test_each_line_has_its_writer() -> None:
    """Lines that were there keep who wrote them, wherever they stand then."""
    assert blamed("a\nb", "a\nx\nb", "x\nb\nc", "x\nb\nc") == [("x", 2), ("b", 1), ("c", 3)]
    assert blamed("a\nb\n", "a\nb") == [("a", 1), ("b", 1)]


def test_a_block_that_was_away_is_written_anew() -> None:
    """Nobody is blamed for a block that is deleted; who brings it back wrote all of it."""
    assert blamed("a", None) == []
    assert blamed("a", None, "a") == [("a", 3)]


def test_values_that_are_no_text_have_lines_too() -> None:
    """A JSON value is taken as it is shown, on several lines where it is long."""
    long = {"city": "Rome" * 10, "name": "Ada"}
    assert blamed({"a": 1}, {"a": 2}) == [('{"a": 2}', 2)]
    assert [commit for _, commit in blamed(long, long | {"name": "Bob"})] == [1, 1, 2, 1]


def test_texts_that_differ_in_too_many_lines() -> None:
    """What both begin and end with keeps its writers; between, all lines count as written anew."""
    middle = "\n".join(f"line {number}" for number in range(COMPARED + 1))
    lines = blamed(f"first\n{middle}\nlast", f"first\nother\n{middle[:-1]}\nlast")
    assert [lines[0], lines[-1]] == [("first", 1), ("last", 1)]
    assert {commit for _, commit in lines[1:-1]} == {2}

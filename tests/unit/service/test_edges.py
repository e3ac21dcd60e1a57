"""Inputs and outputs of runs, read for many of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from runwright.core.event import Event, RunCompleted, RunQueued
from runwright.core.ports import Batch, Blobs, RunRow
from runwright.core.retention import Prunable
from runwright.core.run import Run
from runwright.errors import StorageError
from runwright.journal.read import JournalReader
from runwright.journal.shapes import pack
from runwright.service.edges import Edges
from runwright.store import Stores, open_stores
from tests.unit.store.rows import NOW, later, run


@pytest.fixture
def stores() -> Iterator[Stores]:
    """An empty store."""
    opened = open_stores("sqlite://")
    yield opened
    opened.close()


def _put(stores: Stores, number: int, value: object, *, has_blobs: bool = True) -> Run:
    """A completed run that gave what it was given."""
    made = run(number, status="completed", last_seq=2, ended_at=later(1))
    raw = msgspec.Raw(msgspec.json.encode(value))
    told = (RunQueued(agent="support", version="1", input=raw), RunCompleted(output=raw))
    row, blobs = pack([Event(made.id, seq, NOW, data) for seq, data in enumerate(told, start=1)])
    batch = Batch(run=RunRow(made, True), events=(row,), blobs=blobs if has_blobs else ())
    assert stores.writes.append([batch]) == [None]
    return made


def _edges(stores: Stores, blobs: Blobs | None = None) -> Edges:
    return Edges(stores.stories, blobs or stores.blobs, JournalReader(stores.runs, stores.blobs))


@pytest.mark.parametrize(
    "value",
    [
        [1, 2, None, {"type": "step.started", "text": "x" * 6000}],
        {"a": [[0, 0, None, {"type": "step.completed", "b": "x" * 600}]], "c": "y" * 600},
        "x" * 600 + '",[1,2,null,{"type":"step.started","text":"',
    ],
    ids=["list", "object", "text"],
)
def test_what_looks_like_an_event_is_read_whole(stores: Stores, value: Any) -> None:
    """No words within an input or output keep it from being read."""
    made = _put(stores, 1, value)
    (edge,) = _edges(stores).read([made])
    assert (msgspec.json.decode(edge.input), msgspec.json.decode(edge.output)) == (value, value)


def test_a_missing_blob_is_an_error(stores: Stores) -> None:
    """A run whose text is not there is damaged, and is not told as one with an empty text."""
    made = _put(stores, 1, "x" * 600, has_blobs=False)
    with pytest.raises(StorageError, match=r"blob '.*' is missing"):
        list(_edges(stores).read([made]))


class _Deleting:
    """Blobs of which those of a run go, with the run, just before they are looked for."""

    def __init__(self, stores: Stores, run: Run) -> None:
        self._stores = stores
        self._run = run

    def get(self, hashes: Sequence[str]) -> Mapping[str, bytes]:
        """What is left of them."""
        assert self._stores.prune.delete([Prunable(self._run.id, self._run.last_seq, NOW)]) == 1
        return {}


def test_a_run_that_goes_while_it_is_read_breaks_no_list(stores: Stores) -> None:
    """A run that retention deletes between its rows and its texts has none; the others are whole."""
    goes, stays = _put(stores, 1, "x" * 600), _put(stores, 2, "short")
    first, second = _edges(stores, _Deleting(stores, goes)).read([goes, stays])
    assert (first.run, first.input, first.output) == (goes, b"null", b"null")
    assert second.output == b'"short"'

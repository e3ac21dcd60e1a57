"""Reading the story of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.event import Event, MessageDelta, ProgressReported
from runwright.core.ids import make_id
from runwright.core.ports import Batch, RunRow
from runwright.core.run import Run
from runwright.journal.read import JournalReader
from runwright.journal.shapes import ROW_LIMIT, pack, pack_deltas
from runwright.store import Stores, open_stores
from tests.unit.journal.scene import MODEL, QUEUED, STARTED, large, say, scene, seqs, types

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.anyio
async def test_a_page_ends_where_it_is_told() -> None:
    """Pages hold so many rows and go on after the last event."""
    async with scene() as at:
        log = at.new()
        log.append(QUEUED, STARTED, *[(ProgressReported(), None) for _ in range(3 * ROW_LIMIT)])
        await log.durable()
        first = await asyncio.to_thread(at.reader.page, log.run.id, limit=2)
        assert seqs(first) == list(range(1, 2 * ROW_LIMIT + 1))
        rest = await asyncio.to_thread(at.reader.page, log.run.id, after=first[-1].seq, limit=10)
        assert seqs(rest) == list(range(2 * ROW_LIMIT + 1, 3 * ROW_LIMIT + 3))
        assert await at.stored(log.run.id, after=rest[-1].seq) == []


@pytest.mark.anyio
async def test_reading_begins_within_a_row() -> None:
    """From any number on, the events of a row that come after it are read."""
    async with scene() as at:
        log = at.new()
        log.append(QUEUED, STARTED, *[(ProgressReported(), None) for _ in range(5)])
        await log.durable()
        log.append((ProgressReported(), None))
        await log.durable()
        for after in range(9):
            assert seqs(await at.stored(log.run.id, after=after)) == list(range(after + 1, 9))
            page = await asyncio.to_thread(at.reader.page, log.run.id, after=after, limit=1)
            assert seqs(page)[:1] == list(range(after + 1, 9))[:1]


@pytest.mark.anyio
async def test_large_values_come_back_whole() -> None:
    """What was set aside as a blob is in the event that is read."""
    async with scene() as at:
        log = at.new()
        sent = log.append(QUEUED, (large(5000), None))[1]
        await log.durable()
        found = (await at.stored(log.run.id))[1]
        assert found.data == sent.data


@pytest.mark.anyio
async def test_deltas_are_read_as_events() -> None:
    """A late reader gets the deltas of an open step one by one, from any number on."""
    async with scene() as at:
        log = at.new()
        step = log.append(QUEUED, STARTED, MODEL)[-1].seq
        await log.durable()
        say(log, step, *("x" * 256))
        await log.durable()
        found = await at.stored(log.run.id, after=100)
        assert seqs(found) == list(range(101, 260))
        assert set(types(found)) == {"message.delta"}


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    """A store for many stories, each under a run of its own."""
    opened = open_stores(":memory:")
    yield opened
    opened.close()


def _write(stores: Stores, layout: Sequence[int], together: int) -> str:
    """A story in which each number belongs to lane 0 (an event), or to the deltas of one of two open steps.

    So many events at the most are a row.
    """
    run = Run(id=make_id("run"), agent="a", version="1", fingerprint="f", status="running", created_at=NOW, epoch=1)
    told = [Event(run.id, seq, NOW, ProgressReported(), None) for seq, lane in _of(layout) if lane == 0]
    rows = [pack(told[start : start + together])[0] for start in range(0, len(told), together)]
    for lane in (1, 2):
        deltas = [Event(run.id, seq, NOW, MessageDelta(text="x"), lane) for seq, each in _of(layout) if each == lane]
        rows.extend(pack_deltas(deltas[start : start + 4]) for start in range(0, len(deltas), 4))
    stores.writes.append([Batch(run=RunRow(run, True), events=tuple(rows))])
    return run.id


def _of(layout: Sequence[int]) -> list[tuple[int, int]]:
    return [(index + 1, lane) for index, lane in enumerate(layout)]


@given(st.lists(st.integers(0, 2), min_size=1, max_size=24), st.integers(1, 5), st.integers(1, 6), st.integers(0, 24))
def test_pages_lose_and_repeat_nothing(
    stores: Stores, layout: list[int], together: int, limit: int, after: int
) -> None:
    """Whatever rows lie across the borders of pages, reading page by page gives every event once."""
    run_id = _write(stores, layout, together)
    reader = JournalReader(stores.runs, stores.blobs)
    found: list[int] = []
    last = after
    while page := reader.page(run_id, after=last, limit=limit):
        found.extend(event.seq for event in page)
        last = found[-1]
    assert found == list(range(after + 1, len(layout) + 1))
    assert [event.seq for event in reader.events(run_id, after=after)] == found

"""Stored shapes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.event import (
    SHAPE,
    CustomEmitted,
    Data,
    Delta,
    Event,
    MessageCompleted,
    MessageDelta,
    ProgressReported,
    ReasoningDelta,
    RunCompleted,
    RunQueued,
    StepCompleted,
    StepFailed,
    StepStarted,
    ToolArgsDelta,
)
from runwright.core.message import digest
from runwright.core.ports import Stored
from runwright.core.run import ErrorInfo
from runwright.core.usage import Usage
from runwright.errors import StorageError, StorageVersion
from runwright.journal.shapes import PART_LIMIT, Converter, pack, pack_deltas, references, unpack

NOW = datetime(2026, 1, 2, tzinfo=UTC)

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
HASH = st.binary(min_size=16, max_size=16).map(bytes.hex)
HOSTILE = HASH.map(lambda name: msgspec.Raw(b'{"$blob":"' + name.encode() + b'"}'))
LARGE = st.integers(PART_LIMIT - 3, PART_LIMIT + 3).map(lambda size: msgspec.Raw(b'"' + b"x" * size + b'"'))
PLAIN = (TEXT | st.integers() | st.none()).map(lambda value: msgspec.Raw(str(value).encode().hex().join('""').encode()))
NESTED = st.lists(HOSTILE | LARGE, min_size=1, max_size=3).map(lambda inner: msgspec.Raw(msgspec.json.encode(inner)))
RAW = PLAIN | LARGE | HOSTILE | NESTED

DATA: st.SearchStrategy[Data] = st.one_of(
    st.builds(RunQueued, agent=TEXT, version=TEXT, input=RAW, config=RAW),
    st.builds(RunCompleted, output=RAW),
    st.builds(
        StepStarted,
        kind=st.sampled_from(("model", "tool")),
        name=TEXT,
        key=HASH,
        lane=TEXT,
        nth=st.integers(0, 5),
        request=RAW,
        base=st.none() | st.integers(1, 9),
        messages=st.lists(RAW, max_size=4).map(tuple),
        tools=RAW,
    ),
    st.builds(StepCompleted, result=RAW, usage=st.builds(Usage, input_tokens=st.integers(0, 99))),
    st.builds(StepFailed, error=st.builds(ErrorInfo, code=TEXT, message=TEXT), is_unknown=st.booleans()),
    st.builds(MessageCompleted, message=RAW, reasoning=st.none() | TEXT),
    st.builds(ProgressReported, message=TEXT, fraction=st.none() | st.floats(0, 1)),
    st.builds(CustomEmitted, name=TEXT, value=RAW),
)
DELTA: st.SearchStrategy[Delta] = st.one_of(
    st.builds(MessageDelta, text=TEXT),
    st.builds(ReasoningDelta, text=TEXT),
    st.builds(ToolArgsDelta, index=st.integers(0, 9), call_id=TEXT, name=TEXT, arguments=TEXT),
)


def _plain(event: Event) -> tuple[Any, ...]:
    """An event with its raw parts as bytes, which can be compared."""
    return (event.run_id, event.seq, event.ts, event.step, msgspec.json.encode(event.data), type(event.data))


@given(DATA, st.none() | st.integers(1, 99))
def test_events_come_back_as_they_were(data: Data, step: int | None) -> None:
    """Packing and unpacking gives the same event, even for values that look like a reference to a blob."""
    event = Event("run_1", 7, NOW, data, step)
    row, blobs = pack(event)
    held = {blob.hash: blob.data for blob in blobs}
    assert all(digest(blob.data).hex() == blob.hash for blob in blobs)
    assert references([row]) >= held.keys()
    assert [_plain(found) for found in unpack(row, held)] == [_plain(event)]


@given(st.lists(DELTA, min_size=1, max_size=5))
def test_deltas_come_back_as_they_were(deltas: list[Delta]) -> None:
    """A row of deltas holds each with its number and time."""
    events = [
        Event("run_1", 10 + 2 * index, NOW + timedelta(seconds=index), delta, 3) for index, delta in enumerate(deltas)
    ]
    row = pack_deltas(events)
    assert (row.seq, row.last_seq, row.step) == (10, 10 + 2 * (len(deltas) - 1), 3)
    assert unpack(row, {}) == events


def test_large_parts_go_aside_once() -> None:
    """A part above the limit is a blob under its hash; the row holds the reference."""
    value = msgspec.Raw(b'"' + b"x" * PART_LIMIT + b'"')
    messages = (value, msgspec.Raw(b'"small"'), value)
    row, blobs = pack(Event("run_1", 1, NOW, StepStarted(kind="model", name="m", key="k", messages=messages), 1))
    assert {blob.hash for blob in blobs} == references([row])
    assert len(references([row])) == 1
    assert len(row.body) < PART_LIMIT


def test_a_missing_blob_is_named() -> None:
    """A row whose blob is gone is damaged, and the error says which."""
    row, blobs = pack(Event("run_1", 1, NOW, CustomEmitted(name="x", value=msgspec.Raw(b'"' + b"x" * 600 + b'"'))))
    with pytest.raises(StorageError, match=blobs[0].hash):
        unpack(row, {})


@pytest.mark.parametrize("type", ["custom.emitted", "deltas"])
def test_a_damaged_body_is_named(type: str) -> None:
    """A body that cannot be read is a storage error with the number of the event."""
    with pytest.raises(StorageError, match="event 7 of run_1 cannot be read"):
        unpack(Stored("run_1", 7, NOW, type, None, b'{"type":', SHAPE), {})


def test_a_newer_shape_is_refused() -> None:
    """A row of a later release is refused with the remedy, not guessed at."""
    with pytest.raises(StorageVersion, match=f"shape {SHAPE + 1}; this release reads up to {SHAPE}"):
        unpack(Stored("run_1", 7, NOW, "custom.emitted", None, b"{}", SHAPE + 1), {})


def test_older_shapes_go_through_their_converters() -> None:
    """Each converter lifts a body by one shape, in order."""

    def renamed(body: dict[str, object]) -> dict[str, object]:
        return {"type": body["type"], "called": body["title"]}

    def again(body: dict[str, object]) -> dict[str, object]:
        return {"type": body["type"], "name": body["called"]}

    chain: dict[int, Converter] = {SHAPE - 2: renamed, SHAPE - 1: again}
    old = Stored("run_1", 7, NOW, "custom.emitted", None, b'{"type":"custom.emitted","title":"x"}', SHAPE - 2)
    assert [event.data for event in unpack(old, {}, converters=chain)] == [CustomEmitted(name="x")]
    newer = Stored("run_1", 7, NOW, "custom.emitted", None, b'{"type":"custom.emitted","called":"y"}', SHAPE - 1)
    assert [event.data for event in unpack(newer, {}, converters=chain)] == [CustomEmitted(name="y")]

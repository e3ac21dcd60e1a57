"""Stored shapes."""

from __future__ import annotations

from collections.abc import Callable
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
    MemoryWritten,
    MessageCompleted,
    MessageDelta,
    ProgressReported,
    ReasoningDelta,
    RunCompleted,
    RunQueued,
    RunStarted,
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
from runwright.journal.phrases import PHRASES
from runwright.journal.shapes import (
    CONVERTERS,
    PART_LIMIT,
    ROW_LIMIT,
    Chosen,
    Converter,
    pack,
    pack_all,
    pack_deltas,
    references,
    referring,
    unpack,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
HASH = st.binary(min_size=16, max_size=16).map(bytes.hex)
HOSTILE = HASH.map(lambda name: b'{"$blob":"' + name.encode() + b'"}')
LARGE = st.integers(PART_LIMIT - 3, PART_LIMIT + 3).map(lambda size: b'"' + b"x" * size + b'"')
QUOTED = st.text('x"\\\n\u00e9', max_size=2 * PART_LIMIT).map(msgspec.json.encode)
PLAIN = (TEXT | st.integers() | st.none()).map(lambda value: str(value).encode().hex().join('""').encode())
BROKEN = st.binary(min_size=1, max_size=4).map(lambda inner: b'"' + inner.replace(b'"', b"").replace(b"\\", b"") + b'"')
LEAF = PLAIN | LARGE | QUOTED | HOSTILE
NESTED = st.lists(LEAF, min_size=1, max_size=4).map(lambda inner: b"[" + b",".join(inner) + b"]")
MESSAGE = LEAF.map(lambda inner: b'{"role":"tool","tool_call_id":"call_1","content":' + inner + b"}")
RAW = (LEAF | NESTED | MESSAGE).map(msgspec.Raw)

DATA: st.SearchStrategy[Data] = st.one_of(
    st.builds(RunQueued, agent=TEXT, version=TEXT, input=RAW, config=RAW),
    st.builds(RunStarted, loop=st.integers(1, 2)),
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
    st.builds(MemoryWritten, owner=TEXT, name=TEXT, action=st.just("set"), value=RAW),
    st.builds(ProgressReported, message=TEXT, fraction=st.none() | st.floats(0, 1)),
    st.builds(CustomEmitted, name=TEXT, value=RAW),
)
DELTA: st.SearchStrategy[Delta] = st.one_of(
    st.builds(MessageDelta, text=TEXT),
    st.builds(ReasoningDelta, text=TEXT),
    st.builds(ToolArgsDelta, index=st.integers(0, 9), call_id=TEXT, name=TEXT, arguments=TEXT),
)
PLACED = st.tuples(DATA, st.integers(1, 5), st.integers(0, 10**7), st.none() | st.integers(1, 99))


def _events(placed: list[tuple[Data, int, int, int | None]]) -> list[Event]:
    """Events of a run, each so many numbers and microseconds after the one before."""
    events: list[Event] = []
    seq, ts = 0, NOW
    for data, gap, later, step in placed:
        seq, ts = seq + gap, ts + timedelta(microseconds=later)
        events.append(Event("run_1", seq, ts, data, step))
    return events


def _plain(event: Event) -> tuple[Any, ...]:
    """An event with its raw parts as bytes, which can be compared."""
    return (event.run_id, event.seq, event.ts, event.step, msgspec.json.encode(event.data), type(event.data))


@given(st.lists(PLACED, min_size=1, max_size=40))
def test_events_come_back_as_they_were(placed: list[tuple[Data, int, int, int | None]]) -> None:
    """Any events, packed and unpacked, are the same to the byte, whatever looks like a reference or a hole in them."""
    events = _events(placed)
    packed = pack_all(events)
    rows = [row for row, _ in packed]
    held = {blob.hash: blob.data for _, blobs in packed for blob in blobs}
    assert all(digest(data).hex() == name for name, data in held.items())
    assert references(rows) == held.keys()
    assert [_plain(event) for row in rows for event in unpack(row, held)] == [_plain(event) for event in events]


@given(st.lists(PLACED, min_size=1, max_size=40))
def test_rows_do_not_overlap(placed: list[tuple[Data, int, int, int | None]]) -> None:
    """A row says where it begins and ends, is no longer than the limit, and shares nothing with a write to memory."""
    after = 0
    for row, blobs in pack_all(_events(placed)):
        held = unpack(row, {blob.hash: blob.data for blob in blobs})
        assert after < row.seq == held[0].seq
        after = held[-1].seq
        assert row.last_seq == (after if len(held) > 1 else 0)
        assert len(held) <= ROW_LIMIT
        assert len(held) == 1 or "memory.written" not in {event.type for event in held}
        assert (row.type == "run.started") == ("run.started" in {event.type for event in held})


@given(st.lists(DELTA, min_size=1, max_size=5))
def test_deltas_come_back_as_they_were(deltas: list[Delta]) -> None:
    """A row of deltas holds each with its number and time."""
    events = [
        Event("run_1", 10 + 2 * index, NOW + timedelta(seconds=index), delta, 3) for index, delta in enumerate(deltas)
    ]
    row = pack_deltas(events)
    assert (row.seq, row.last_seq, row.step) == (10, 10 + 2 * (len(deltas) - 1), 3)
    assert unpack(row, {}) == events
    assert references([row]) == set()


def _one(data: Data) -> Event:
    return Event("run_1", 7, NOW, data, 3)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def test_a_text_is_one_part_wherever_it_stands() -> None:
    """A result and the message that tells it, an answer and the output, an input and its message share a blob."""
    text = 'He said "yes".\n' * 40
    told = (
        StepCompleted(result=_raw(text)),
        StepStarted(
            kind="model", name="m", key="k", messages=(_raw({"role": "tool", "tool_call_id": "c", "content": text}),)
        ),
        MessageCompleted(message=_raw({"role": "assistant", "content": text})),
        RunCompleted(output=_raw(text)),
        RunQueued(agent="a", version="1", input=_raw(text)),
    )
    packed = [pack([_one(data)]) for data in told]
    assert {blob.data for _, blobs in packed for blob in blobs} == {msgspec.json.encode(text)}
    assert all(len(row.body) < 150 for row, _ in packed)


def test_what_has_no_long_text_goes_aside_whole() -> None:
    """A large value of many small pieces is one part, so that equal ones stand once."""
    value = _raw(list(range(1000)))
    row, blobs = pack([_one(CustomEmitted(name="x", value=value))])
    again, _ = pack([_one(RunCompleted(output=value))])
    assert [blob.data for blob in blobs] == [bytes(value)]
    assert references([row]) == references([again]) == {blobs[0].hash}


def test_bytes_that_are_no_text_stay() -> None:
    """A value with the byte that marks a hole is not cut, and not lost."""
    value = msgspec.Raw(b'"' + b"x" * 600 + b'\xff"')
    row, blobs = pack([_one(CustomEmitted(name="x", value=value))])
    assert (blobs, references([row])) == ((), set())
    assert _plain(unpack(row, {})[0]) == _plain(_one(CustomEmitted(name="x", value=value)))


def test_rows_are_small() -> None:
    """What all events have in common takes no room."""
    step = StepCompleted(model="gpt-4o", provider="openai", finish_reason="stop", usage=Usage(input_tokens=9))
    row, _ = pack([_one(step)])
    assert len(row.body) * 4 < len(msgspec.json.encode(step))


def test_blobs_are_told_with_the_events_that_refer_to_them() -> None:
    """Within a row, each blob has the type of the event that names it first."""
    long, other = _raw("x" * 600), _raw("y" * 600)
    told = (
        StepCompleted(result=long),
        MessageCompleted(message=_raw({"role": "assistant", "content": "[0,0,3,{"})),
        CustomEmitted(name="x", value=long),
        RunCompleted(output=other),
    )
    row, blobs = pack([Event("run_1", seq, NOW, data, 3) for seq, data in enumerate(told, start=7)])
    names = {blob.data: blob.hash for blob in blobs}
    assert referring(row) == {names[bytes(long)]: "step.completed", names[bytes(other)]: "run.completed"}
    with pytest.raises(StorageError, match="cannot be read"):
        referring(msgspec.structs.replace(row, body=row.body[:-4]))


@given(
    st.lists(PLACED, min_size=1, max_size=6), st.sets(st.sampled_from(("run.queued", "step.failed", "run.completed")))
)
def test_chosen_events_come_back_as_they_were(placed: list[tuple[Data, int, int, int | None]], types: set[str]) -> None:
    """Events of some types are read with no other blobs than they name, whatever stands in them and beside them."""
    events = _events(placed)
    found: list[Event] = []
    for row, blobs in pack_all(events):
        chosen = Chosen(row, types)
        found += chosen.unpack({blob.hash: blob.data for blob in blobs if blob.hash in chosen.names})
    assert [_plain(event) for event in found] == [_plain(event) for event in events if event.type in types]


LIKE_AN_EVENT = [1, 2, None, {"type": "step.started", "text": "x" * 600}]


@pytest.mark.parametrize("shape", [1, 2])
def test_no_text_decides_what_an_event_is(shape: int) -> None:
    """An input or output that looks like another event is told with its own, and read as it was."""
    told = (RunQueued(agent="a", version="1", input=_raw(LIKE_AN_EVENT)), RunCompleted(output=_raw(LIKE_AN_EVENT)))
    for data in told:
        row, blobs = pack([_one(data)])
        held = {blob.hash: blob.data for blob in blobs}
        if shape == 1:
            field = data.bulky[0]
            aside = msgspec.structs.replace(data, **{field: _set_aside(_raw(LIKE_AN_EVENT), held)})
            row = msgspec.structs.replace(row, body=msgspec.json.encode(aside), shape=1)
        chosen = Chosen(row, {row.type})
        assert referring(row) == dict.fromkeys(chosen.names, row.type)
        assert [_plain(event) for event in chosen.unpack(held)] == [_plain(_one(data))]
        assert Chosen(row, {"step.started"}).unpack({}) == []


def test_a_part_that_another_event_quotes_is_read() -> None:
    """A value is cut out where its bytes stand first, be it within a text of an event that is not asked for."""
    value = list(range(200))
    told = (
        StepFailed(error=ErrorInfo(code="x", message=f"not {msgspec.json.encode(value).decode()} again")),
        RunCompleted(output=_raw(value)),
    )
    row, blobs = pack([Event("run_1", seq, NOW, data, 3) for seq, data in enumerate(told, start=7)])
    chosen = Chosen(row, {"run.completed"})
    (found,) = chosen.unpack({blob.hash: blob.data for blob in blobs if blob.hash in chosen.names})
    assert _plain(found) == _plain(Event("run_1", 8, NOW, told[1], 3))


def test_a_missing_blob_of_a_chosen_event_is_named() -> None:
    """What is asked for and not there is an error, not an empty text; what is not asked for need not be there."""
    row, blobs = pack([_one(RunCompleted(output=_raw("x" * 600)))])
    assert Chosen(row, {"run.queued"}).unpack({}) == []
    with pytest.raises(StorageError, match=f"blob '{blobs[0].hash}' is missing"):
        Chosen(row, {"run.completed"}).unpack({})


def test_a_missing_blob_is_named() -> None:
    """A row whose blob is gone is damaged, and the error says which."""
    row, blobs = pack([_one(CustomEmitted(name="x", value=msgspec.Raw(b'"' + b"x" * 600 + b'"')))])
    with pytest.raises(StorageError, match=blobs[0].hash):
        unpack(row, {})


def _read_all(row: Stored, held: dict[str, bytes]) -> None:
    """Read a damaged row in each way there is."""
    references([row])
    reads: tuple[Callable[[], object], ...] = (
        lambda: unpack(row, held),
        lambda: Chosen(row, {"run.completed"}).unpack(held),
        lambda: referring(row),
    )
    for read in reads:
        try:
            read()
        except StorageError as error:
            assert "may be damaged" in error.message


@given(st.lists(PLACED, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_damage_is_an_error_or_nothing(placed: list[tuple[Data, int, int, int | None]], chance: Any) -> None:
    """A row with a changed, missing or added byte is read as events, or is a storage error, and nothing else."""
    row, blobs = pack(_events(placed))
    held = {blob.hash: blob.data for blob in blobs}
    at = chance.randrange(len(row.body))
    bad = (row.body[:at] + bytes([chance.randrange(256)]) + row.body[at + 1 :], row.body[:at], row.body + b"x")
    for body in bad:
        _read_all(msgspec.structs.replace(row, body=body), held)


@pytest.mark.parametrize("type", ["custom.emitted", "deltas"])
@pytest.mark.parametrize("body", [b"", b"\x00", b'{"type":', b"\x00\x00" + bytes(9), b"\xff\xff\x00"])
def test_a_damaged_body_is_named(type: str, body: bytes) -> None:
    """A body that cannot be read is a storage error with the number of the event."""
    with pytest.raises(StorageError, match="event 7 of run_1 cannot be read"):
        unpack(Stored("run_1", 7, NOW, type, None, body, SHAPE), {})


def test_times_out_of_range_are_damage() -> None:
    """A row whose times no calendar has is a storage error."""
    body = b"\x00\x00" + PHRASES.pack(b'[[0,999999999999999999,null,{"type":"progress.reported"}]]')
    with pytest.raises(StorageError, match="event 7 of run_1 cannot be read"):
        unpack(Stored("run_1", 7, NOW, "progress.reported", None, body, SHAPE), {})


def test_the_dictionary_belongs_to_the_shape() -> None:
    """Rows can be read with the dictionary they were written with only: who changes it makes a new shape."""
    body = bytes.fromhex("0000c3280a31d2268eb485230559622421036aa72103a2d2506d6c2c00")
    stored = Stored("run_1", 7, NOW, "step.completed", 3, body, 2)
    assert unpack(stored, {}) == [_one(StepCompleted(finish_reason="stop", usage=Usage(input_tokens=9)))]


def test_a_newer_shape_is_refused() -> None:
    """A row of a later release is refused with the remedy, not guessed at."""
    with pytest.raises(StorageVersion, match=f"shape {SHAPE + 1}; this release reads up to {SHAPE}"):
        unpack(Stored("run_1", 7, NOW, "custom.emitted", None, b"{}", SHAPE + 1), {})


def _set_aside(value: msgspec.Raw, held: dict[str, bytes]) -> msgspec.Raw:
    """A value as shape 1 had it: large ones were blobs, and so was what looked like a reference."""
    data = bytes(value)
    if len(data) <= 512 and not (len(data) == 44 and data.startswith(b'{"$blob":"')):
        return value
    name = digest(data).hex()
    held[name] = data
    return msgspec.Raw(b'{"$blob":"' + name.encode() + b'"}')


@given(DATA, st.none() | st.integers(1, 99))
def test_rows_of_shape_1_are_read(data: Data, step: int | None) -> None:
    """What the first release wrote comes back to the byte, with the blobs it refers to."""
    held: dict[str, bytes] = {}
    changed: dict[str, object] = {}
    for field in data.bulky:
        value: msgspec.Raw | tuple[msgspec.Raw, ...] = getattr(data, field)
        is_one = isinstance(value, msgspec.Raw)
        changed[field] = _set_aside(value, held) if is_one else tuple(_set_aside(part, held) for part in value)
    body = msgspec.json.encode(msgspec.structs.replace(data, **changed))
    event = Event("run_1", 7, NOW, data, step)
    row = Stored("run_1", 7, NOW, event.type, step, body, 1)
    assert references([row]) >= held.keys()
    assert [_plain(found) for found in unpack(row, held)] == [_plain(event)]


def test_deltas_of_shape_1_are_read() -> None:
    """A row of deltas is the same in both shapes."""
    row = msgspec.structs.replace(pack_deltas([_one(MessageDelta(text='{"$blob":"'))]), shape=1)
    assert unpack(row, {}) == [_one(MessageDelta(text='{"$blob":"'))]


def test_older_shapes_go_through_their_converters() -> None:
    """Each converter lifts a row by one shape, in order."""

    def again(row: Stored, blobs: object) -> Stored:
        return msgspec.structs.replace(row, body=row.body.replace(b"title", b"name"), shape=1)

    chain: dict[int, Converter] = {0: again, **CONVERTERS}
    old = Stored("run_1", 7, NOW, "custom.emitted", 3, b'{"type":"custom.emitted","title":"x"}', 0)
    assert unpack(old, {}, converters=chain) == [_one(CustomEmitted(name="x"))]

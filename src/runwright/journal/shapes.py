"""Stored shapes: rows of events, compressed, with their large parts set aside, and the converters from older shapes.

A row holds events that were appended together. Its body of shape 2 is a count of two bytes, so many hashes of blobs,
and JSON as `phrases.py` packs it: [number, microseconds, step, data] of each event, the first two counted from those of
the row. Where a part was cut out stands a byte that no JSON has.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Container, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final, cast

import msgspec
from msgspec.structs import replace

from runwright.core.event import SHAPE, Data, Delta, Event, MemoryWritten, RunStarted
from runwright.core.message import DIGEST_SIZE, digest
from runwright.core.ports import DELTA_ROW, Blob, Stored
from runwright.errors import StorageError, StorageVersion
from runwright.journal.phrases import PHRASES

PART_LIMIT = 256
"""Bytes above which a part of a bulky value is stored once, as a blob, and referred to."""

ROW_LIMIT = 16
"""Events in a row at the most."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_ESCAPED_QUOTE: Final = b'\\"'
_MICROSECOND: Final = timedelta(microseconds=1)
_HOLE: Final = b"\xff"
_NOTHING: Final = b'""'
"""What may stand in place of a part: it is a value, or a name in one."""
_COUNT: Final = 2
_MOST: Final = 256**_COUNT - 1

_encoder = msgspec.json.Encoder()
_Told = tuple[int, int, int | None, Data]
_decode: Callable[[bytes], list[_Told]] = msgspec.json.Decoder(list[_Told]).decode
_decode_one: Callable[[msgspec.Raw], _Told] = msgspec.json.Decoder(_Told).decode
_split: Callable[[bytes], list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode
_delta_decoder: msgspec.json.Decoder[list[tuple[int, datetime, Delta]]] = msgspec.json.Decoder(
    list[tuple[int, datetime, Delta]]
)


class _Tagged(msgspec.Struct):
    type: str


_decode_kind: Callable[[msgspec.Raw], tuple[int, int, int | None, _Tagged]] = msgspec.json.Decoder(
    tuple[int, int, int | None, _Tagged]
).decode

Converter = Callable[[Stored, Mapping[str, bytes]], Stored]


def pack_all(events: Sequence[Event]) -> list[tuple[Stored, tuple[Blob, ...]]]:
    """Events of a run that were appended together, as few rows.

    Memory is seen by the positions of rows, so one that writes to it holds nothing else.
    """
    rows: list[list[Event]] = []
    last = None
    for event in events:
        kind = type(event.data)
        if last is None or MemoryWritten in (kind, last) or len(rows[-1]) == ROW_LIMIT:
            rows.append([])
        rows[-1].append(event)
        last = kind
    return [pack(row) for row in rows]


def pack(events: Sequence[Event]) -> tuple[Stored, tuple[Blob, ...]]:
    """The row of some events with rising numbers, and the blobs its body refers to."""
    first, last = events[0], events[-1]
    text = _encoder.encode([(e.seq - first.seq, (e.ts - first.ts) // _MICROSECOND, e.step, e.data) for e in events])
    blobs: tuple[Blob, ...] = ()
    if len(text) > PART_LIMIT and _HOLE not in text:
        parts = [part for event in events for part in _large_parts(event.data)][:_MOST]
        blobs = tuple(Blob(digest(part).hex(), part) for part in parts)
        text = _cut(text, parts)
    body = _framed(text, [blob.hash for blob in blobs])
    # The position at which a run started is looked up by this type.
    told = next((event for event in events if type(event.data) is RunStarted), first)
    last_seq = last.seq if len(events) > 1 else 0
    return Stored(first.run_id, first.seq, first.ts, told.type, first.step, body, SHAPE, last_seq=last_seq), blobs


def pack_deltas(deltas: Sequence[Event]) -> Stored:
    """One row for a batch of deltas of a step. It soon goes, so it is plain JSON."""
    first = deltas[0]
    body = _encoder.encode([(event.seq, event.ts, event.data) for event in deltas])
    return Stored(first.run_id, first.seq, first.ts, DELTA_ROW, first.step, body, SHAPE, last_seq=deltas[-1].seq)


def unpack(
    row: Stored, blobs: Mapping[str, bytes], *, converters: Mapping[int, Converter] | None = None
) -> list[Event]:
    """The events of a row. Raises StorageError when a body cannot be read, StorageVersion when it is newer."""
    with _reading(row):
        row = _converted(row, blobs, CONVERTERS if converters is None else converters)
        if row.type == DELTA_ROW:
            deltas = _delta_decoder.decode(row.body)
            return [Event(row.run_id, seq, ts, data, row.step, row.position) for seq, ts, data in deltas]
        return [_event(row, told) for told in _decode(_text(row.body, blobs))]


def _event(row: Stored, told: _Told) -> Event:
    after, later, step, data = told
    return Event(row.run_id, row.seq + after, row.ts + later * _MICROSECOND, data, step, row.position)


@contextmanager
def _reading(row: Stored) -> Generator[None]:
    try:
        yield
    # What msgspec raises is a ValueError; a time may be out of range.
    except (ValueError, OverflowError) as error:
        raise StorageError(
            f"event {row.seq} of {row.run_id} cannot be read ({error}); the database may be damaged"
        ) from error


def references(rows: Iterable[Stored]) -> set[str]:
    """The hashes of all blobs that these rows refer to."""
    found: set[str] = set()
    for row in rows:
        if row.shape == 1:
            found.update(name.decode() for name in _REFERENCE.findall(row.body))
        elif row.type != DELTA_ROW:
            found.update(_names(row.body))
    return found


class Chosen:
    """The events of some types in a row; `names` are the blobs that they stand in. Raises StorageError."""

    def __init__(self, row: Stored, types: Container[str]) -> None:
        self._row = row
        self._types = types
        told = _references(row)
        self.names = {name for name, kind in told if kind is None or kind in types}
        self._spared = {name: _NOTHING for name, _ in told if name not in self.names}

    def unpack(self, blobs: Mapping[str, bytes]) -> list[Event]:
        """These events, for which no other blobs need be given. Raises as `unpack` does."""
        if self._row.type == DELTA_ROW:
            return [event for event in unpack(self._row, blobs) if event.type in self._types]
        given = {**self._spared, **blobs}
        with _reading(self._row):
            row = _converted(self._row, given, CONVERTERS)
            events = _split(_text(row.body, given))
            return [_event(row, _decode_one(event)) for event in events if _kind(event) in self._types]


def referring(row: Stored) -> Mapping[str, str]:
    """The blobs that a row refers to, each with the type of the event that first does. Raises StorageError."""
    return {name: kind or row.type for name, kind in reversed(_references(row))}


def _references(row: Stored) -> list[tuple[str, str | None]]:
    """The blobs that a row refers to, in order, each with the type of the event that does, where that can be told."""
    if row.shape == 1 or row.type == DELTA_ROW:
        return [(name, row.type) for name in references([row])]
    names = _names(row.body)
    if not names:
        return []
    with _reading(row):
        pieces = _pieces(row.body, names)
        text = _NOTHING.join(pieces)
        try:
            events = _split(text)
        except msgspec.DecodeError:
            # A part was cut out where its bytes stood before, within a text: all of the row is needed.
            return [(name, None) for name in names]
        # Events are told apart by where they end, never by what stands in them: that may look like anything.
        ends = list(accumulate(len(memoryview(event)) + 1 for event in events))
        if ends[-1] + 1 != len(text):
            raise ValueError("there is something around its events")
        holes = accumulate(len(piece) + len(_NOTHING) for piece in pieces[:-1])
        kinds = [_kind(event) for event in events]
        return [(name, kinds[bisect_left(ends, hole)]) for name, hole in zip(names, holes, strict=True)]


def _kind(event: msgspec.Raw) -> str:
    """The type of an event in JSON. Raises ValueError."""
    return _decode_kind(event)[3].type


def size_of(events: Sequence[Event]) -> int:
    """About how many bytes these events hold, for back-pressure."""
    total = 64 * len(events)
    for event in events:
        data = event.data
        for field in data.bulky:
            value: msgspec.Raw | tuple[msgspec.Raw, ...] = getattr(data, field)
            if type(value) is tuple:
                total += sum(len(memoryview(part)) for part in value)
            else:
                total += len(memoryview(cast("msgspec.Raw", value)))
    return total


def _large_parts(data: Data) -> list[bytes]:
    """What of an event stands aside, in the order in which it is encoded."""
    parts: list[bytes] = []
    for field in data.bulky:
        value: msgspec.Raw | tuple[msgspec.Raw, ...] = getattr(data, field)
        for raw in value if isinstance(value, tuple) else (value,):
            if len(memoryview(raw)) > PART_LIMIT:
                parts += _parts(bytes(raw))
    return parts


def _parts(value: bytes) -> list[bytes]:
    """The long strings of a value, if little stands around them, or the whole of it.

    So a tool's result is the same part as the content of the message that tells it, and an answer that of an output.
    """
    if _ESCAPED_QUOTE in value:
        strings = [text for text in _STRING.findall(value) if len(text) > PART_LIMIT]
    else:
        # The same in a tenth of the time: every second piece between quotes is a string.
        strings = [b'"%b"' % text for text in value.split(b'"')[1::2] if len(text) > PART_LIMIT - 2]
    return strings if len(value) - sum(map(len, strings)) <= PART_LIMIT else [value]


def _cut(text: bytes, parts: Sequence[bytes]) -> bytes:
    """The text with a hole in place of each part. A part may be found before its own place: its bytes are the same."""
    pieces: list[bytes] = []
    start = 0
    for part in parts:
        at = text.index(part, start)
        pieces.append(text[start:at])
        start = at + len(part)
    pieces.append(text[start:])
    return _HOLE.join(pieces)


def _framed(text: bytes, names: Sequence[str]) -> bytes:
    return len(names).to_bytes(_COUNT, "big") + bytes.fromhex("".join(names)) + PHRASES.pack(text)


def _names(body: bytes) -> list[str]:
    return [body[at : at + DIGEST_SIZE].hex() for at in range(_COUNT, _end_of_names(body), DIGEST_SIZE)]


def _pieces(body: bytes, names: Sequence[str]) -> list[bytes]:
    """The JSON of a body around its holes. Raises ValueError."""
    text = PHRASES.unpack(body[_end_of_names(body) :])
    # Without names it may hold bytes that are no text.
    pieces = text.split(_HOLE) if names else [text]
    if len(pieces) != len(names) + 1:
        raise ValueError(f"it has {len(pieces) - 1} holes for {len(names)} parts")
    return pieces


def _end_of_names(body: bytes) -> int:
    return _COUNT + int.from_bytes(body[:_COUNT], "big") * DIGEST_SIZE


def _text(body: bytes, blobs: Mapping[str, bytes]) -> bytes:
    """The JSON of an event, its parts in their places. Raises ValueError, and StorageError for a missing blob."""
    names = _names(body)
    pieces = _pieces(body, names)
    filled = [pieces[0]]
    for name, piece in zip(names, pieces[1:], strict=True):
        filled += (_blob(name, blobs), piece)
    return b"".join(filled)


def _blob(name: str, blobs: Mapping[str, bytes]) -> bytes:
    if name not in blobs:
        raise StorageError(f"blob {name!r} is missing; the database may be damaged")
    return blobs[name]


def _converted(row: Stored, blobs: Mapping[str, bytes], converters: Mapping[int, Converter]) -> Stored:
    if row.shape > SHAPE:
        raise StorageVersion(f"event {row.seq} of {row.run_id} has shape {row.shape}; this release reads up to {SHAPE}")
    for number in range(row.shape, SHAPE):
        row = converters[number](row, blobs)
    return row


_REFERENCE = re.compile(rb'\{"\$blob":"([0-9a-f]{32})"\}')
_LISTED: Final = "messages"


def _from_1(row: Stored, blobs: Mapping[str, bytes]) -> Stored:
    """Shape 1 was JSON, in which `{"$blob":HASH}` stood in place of a large value, or of one that looked like it."""
    if row.type == DELTA_ROW:
        return row
    fields = msgspec.json.decode(row.body, type=dict[str, msgspec.Raw])
    if _LISTED in fields:
        listed = msgspec.json.decode(fields[_LISTED], type=list[msgspec.Raw])
        fields[_LISTED] = msgspec.Raw(_encoder.encode([_filled(value, blobs) for value in listed]))
    whole = {name: _filled(value, blobs) for name, value in fields.items()}
    return replace(row, body=_framed(_encoder.encode([(0, 0, row.step, whole)]), ()), shape=2)


def _filled(value: msgspec.Raw, blobs: Mapping[str, bytes]) -> msgspec.Raw:
    reference = _REFERENCE.fullmatch(bytes(value))
    return msgspec.Raw(_blob(reference[1].decode(), blobs)) if reference else value


CONVERTERS: Mapping[int, Converter] = {1: _from_1}
"""Rows of the shape with that number as rows of the next one; a change of shape adds one entry."""

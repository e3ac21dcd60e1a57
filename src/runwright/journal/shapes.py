"""Stored shapes: event bodies with their large parts set aside, and the converters from older shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import cast

import msgspec

from runwright.core.event import SHAPE, Data, Delta, Event
from runwright.core.message import digest
from runwright.core.ports import DELTA_ROW, Blob, Stored
from runwright.errors import StorageError, StorageVersion

PART_LIMIT = 512
"""Bytes above which a bulky value is stored once, as a blob, and referred to."""

_REF_START = b'{"$blob":"'
_REF_END = b'"}'
_REF_LENGTH = len(_REF_START) + 32 + len(_REF_END)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Data] = msgspec.json.Decoder(Data)
_delta_decoder: msgspec.json.Decoder[list[tuple[int, datetime, Delta]]] = msgspec.json.Decoder(
    list[tuple[int, datetime, Delta]]
)

Converter = Callable[[dict[str, object]], dict[str, object]]
CONVERTERS: Mapping[int, Converter] = {}
"""From the shape with that number to the next one; a change of shape adds one entry."""


def pack(event: Event) -> tuple[Stored, tuple[Blob, ...]]:
    """The row of an event, and the blobs its body refers to."""
    data = event.data
    blobs: list[Blob] = []
    changed: dict[str, object] = {}
    for field in data.bulky:
        value: msgspec.Raw | tuple[msgspec.Raw, ...] = getattr(data, field)
        if isinstance(value, tuple):
            if any(_is_bulky(part) for part in value):
                changed[field] = tuple(_set_aside(part, blobs) for part in value)
        elif _is_bulky(value):
            changed[field] = _set_aside(value, blobs)
    body = _encoder.encode(msgspec.structs.replace(data, **changed) if changed else data)
    return Stored(event.run_id, event.seq, event.ts, event.type, event.step, body, SHAPE), tuple(blobs)


def pack_deltas(deltas: Sequence[Event]) -> Stored:
    """One row for a batch of deltas of a step."""
    first = deltas[0]
    body = _encoder.encode([(event.seq, event.ts, event.data) for event in deltas])
    return Stored(first.run_id, first.seq, first.ts, DELTA_ROW, first.step, body, SHAPE, last_seq=deltas[-1].seq)


def unpack(row: Stored, blobs: Mapping[str, bytes], *, converters: Mapping[int, Converter] = CONVERTERS) -> list[Event]:
    """The events of a row. Raises StorageError when a body cannot be read, StorageVersion when it is newer."""
    body = _converted(row, converters)
    try:
        if row.type == DELTA_ROW:
            deltas = _delta_decoder.decode(body)
            return [Event(row.run_id, seq, ts, data, row.step, row.position) for seq, ts, data in deltas]
        data = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise StorageError(
            f"event {row.seq} of {row.run_id} cannot be read ({error}); the database may be damaged"
        ) from error
    return [Event(row.run_id, row.seq, row.ts, _filled(data, blobs), row.step, row.position)]


def references(rows: Iterable[Stored]) -> set[str]:
    """The hashes of all blobs that these rows refer to."""
    found: set[str] = set()
    for row in rows:
        start = row.body.find(_REF_START)
        while start >= 0:
            found.add(row.body[start + len(_REF_START) : start + len(_REF_START) + 32].decode("ascii", "replace"))
            start = row.body.find(_REF_START, start + 1)
    return found


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


def _is_bulky(value: msgspec.Raw) -> bool:
    """Large values go aside, and so does a value that only looks like a reference."""
    view = memoryview(value)
    return len(view) > PART_LIMIT or (len(view) == _REF_LENGTH and bytes(view[: len(_REF_START)]) == _REF_START)


def _set_aside(value: msgspec.Raw, blobs: list[Blob]) -> msgspec.Raw:
    if not _is_bulky(value):
        return value
    data = bytes(value)
    name = digest(data).hex()
    blobs.append(Blob(name, data))
    return msgspec.Raw(_REF_START + name.encode() + _REF_END)


def _filled(data: Data, blobs: Mapping[str, bytes]) -> Data:
    changed: dict[str, object] = {}
    for field in data.bulky:
        value: msgspec.Raw | tuple[msgspec.Raw, ...] = getattr(data, field)
        if isinstance(value, tuple):
            if any(_referred(part) for part in value):
                changed[field] = tuple(_fetched(part, blobs) for part in value)
        elif _referred(value):
            changed[field] = _fetched(value, blobs)
    return msgspec.structs.replace(data, **changed) if changed else data


def _referred(value: msgspec.Raw) -> str | None:
    view = memoryview(value)
    if len(view) != _REF_LENGTH or bytes(view[: len(_REF_START)]) != _REF_START:
        return None
    return bytes(view[len(_REF_START) : -len(_REF_END)]).decode("ascii")


def _fetched(value: msgspec.Raw, blobs: Mapping[str, bytes]) -> msgspec.Raw:
    name = _referred(value)
    if name is None:
        return value
    if name not in blobs:
        raise StorageError(f"blob {name!r} is missing; the database may be damaged")
    return msgspec.Raw(blobs[name])


def _converted(row: Stored, converters: Mapping[int, Converter]) -> bytes:
    if row.shape == SHAPE:
        return row.body
    if row.shape > SHAPE:
        raise StorageVersion(f"event {row.seq} of {row.run_id} has shape {row.shape}; this release reads up to {SHAPE}")
    body = cast("dict[str, object]", msgspec.json.decode(row.body))
    for number in range(row.shape, SHAPE):
        body = converters[number](body)
    return _encoder.encode(body)

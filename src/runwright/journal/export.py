"""A recorded run as one file: complete in itself, compressed, with a version and a hash.

The file is gzip. Inside, the first line is a header in JSON, and the rest is the body that its hash is about.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final, cast

import msgspec
from msgspec.structs import replace

from runwright.core.event import Data, Event, StepStarted
from runwright.core.message import digest
from runwright.core.ports import Batch, RunRow
from runwright.core.run import Run
from runwright.core.step import Step
from runwright.errors import InvalidRequest, StorageVersion
from runwright.journal.project import STEP_EVENTS, StepEvent, project_step
from runwright.journal.shapes import pack_all

FORMAT: Final = "runwright-run"
VERSION: Final = 1
"""The number of this layout; files of older ones stay readable."""

LARGEST: Final = 512 << 20
"""Bytes that a file may unpack to."""

LEVEL: Final = 6
GZIP: Final = 31
"""What zlib calls a gzip stream with the largest window."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a file. `hash` is BLAKE2b-128 of the rest, in hex."""

    format: str
    version: int
    hash: str
    runwright: str


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event in a file."""

    seq: int
    ts: datetime
    data: Data
    step: int | None = None


class RecordedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run with all its events."""

    run: Run
    events: tuple[Told, ...]


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds: the run, and the run whose conversation it went on from, if there is one.

    `redacted` names the rules by which personal data was taken out.
    """

    runs: tuple[RecordedRun, ...]
    redacted: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(Bundle)


def recorded(run: Run, events: Sequence[Event]) -> RecordedRun:
    """A run for a file, free of what ties it to a place: its thread, its parents, its owners."""
    last = events[-1].seq
    told = tuple(Told(seq=event.seq, ts=event.ts, data=event.data, step=event.step) for event in events)
    free = replace(run, thread_id=None, parent_run_id=None, root_run_id=run.id, owner=None, epoch=1, adoptions=0)
    return RecordedRun(run=replace(free, seq_limit=last, last_seq=last), events=told)


def write_bundle(bundle: Bundle, *, release: str) -> bytes:
    """The file. Equal bundles give equal bytes."""
    body = msgspec.json.encode(bundle)
    header = Header(format=FORMAT, version=VERSION, hash=digest(body).hex(), runwright=release)
    packer = zlib.compressobj(LEVEL, wbits=GZIP)
    return packer.compress(msgspec.json.encode(header) + b"\n" + body) + packer.flush()


def read_bundle(raw: bytes) -> Bundle:
    """What a file holds. Raises InvalidRequest that says what is wrong with it, StorageVersion when it is newer."""
    line, _, body = _unpacked(raw).partition(b"\n")
    try:
        header = msgspec.json.decode(line, type=Header)
    except msgspec.DecodeError:
        raise InvalidRequest(
            "This is no recorded run: it does not begin as `runwright runs export` writes it."
        ) from None
    if header.format != FORMAT:
        raise InvalidRequest(f"This is no recorded run but {header.format!r}.")
    if header.version > VERSION:
        raise StorageVersion(
            f"The file has format {header.version}, this release reads up to {VERSION}; it was written by Runwright "
            f"{header.runwright}: upgrade."
        )
    if digest(body).hex() != header.hash:
        raise InvalidRequest("The file was changed after it was written, or is damaged: its hash does not fit.")
    try:
        bundle = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise InvalidRequest(f"The file holds what no run records: {error}.") from error
    if not bundle.runs or not all(each.events for each in bundle.runs):
        raise InvalidRequest("The file holds no run.")
    return bundle


def _unpacked(raw: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=GZIP)
    try:
        data = unpacker.decompress(raw, LARGEST)
    except zlib.error:
        raise InvalidRequest("This is no recorded run: it is not compressed as one, or is damaged.") from None
    if unpacker.unconsumed_tail:
        raise InvalidRequest(f"The file unpacks to more than {LARGEST >> 20} MB.")
    if not unpacker.eof:
        raise InvalidRequest("The file is cut off: its end is missing.")
    return data


def events_of(recording: RecordedRun) -> list[Event]:
    """The events as they were."""
    run_id = recording.run.id
    return [Event(run_id, told.seq, told.ts, told.data, told.step) for told in recording.events]


def batch_of(recording: RecordedRun) -> Batch:
    """The rows of a run from a file. Raises InvalidRequest when its events do not follow from each other."""
    steps: dict[int, Step] = {}
    events = events_of(recording)
    if any(after.seq <= before.seq for before, after in pairwise(events)):
        raise InvalidRequest("The file's events do not follow from each other: their numbers do not rise.")
    for event in events:
        if type(event.data) in STEP_EVENTS and event.step is not None:
            try:
                step = project_step(steps.get(event.step), event, _step_event(event))
            except ValueError as error:
                raise InvalidRequest(f"The file's events do not follow from each other: {error}.") from error
            steps[step.seq] = step
    packed = pack_all(events)
    return Batch(
        run=RunRow(recording.run, is_first=True),
        steps=tuple(steps.values()),
        events=tuple(row for row, _ in packed),
        blobs=tuple(blob for _, blobs in packed for blob in blobs),
    )


def _step_event(event: Event) -> StepEvent:
    data = event.data
    if isinstance(data, StepStarted) and event.step != event.seq:
        raise ValueError(f"step.started {event.seq} names step {event.step}")
    return cast("StepEvent", data)

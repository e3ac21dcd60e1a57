"""Structs to tuples and back, in the order of the columns in `schema.py`."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import Table

from runwright.core.budget import Spend
from runwright.core.money import UNPRICED, Cost
from runwright.core.ports import DELTA_ROW, Stored
from runwright.core.run import ErrorInfo, Run
from runwright.core.step import Step
from runwright.core.thread import Thread
from runwright.core.usage import NO_USAGE, Usage
from runwright.errors import StorageError
from runwright.store import schema
from runwright.store.words import WORDS

Values: TypeAlias = tuple[object, ...]
# A driver's row: its values are what the columns say, which no type checker sees.
Row: TypeAlias = Sequence[Any]

RAW: Final = 0
ZLIB: Final = 1
DICTIONARY: Final = 2
"""Codecs of blobs: as they are, zlib's own, and deflate with the dictionary of `words.py`."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400_000_000
_SMALL = 16 << 10
"""Blobs up to this many bytes are compressed with the dictionary."""

_encode = msgspec.json.Encoder().encode
_error = msgspec.json.Decoder(ErrorInfo).decode
_tags = msgspec.json.Decoder(tuple[str, ...]).decode
_labels = msgspec.json.Decoder(dict[str, str]).decode
_NO_USAGE: Values = (0, 0, 0, 0, 0, 0, 0, False)


def names(table: Table) -> tuple[str, ...]:
    """The column names of a table in order."""
    return tuple(column.name for column in table.columns)


_RUN = names(schema.runs)
_CHANGES_FROM = _RUN.index("version")
RUN_CHANGES = _RUN[_CHANGES_FROM:]
STEP_COLUMNS = names(schema.steps)
STEP_CHANGES = STEP_COLUMNS[STEP_COLUMNS.index("status") :]
EVENT_COLUMNS = names(schema.events)[1:]


def micros(moment: datetime) -> int:
    """Microseconds since 1970. Raises TypeError for a naive time."""
    delta = moment - _EPOCH
    return delta.days * _DAY + delta.seconds * 1_000_000 + delta.microseconds


def moment(value: int) -> datetime:
    """An aware time in UTC."""
    return _EPOCH + timedelta(microseconds=value)


def labels_bytes(labels: dict[str, str]) -> bytes | None:
    """Metadata as JSON text, None when there is none."""
    return _encode(labels) if labels else None


def labels(value: bytes | None) -> dict[str, str]:
    """Metadata from JSON text."""
    return _labels(value) if value else {}


def _usage_values(usage: Usage) -> Values:
    if usage is NO_USAGE:
        return _NO_USAGE
    return (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.requests,
        usage.tool_calls,
        usage.is_estimated,
    )


def _usage(row: Row) -> Usage:
    return Usage(
        input_tokens=row[0],
        output_tokens=row[1],
        cached_input_tokens=row[2],
        cache_write_tokens=row[3],
        reasoning_tokens=row[4],
        requests=row[5],
        tool_calls=row[6],
        is_estimated=bool(row[7]),
    )


def run_values(run: Run) -> Values:
    """All columns of a run."""
    return (
        run.id,
        run.agent,
        run.mode,
        micros(run.created_at),
        run.epoch,
        run.thread_id,
        run.parent_run_id,
        run.root_run_id,
        run.group,
        run.user,
        _encode(run.tags) if run.tags else None,
        labels_bytes(run.metadata),
        run.replay_of,
        run.is_ephemeral,
        run.multitask,
        *run_changes(run),
    )


def run_changes(run: Run) -> Values:
    """The columns of a run that change while it lives."""
    cost, started, ended = run.cost, run.started_at, run.ended_at
    return (
        run.version,
        run.fingerprint,
        run.status,
        run.reason,
        run.owner,
        run.seq_limit,
        run.last_seq,
        run.adoptions,
        None if run.error is None else _encode(run.error),
        *_usage_values(run.usage),
        cost.nano_usd,
        cost.source,
        None if started is None else micros(started),
        None if ended is None else micros(ended),
        _encode(run.tainted) if run.tainted else None,
    )


def run_of(row: Row) -> Run:
    """A run from all its columns."""
    return Run(
        id=row[0],
        agent=row[1],
        mode=row[2],
        created_at=moment(row[3]),
        epoch=row[4],
        thread_id=row[5],
        parent_run_id=row[6],
        root_run_id=row[7],
        group=row[8],
        user=row[9],
        tags=_tags(row[10]) if row[10] else (),
        metadata=labels(row[11]),
        replay_of=row[12],
        is_ephemeral=bool(row[13]),
        multitask=row[14],
        version=row[15],
        fingerprint=row[16],
        status=row[17],
        reason=row[18],
        owner=row[19],
        seq_limit=row[20],
        last_seq=row[21],
        adoptions=row[22],
        error=_error(row[23]) if row[23] else None,
        usage=_usage(row[24:32]),
        cost=Cost(nano_usd=row[32], source=row[33]),
        started_at=None if row[34] is None else moment(row[34]),
        ended_at=None if row[35] is None else moment(row[35]),
        tainted=_tags(row[36]) if row[36] else (),
    )


def thread_values(thread: Thread) -> Values:
    """All columns of a thread in which no run has its turn."""
    return (
        thread.id,
        micros(thread.created_at),
        thread.title,
        thread.user,
        labels_bytes(thread.metadata),
        thread.head,
        None,
    )


def thread_of(row: Row) -> Thread:
    """A thread from all its columns."""
    return Thread(
        id=row[0],
        created_at=moment(row[1]),
        title=row[2],
        user=row[3],
        metadata=labels(row[4]),
        head=row[5],
    )


def step_values(step: Step) -> Values:
    """All columns of a step."""
    ended, reserves = step.ended_at, step.reserves
    return (
        step.run_id,
        step.seq,
        step.lane,
        step.kind,
        step.name,
        step.key,
        step.nth,
        step.effect,
        micros(step.started_at),
        step.status,
        step.attempt,
        step.end_seq,
        None if ended is None else micros(ended),
        None if step.error is None else _encode(step.error),
        *_usage_values(step.usage),
        step.cost.nano_usd,
        step.cost.source,
        step.taped,
        *((None, None) if reserves is None else (reserves.tokens, reserves.nano_usd)),
        _encode(step.decided) if step.decided else None,
    )


def step_of(row: Row) -> Step:
    """A step from all its columns."""
    return Step(
        run_id=row[0],
        seq=row[1],
        lane=row[2],
        kind=row[3],
        name=row[4],
        key=row[5],
        nth=row[6],
        effect=row[7],
        started_at=moment(row[8]),
        status=row[9],
        attempt=row[10],
        end_seq=row[11],
        ended_at=None if row[12] is None else moment(row[12]),
        error=_error(row[13]) if row[13] else None,
        usage=_usage(row[14:22]),
        cost=UNPRICED if row[23] is None else Cost(nano_usd=row[22], source=row[23]),
        taped=row[24],
        reserves=None if row[25] is None else Spend(row[25], row[26]),
        decided=_tags(row[27]) if row[27] else (),
    )


def event_values(event: Stored, blob: bytes | None) -> Values:
    """The columns of an event without its position; with a blob's hash the body stands there."""
    last = event.last_seq or (event.seq if event.type == DELTA_ROW else None)
    return (
        event.run_id,
        event.seq,
        last,
        micros(event.ts),
        event.type,
        event.step,
        event.shape,
        event.body if blob is None else None,
        blob,
    )


def event_of(row: Row, body: bytes) -> Stored:
    """An event from all its columns and its body."""
    return Stored(
        run_id=row[1],
        seq=row[2],
        ts=moment(row[4]),
        type=row[5],
        step=row[6],
        body=body,
        shape=row[7],
        position=row[0],
        last_seq=row[3] or 0,
    )


def blob_values(key: bytes, data: bytes, seen: int | None = None) -> Values:
    """The columns of a blob, compressed where that saves a tenth."""
    is_small = len(data) <= _SMALL
    packed = WORDS.pack(data) if is_small else zlib.compress(data, 1)
    if len(packed) < len(data) * 0.9:
        return (key, DICTIONARY if is_small else ZLIB, packed, seen)
    return (key, RAW, data, seen)


def blob_of(codec: int, data: bytes) -> bytes:
    """The bytes of a blob. Raises StorageError where they cannot be read."""
    try:
        if codec == DICTIONARY:
            return WORDS.unpack(data, largest=_SMALL)
        return zlib.decompress(data) if codec == ZLIB else bytes(data)
    except (ValueError, zlib.error) as error:
        raise StorageError(f"a blob cannot be read ({error}); the database may be damaged") from error

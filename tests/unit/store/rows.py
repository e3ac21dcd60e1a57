"""Rows for tests: plain values, numbered ids, fixed times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from runwright.core.ports import Batch, RunRow, Stored
from runwright.core.run import Run
from runwright.core.step import Step

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def later(seconds: float) -> datetime:
    """A time after NOW."""
    return NOW + timedelta(seconds=seconds)


def run(number: int = 1, **changes: object) -> Run:
    """A queued run; its id sorts by its number."""
    made = Run(
        id=f"run_{number:032x}",
        agent="support",
        version="1.0.0",
        fingerprint="f1",
        status="queued",
        created_at=NOW,
    )
    return msgspec.structs.replace(made, **changes)


def step(owner: Run, seq: int = 2, **changes: object) -> Step:
    """A running model step."""
    made = Step(
        run_id=owner.id,
        seq=seq,
        lane="",
        kind="model",
        name="demo:echo",
        key="k1",
        nth=0,
        effect="read",
        status="running",
        started_at=NOW,
    )
    return msgspec.structs.replace(made, **changes)


def event(owner: Run, seq: int, *, body: bytes = b"{}", of: int | None = None) -> Stored:
    """An event as it is stored."""
    return Stored(owner.id, seq, NOW, "run.started", of, body, 1)


def deltas(owner: Run, first: int, last: int, *, of: int) -> Stored:
    """A row that holds a range of deltas."""
    return Stored(owner.id, first, NOW, "deltas", of, b"[]", 1, 0, last)


def new(owner: Run, *events: Stored, steps: tuple[Step, ...] = ()) -> Batch:
    """A batch that creates a run."""
    return Batch(run=RunRow(owner, True), events=events, steps=steps)


def more(owner: Run, *events: Stored, steps: tuple[Step, ...] = ()) -> Batch:
    """A batch that goes on with a run."""
    return Batch(run=RunRow(owner, False), events=events, steps=steps)


def seqs(found: Sequence[Stored]) -> list[int]:
    """The numbers of events."""
    return [item.seq for item in found]

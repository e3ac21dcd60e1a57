"""The outline of a run: which steps there are, when and how dear, in columns and without what was said in them."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from runwright.core.ports import RunStore
from runwright.core.run import Run, RunStatus, WaitReason
from runwright.core.step import Step, StepKind, StepStatus
from runwright.engine.worker import Engine
from runwright.errors import NotFound
from runwright.journal.read import JournalReader
from runwright.service.steps import StepDetail, find_detail

Word = TypeVar("Word", bound=Hashable)


class StepLine(msgspec.Struct, frozen=True, kw_only=True):
    """A step of an outline, as a line of a list."""

    seq: int
    lane: str
    kind: StepKind
    name: str
    status: StepStatus
    attempt: int
    offset_s: float
    duration_s: float | None
    tokens: int
    is_taped: bool
    decided: Sequence[str]


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of a run in order. Every column has one entry a step; `lane`, `kind`, `name`, `status_of` and
    `decided` are places in the lists `lanes`, `kinds`, `names`, `statuses` and `decisions`.

    `start_us` counts from `began_at`; `duration_us` is null while a step runs, `nano_usd` where a price is not known.
    What was answered by the record of another run is `taped`. `decisions` are those of the guard, as `retry resend`.
    `is_lost` says that the process of a run which is not over is gone, and `resumptions` how often it was taken up
    again, after a crash or a wait. `next` is the `after` of the next page.
    """

    run_id: str
    status: RunStatus
    reason: WaitReason | None
    is_lost: bool
    resumptions: int
    last_seq: int
    began_at: datetime
    lanes: Sequence[str]
    kinds: Sequence[StepKind]
    names: Sequence[str]
    statuses: Sequence[StepStatus]
    decisions: Sequence[Sequence[str]]
    seq: Sequence[int]
    lane: Sequence[int]
    kind: Sequence[int]
    name: Sequence[int]
    status_of: Sequence[int]
    attempt: Sequence[int]
    start_us: Sequence[int]
    duration_us: Sequence[int | None]
    input_tokens: Sequence[int]
    output_tokens: Sequence[int]
    nano_usd: Sequence[int | None]
    taped: Sequence[int]
    decided: Sequence[int]
    next: int | None

    def lines(self) -> Iterator[StepLine]:
        """The steps one by one."""
        for at, seq in enumerate(self.seq):
            took = self.duration_us[at]
            yield StepLine(
                seq=seq,
                lane=self.lanes[self.lane[at]],
                kind=self.kinds[self.kind[at]],
                name=self.names[self.name[at]],
                status=self.statuses[self.status_of[at]],
                attempt=self.attempt[at],
                offset_s=self.start_us[at] / 1e6,
                duration_s=None if took is None else took / 1e6,
                tokens=self.input_tokens[at] + self.output_tokens[at],
                is_taped=bool(self.taped[at]),
                decided=self.decisions[self.decided[at]],
            )


class Outlines:
    """What a caller can ask about the steps of a run, without reading all that was said."""

    def __init__(self, engine: Engine, store: RunStore, reader: JournalReader) -> None:
        self._engine = engine
        self._store = store
        self._reader = reader

    async def get(self, run_id: str, *, after: int = 0, limit: int) -> Outline:
        """The steps of a run in columns. Raises NotFound."""
        run = await asyncio.to_thread(self._store.get, run_id)
        if run is None:
            raise NotFound(f"There is no run {run_id!r}.")
        is_lost = run_id in await self._engine.lost([run])
        steps = await asyncio.to_thread(self._store.steps, run_id, after=after, limit=limit + 1)
        return await asyncio.to_thread(_outline, run, steps[:limit], is_lost=is_lost, has_more=len(steps) > limit)

    async def step(self, run_id: str, seq: int) -> StepDetail:
        """One step with all that happened in it. Raises NotFound."""
        return await asyncio.to_thread(find_detail, self._store, self._reader, run_id, seq=seq)


def _outline(run: Run, steps: Sequence[Step], *, is_lost: bool, has_more: bool) -> Outline:
    began = run.started_at or run.created_at
    lanes, kinds, names, statuses = _Places[str](), _Places[StepKind](), _Places[str](), _Places[StepStatus]()
    decisions = _Places[tuple[str, ...]]()
    return Outline(
        run_id=run.id,
        status=run.status,
        reason=run.reason,
        is_lost=is_lost,
        resumptions=run.epoch - 1,
        last_seq=run.last_seq,
        began_at=began,
        seq=[step.seq for step in steps],
        lane=[lanes[step.lane] for step in steps],
        kind=[kinds[step.kind] for step in steps],
        name=[names[step.name] for step in steps],
        status_of=[statuses[step.status] for step in steps],
        attempt=[step.attempt for step in steps],
        start_us=[_micros(step.started_at - began) for step in steps],
        duration_us=[None if step.ended_at is None else _micros(step.ended_at - step.started_at) for step in steps],
        input_tokens=[step.usage.input_tokens for step in steps],
        output_tokens=[step.usage.output_tokens for step in steps],
        nano_usd=[step.cost.nano_usd for step in steps],
        taped=[int(step.taped is not None) for step in steps],
        decided=[decisions[step.decided] for step in steps],
        lanes=list(lanes),
        kinds=list(kinds),
        names=list(names),
        statuses=list(statuses),
        decisions=list(decisions),
        next=steps[-1].seq if has_more else None,
    )


class _Places(dict[Word, int]):
    """Words with their place in the order of their first use."""

    def __missing__(self, word: Word) -> int:
        place = self[word] = len(self)
        return place


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)

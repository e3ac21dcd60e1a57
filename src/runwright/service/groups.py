"""Groups: the runs that carry one label, as one story with totals."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from runwright.core.money import NO_COST
from runwright.core.ports import RunFilter, RunStore, StoryStore
from runwright.core.run import Run, RunStatus, WaitReason
from runwright.core.step import Step, StepKind, StepStatus
from runwright.core.usage import NO_USAGE, Usage
from runwright.engine.worker import Engine
from runwright.errors import NotFound
from runwright.service.views import CostView, cost_view

PAGE = 500
LARGEST = 5_000
"""Runs of a group that are read; a label of more is no story."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a group. `is_lost` says that its process is gone."""

    run_id: str
    agent: str
    status: RunStatus
    parent_run_id: str | None
    replay_of: str | None
    usage: Usage
    cost: CostView
    created_at: datetime
    ended_at: datetime | None
    reason: WaitReason | None = None
    is_lost: bool = False


class GroupStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step of one of the runs of a group."""

    run_id: str
    seq: int
    lane: str
    kind: StepKind
    name: str
    status: StepStatus
    started_at: datetime
    ended_at: datetime | None


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    """A group: its runs, oldest first, and what they took together.

    Each run counts what it used itself, so a child run is not counted again in its parent. `steps` are those of all
    runs in the order of time, as many as were asked for, without their bodies. `has_more` says that runs or steps are
    left out.
    """

    group: str
    runs: int
    statuses: dict[str, int]
    agents: dict[str, int]
    usage: Usage
    cost: CostView
    started_at: datetime
    ended_at: datetime | None
    members: tuple[Member, ...]
    steps: tuple[GroupStep, ...] = ()
    has_more: bool = False


class Groups:
    """What a caller can ask about groups."""

    def __init__(self, engine: Engine, store: RunStore, stories: StoryStore) -> None:
        self._engine = engine
        self._store = store
        self._stories = stories

    async def get(self, group: str, *, steps: int = 0) -> GroupView:
        """A group, with its first steps. Raises NotFound when no run carries the label."""
        runs = await asyncio.to_thread(self._runs, group)
        if not runs:
            raise NotFound(f"No run carries the group {group!r}.")
        lost = await self._engine.lost(runs)
        return await asyncio.to_thread(self._view, group, runs, steps=steps, lost=lost)

    def _view(self, group: str, runs: Sequence[Run], *, steps: int, lost: frozenset[str]) -> GroupView:
        shown = runs[-LARGEST:]
        story = self._stories.story(group, since=shown[0].id, limit=steps + 1) if steps else ()
        usage, cost = NO_USAGE, NO_COST
        for run in shown:
            usage, cost = usage + run.usage, cost + run.cost
        ends = [run.ended_at for run in shown]
        return GroupView(
            group=group,
            runs=len(shown),
            statuses=dict(Counter(run.status for run in shown)),
            agents=dict(Counter(run.agent for run in shown)),
            usage=usage,
            cost=cost_view(cost),
            started_at=shown[0].created_at,
            ended_at=None if None in ends else max(end for end in ends if end is not None),
            members=tuple(_member(run, is_lost=run.id in lost) for run in shown),
            steps=tuple(map(_step, story[:steps])),
            has_more=len(runs) > len(shown) or len(story) > steps > 0,
        )

    def _runs(self, group: str) -> Sequence[Run]:
        """Oldest first, and at most one more than are shown."""
        found: list[Run] = []
        where = RunFilter(group=group, limit=PAGE)
        while len(found) <= LARGEST:
            page = self._store.find(where)
            found += page
            if len(page) < PAGE:
                break
            where = replace(where, after=page[-1].id)
        return found[: LARGEST + 1][::-1]


def _step(step: Step) -> GroupStep:
    return GroupStep(
        run_id=step.run_id,
        seq=step.seq,
        lane=step.lane,
        kind=step.kind,
        name=step.name,
        status=step.status,
        started_at=step.started_at,
        ended_at=step.ended_at,
    )


def _member(run: Run, *, is_lost: bool) -> Member:
    return Member(
        run_id=run.id,
        agent=run.agent,
        status=run.status,
        parent_run_id=run.parent_run_id,
        replay_of=run.replay_of,
        usage=run.usage,
        cost=cost_view(run.cost),
        created_at=run.created_at,
        ended_at=run.ended_at,
        reason=run.reason,
        is_lost=is_lost,
    )

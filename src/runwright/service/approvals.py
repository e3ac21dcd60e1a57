"""Approvals: what waits for a person, and what the person says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import msgspec
from msgspec.structs import replace

from runwright.core.event import NULL, Event, StepHeld, StepResolved, StepStarted
from runwright.core.labels import number
from runwright.core.need import NeedsApproval, NeedsInput
from runwright.core.ports import RunFilter, RunStore
from runwright.core.run import Run
from runwright.engine.held import open_needs, wait_of
from runwright.errors import NotFound
from runwright.journal.read import JournalReader
from runwright.service.approval_views import ApprovalBody, ApprovalQuery, ApprovalStatus, ApprovalView
from runwright.service.runs import Runs
from runwright.service.views import Page, Resolution

READ = 200
"""Runs that wait and are read at once."""

_STATUS: Mapping[str, ApprovalStatus] = {"approve": "approved", "deny": "denied", "answer": "answered"}


class _Question(msgspec.Struct, frozen=True):
    question: str
    schema: msgspec.Raw = NULL


class Approvals:
    """What a caller can ask about steps that need a person. They are found in the records of runs that wait."""

    def __init__(self, runs: Runs, store: RunStore, reader: JournalReader) -> None:
        self._runs = runs
        self._store = store
        self._reader = reader

    async def find(self, where: ApprovalQuery) -> Page[ApprovalView]:
        """A page of what waits, that of the newest run first. Raises NotFound for an `after` that is no id."""
        return await asyncio.to_thread(self._find, where)

    async def get(self, approval_id: str) -> ApprovalView:
        """One, also when somebody has spoken of it. Raises NotFound."""
        return await asyncio.to_thread(self._get, approval_id)

    async def resolve(self, approval_id: str, body: ApprovalBody) -> ApprovalView:
        """Approve, deny or answer. Raises NotFound, InvalidRequest, and Conflict where that was done already."""
        view = await self.get(approval_id)
        said = Resolution(
            action=body.decision,
            step=view.step,
            arguments=body.arguments,
            result=body.result,
            by=body.by,
            note=body.note,
        )
        await self._runs.resolve(view.run_id, said)
        return await self.get(approval_id)

    def _find(self, where: ApprovalQuery) -> Page[ApprovalView]:
        found = list(islice(self._waiting(where), where.limit + 1))
        shown = found[: where.limit]
        has_more = len(found) > where.limit
        return Page(data=shown, has_more=has_more, next=shown[-1].id if has_more else None)

    def _waiting(self, where: ApprovalQuery) -> Iterator[ApprovalView]:
        last = None
        if where.run is not None:
            run = self._store.get(where.run)
            yield from () if run is None else self._of(run)
            return
        if where.after is not None:
            last, step = _parts(where.after)
            run = self._store.get(last)
            yield from () if run is None else (view for view in self._of(run) if view.step < step)
        while True:
            runs = self._store.find(
                RunFilter(status="waiting", agent=where.agent, user=where.user, after=last, limit=READ)
            )
            for run in runs:
                yield from self._of(run)
            if len(runs) < READ:
                return
            last = runs[-1].id

    def _of(self, run: Run) -> Sequence[ApprovalView]:
        """What a run waits for, the newest first."""
        if run.status != "waiting" or run.reason not in {"approval", "input"}:
            return ()
        wait = wait_of(run, self._reader)
        needs = [need for need in (wait.needs if wait else ()) if isinstance(need, NeedsApproval | NeedsInput)]
        return [self._waits(run, need) for need in sorted(needs, key=lambda need: -need.step)]

    def _waits(self, run: Run, need: NeedsApproval | NeedsInput) -> ApprovalView:
        begun = self._reader.page(run.id, after=need.step - 1, limit=1)[0]
        return _asked(run, begun, need)

    def _get(self, approval_id: str) -> ApprovalView:
        run_id, step = _parts(approval_id)
        run = self._store.get(run_id)
        events = list(self._reader.events(run_id)) if run is not None else ()
        for event in events:
            need = event.data.need if isinstance(event.data, StepHeld) else None
            if run is not None and isinstance(need, NeedsApproval | NeedsInput) and need.step == step:
                return _view(run, events, need)
        raise NotFound(f"There is no approval {approval_id!r}; `runwright approvals ls` lists those that wait.")


def approval_id(run_id: str, step: int) -> str:
    """The id of what a step needs of a person."""
    return f"{run_id}.{step}"


def _parts(given: str) -> tuple[str, int]:
    run_id, _, step = given.rpartition(".")
    seq = number(step)
    if not run_id or seq is None:
        raise NotFound(f"There is no approval {given!r}: an id is that of a run and the number of a step, as run_1.7.")
    return run_id, seq


def _view(run: Run, events: Sequence[Event], need: NeedsApproval | NeedsInput) -> ApprovalView:
    view = _asked(run, next(event for event in events if event.seq == need.step), need)
    return view if need.step in open_needs(events) else _spoken(replace(view, status="withdrawn"), events)


def _asked(run: Run, begun: Event, need: NeedsApproval | NeedsInput) -> ApprovalView:
    """What a run asks that waits for that; `begun` is the start of its step."""
    assert isinstance(begun.data, StepStarted)
    view = ApprovalView(
        id=approval_id(run.id, need.step),
        status="waiting",
        kind="approval",
        run_id=run.id,
        step=need.step,
        agent=run.agent,
        user=run.user,
        lane=begun.data.lane,
        since=begun.ts,
        until=need.until,
    )
    if isinstance(need, NeedsApproval):
        return replace(view, name=begun.data.name, arguments=begun.data.request)
    asked = msgspec.json.decode(begun.data.request, type=_Question)
    return replace(view, kind="input", question=asked.question, schema=asked.schema)


def _spoken(view: ApprovalView, events: Sequence[Event]) -> ApprovalView:
    """The view with what somebody said."""
    for event in reversed(events):
        said = event.data
        if event.step == view.step and isinstance(said, StepResolved) and said.action in _STATUS:
            status = _STATUS[said.action]
            return replace(view, status=status, by=said.by, note=said.note, resolved_at=event.ts)
    return view

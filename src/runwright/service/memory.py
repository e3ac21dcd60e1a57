"""Memory: named blocks of agents and threads, their commits, and what runs read and wrote there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Literal

import msgspec

from runwright.agents.schema import NAME as AGENT_NAME
from runwright.core.event import Event, MemoryWritten, RunStarted, StepCompleted, StepStarted
from runwright.core.labels import ThreadId, check_thread_id
from runwright.core.memory import (
    Asked,
    Change,
    Commit,
    CommitFilter,
    Draft,
    Entry,
    Owner,
    Scope,
    is_text,
    misfit,
    owned_by,
)
from runwright.core.ports import Clock, MemoryStore, RunStore
from runwright.core.run import Run
from runwright.errors import InvalidRequest, NotFound
from runwright.journal.memory import blame, change_of, changed
from runwright.journal.read import JournalReader
from runwright.journal.wording import json_text, unified
from runwright.service.memory_views import (
    BlockBody,
    BlockDiff,
    BlockView,
    CommitView,
    LineView,
    MemoryDiff,
    MemoryRead,
    MemoryWrite,
    RestoreBody,
    RunMemoryView,
)
from runwright.service.views import Page

PAGE = 500
ROOM = 20_000
"""Characters that the diff of a block may have."""

AT = re.compile(r"(?P<number>\d{1,18})|(?P<run>run_[0-9a-f]+)(:(?P<step>\d{1,18}))?")


class Memory:
    """What a caller can ask about memory, and do to it."""

    def __init__(self, store: MemoryStore, runs: RunStore, reader: JournalReader, *, clock: Clock) -> None:
        self._store = store
        self._runs = runs
        self._reader = reader
        self._clock = clock

    async def owners(self, *, after: str | None = None, limit: int = 50) -> Page[Owner]:
        """A page of those who have memory, by name."""
        found = await asyncio.to_thread(self._store.owners, after=after, limit=limit + 1)
        has_more = len(found) > limit
        return Page(data=found[:limit], has_more=has_more, next=found[limit - 1].owner if has_more else None)

    async def blocks(self, owner: str, *, at: str | None = None) -> Page[BlockView]:
        """The blocks now, or `at` a commit, as a run began with them (`run_ID`), or after its step (`run_ID:STEP`).

        Raises InvalidRequest, NotFound.
        """
        entries = await asyncio.to_thread(self._standing, owner, at)
        return Page(data=[_block(owner, entry) for entry in entries])

    async def block(self, owner: str, name: str, *, at: str | None = None) -> BlockView:
        """One block. Raises InvalidRequest, NotFound."""
        entries = await asyncio.to_thread(self._standing, owner, at)
        found = next((entry for entry in entries if entry.name == name), None)
        if found is None:
            raise NotFound(f"{owner} has no block {name!r}{'' if at is None else f' at {at}'}.")
        return _block(owner, found)

    async def commits(
        self, owner: str, *, name: str | None = None, after: int | None = None, limit: int = 50
    ) -> Page[CommitView]:
        """A page of commits, newest first, of one block if named; `after` is the last number of the page before."""
        where = CommitFilter(owner=owner, name=name, before=after, limit=limit + 1)
        found = await asyncio.to_thread(self._store.commits, where)
        shown = [_commit(commit) for commit in found[:limit]]
        has_more = len(found) > limit
        return Page(data=shown, has_more=has_more, next=str(shown[-1].number) if has_more else None)

    async def diff(self, owner: str, left: str, right: str | None = None) -> MemoryDiff:
        """How memory differs between two places in its history, by default until now. Raises as `blocks`."""
        before, after = await asyncio.to_thread(
            lambda: (_values(self._standing(owner, left)), _values(self._standing(owner, right)))
        )
        names = sorted(before.keys() | after.keys())
        blocks = [
            _diff(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
        ]
        return MemoryDiff(owner=owner, left=left, right=right or "now", blocks=blocks)

    async def blame(self, owner: str, name: str, *, at: int | None = None) -> Page[LineView]:
        """The lines of a block, now or at a commit, with who wrote each. Raises NotFound."""
        lines = await asyncio.to_thread(lambda: blame(_history(self._store, owner, name=name, at=at)))
        if not lines:
            await self.block(owner, name, at=None if at is None else str(at))
        return Page(data=[_line(line.text, line.entry) for line in lines])

    async def put(self, owner: str, name: str, body: BlockBody) -> BlockView:
        """Write a block. Raises InvalidRequest when it does not fit, Conflict when another one was expected."""
        change = Change(name, "set", _canonical(bytes(body.value)))
        await asyncio.to_thread(self._write, owner, (change,), expect=body.expect)
        return await self.block(owner, name)

    async def delete(self, owner: str, name: str, *, expect: int | None = None) -> None:
        """Take a block away; its history stays. Raises NotFound, Conflict."""
        await self.block(owner, name)
        await asyncio.to_thread(self._write, owner, (Change(name, "delete"),), expect=expect)

    async def restore(self, owner: str, body: RestoreBody) -> CommitView:
        """Make a commit whose content is that of an old one; the newest one where that stands already.

        Raises NotFound.
        """
        number = await asyncio.to_thread(self._restore, owner, body)
        (commit,) = await asyncio.to_thread(self._store.commits, CommitFilter(owner=owner, before=number + 1, limit=1))
        return _commit(commit)

    async def of_run(self, run_id: str) -> RunMemoryView:
        """What a run read and wrote, as far as it stands on disk. Raises NotFound."""
        return await asyncio.to_thread(self._of_run, run_id)

    def _standing(self, owner: str, at: str | None) -> Sequence[Entry]:
        if at is None:
            return self._store.blocks(owner, self._store.head(owner))
        asked = AT.fullmatch(at)
        if asked is None:
            raise InvalidRequest(f"A place in the history is a commit's number, run_ID or run_ID:STEP, not {at!r}.")
        if asked["number"] is not None:
            number = int(asked["number"])
            self._check_commit(owner, number)
            return self._store.blocks(owner, number)
        return self._seen(owner, asked["run"], step=int(asked["step"] or 0))

    def _check_commit(self, owner: str, number: int) -> None:
        head = self._store.head(owner)
        if number > head:
            raise NotFound(f"{owner} has no commit {number}; the newest is {head}.")

    def _seen(self, owner: str, run_id: str, *, step: int) -> Sequence[Entry]:
        """Memory as a run saw it after a step; as it began with it, if that is 0."""
        entries: dict[str, Entry] = {}
        numbers = self._numbers(run_id)
        for event in self._events(self._run(run_id)):
            if isinstance(event.data, RunStarted):
                base = event.position if event.data.memory is None else event.data.memory
                stood = self._store.blocks(owner, self._store.head(owner, before=base))
                entries = {entry.name: entry for entry in stood}
            elif isinstance(event.data, MemoryWritten) and event.data.owner == owner and (event.step or 0) <= step:
                _apply(entries, event, number=numbers.get((owner, event.position)))
        return sorted((entry for entry in entries.values() if entry.value is not None), key=lambda entry: entry.name)

    def _numbers(self, run_id: str) -> Mapping[tuple[str, int], Commit]:
        """The commits of a run by owner, and the position of the event that tells of each."""
        commits = self._store.commits(CommitFilter(run_id=run_id, limit=100_000))
        return {(commit.owner, commit.position): commit for commit in commits}

    def _write(self, owner: str, changes: Sequence[Change], *, expect: int | None = None) -> int:
        check_owner(owner)
        held = _values(self._store.blocks(owner, self._store.head(owner)))
        for change in changes:
            if told := misfit(held, change):
                raise InvalidRequest("The block cannot be written so.", problems=[("/value", told)])
        draft = Draft(owner=owner, changes=tuple(changes), created_at=self._clock.now())
        return self._store.commit(draft, expect=expect)

    def _restore(self, owner: str, body: RestoreBody) -> int:
        self._check_commit(owner, body.commit)
        before, now = _values(self._standing(owner, str(body.commit))), _values(self._standing(owner, None))
        names = before.keys() | now.keys() if body.name is None else {body.name}
        if body.name is not None and body.name not in before.keys() | now.keys():
            raise NotFound(f"{owner} has no block {body.name!r}, neither now nor at commit {body.commit}.")
        changes = [
            Change(name, "set", before[name]) if name in before else Change(name, "delete") for name in sorted(names)
        ]
        draft = Draft(owner=owner, changes=tuple(changes), created_at=self._clock.now(), restores=body.commit)
        number = self._store.commit(draft)
        if not number:
            raise NotFound(f"{owner} has no memory.")
        return number

    def _of_run(self, run_id: str) -> RunMemoryView:
        run = self._run(run_id)
        numbers = self._numbers(run_id)
        asked: dict[int, Asked] = {}
        reads: list[MemoryRead] = []
        writes: list[MemoryWrite] = []
        for event in self._events(run):
            data = event.data
            if isinstance(data, StepStarted) and data.kind == "memory":
                asked[event.seq] = msgspec.json.decode(data.request, type=Asked)
            elif isinstance(data, StepCompleted) and event.step in asked:
                reads += _reads(run, event.step, asked[event.step], result=bytes(data.result))
            elif isinstance(data, MemoryWritten):
                writes.append(_written(event, data, numbers.get((data.owner, event.position))))
        return RunMemoryView(run_id=run_id, reads=reads, writes=writes)

    def _run(self, run_id: str) -> Run:
        run = self._runs.get(run_id)
        if run is None:
            raise NotFound(f"There is no run {run_id!r}.")
        return run

    def _events(self, run: Run) -> Iterable[Event]:
        # A run that is at work goes on while it is read.
        return takewhile(lambda event: event.seq <= run.last_seq, self._reader.events(run.id))


def _history(store: MemoryStore, owner: str, *, name: str, at: int | None) -> Iterator[Entry]:
    after = 0
    while page := store.history(owner, name, after=after, limit=PAGE):
        for entry in page:
            after = entry.commit or 0
            if at is not None and after > at:
                return
            yield entry


def check_owner(owner: str) -> None:
    """Raises InvalidRequest for what can have no memory."""
    kind, _, name = owner.partition(":")
    if kind == "thread":
        check_thread_id(name, at="/owner")
        try:
            msgspec.convert(name, ThreadId)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"{name!r} is no id of a thread: {error}.") from error
    elif kind != "agent" or re.fullmatch(AGENT_NAME, name) is None:
        raise InvalidRequest(f"Memory is that of agent:NAME or thread:ID, not of {owner!r}.")


def _apply(entries: dict[str, Entry], event: Event, *, number: Commit | None) -> None:
    """What a write of a run makes of the blocks that it sees."""
    assert isinstance(event.data, MemoryWritten)
    name = event.data.name
    after = changed(_values(entries.values()), (change_of(event.data),))
    entries[name] = Entry(
        name=name,
        value=after.get(name),
        commit=None if number is None else number.number,
        run_id=event.run_id,
        step=event.step,
        created_at=event.ts,
    )


def _values(entries: Iterable[Entry]) -> dict[str, bytes]:
    return {entry.name: entry.value for entry in entries if entry.value is not None}


def _canonical(value: bytes) -> bytes:
    """JSON text as a run would write it, so that the same content is the same bytes."""
    if is_text(value):
        return msgspec.json.encode(msgspec.json.decode(value, type=str))
    return msgspec.json.format(value, indent=-1)


def _reads(run: Run, step: int, asked: Asked, *, result: bytes) -> Iterator[MemoryRead]:
    if asked.do in {"get", "list"}:
        owner = _owner(run, asked.scope)
        yield MemoryRead(step=step, owner=owner, name=asked.name, value=msgspec.Raw(result))
    elif asked.do == "recall":
        held = msgspec.json.decode(result, type=dict[str, msgspec.Raw])
        for scope, name in asked.blocks:
            value = held.get(name, msgspec.Raw(b"null"))
            yield MemoryRead(step=step, owner=_owner(run, scope), name=name, value=value)


def _owner(run: Run, scope: Scope) -> str:
    return owned_by(scope, run.agent if scope == "agent" else run.thread_id or "")


def _written(event: Event, data: MemoryWritten, commit: Commit | None) -> MemoryWrite:
    touched = () if commit is None else commit.touched
    return MemoryWrite(
        step=event.step or 0,
        owner=data.owner,
        name=data.name,
        action=data.action,
        value=data.value,
        commit=None if commit is None else commit.number,
        overwrote=next((each.overwrote for each in touched if each.name == data.name), None),
        taped=data.taped,
    )


def _diff(name: str, before: bytes | None, after: bytes | None) -> BlockDiff:
    left, right = ("" if value is None else json_text(value) for value in (before, after))
    text, cut = unified(left, right, room=ROOM)
    mark: Literal["added", "changed", "deleted"] = "changed"
    if before is None or after is None:
        mark = "added" if before is None else "deleted"
    return BlockDiff(name=name, mark=mark, text=text, cut=cut)


def _block(owner: str, entry: Entry) -> BlockView:
    value = entry.value or b"null"
    return BlockView(
        owner=owner,
        name=entry.name,
        value=msgspec.Raw(value),
        size=len(value),
        commit=entry.commit,
        run_id=entry.run_id,
        step=entry.step,
        created_at=entry.created_at,
    )


def _line(text: str, entry: Entry) -> LineView:
    return LineView(text=text, commit=entry.commit, run_id=entry.run_id, step=entry.step, created_at=entry.created_at)


def _commit(commit: Commit) -> CommitView:
    return CommitView(
        owner=commit.owner,
        number=commit.number,
        parent=commit.number - 1 or None,
        run_id=commit.run_id,
        step=commit.step,
        restores=commit.restores,
        created_at=commit.created_at,
        touched=commit.touched,
    )

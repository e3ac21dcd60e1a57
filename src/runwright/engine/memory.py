"""What a run sees of memory, and what its steps write there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from runwright.core.context import Context
from runwright.core.event import Event, EventData, MemoryWritten, RunStarted, StepCompleted, StepFailed
from runwright.core.memory import Action, Asked, Change, Scope, misfit, owned_by
from runwright.core.ports import MemoryStore
from runwright.errors import ToolFailed
from runwright.journal.memory import change_of, changed
from runwright.journal.write import RunLog
from runwright.tools.deeds import Deed

WRITES: Final[Mapping[str, Action]] = {"set": "set", "append": "append", "delete": "delete"}


class RunMemory:
    """Memory as one run sees it: as it stood when the run started, and what the run wrote since.

    A step's writes are drafts until the step completes; they are recorded together with that, or not at all.
    """

    def __init__(self, store: MemoryStore, log: RunLog, *, past: Iterable[Event]) -> None:
        """`past` are the events of the run before it was executed here."""
        self._store = store
        self._log = log
        self._own: dict[str, list[Change]] = {}
        self._seen: dict[str, dict[str, bytes]] = {}
        self._drafts: dict[int, list[MemoryWritten]] = {}
        self._began: int | None = None
        self._base: int | None = None
        for event in past:
            if isinstance(event.data, RunStarted):
                self._base = event.data.memory
            self._note(event)

    def deed(self, arguments: str) -> Deed:
        """The deed that these arguments ask for."""
        do = msgspec.json.decode(arguments, type=Asked).do
        return Deed(do, self._act, effect="idempotent" if do in WRITES else "read")

    def note(self, events: Iterable[Event]) -> None:
        """Take in what was recorded."""
        for event in events:
            self._note(event)

    def taken(self, step: int, end: EventData) -> Sequence[MemoryWritten]:
        """What a step wrote that ends: nothing if it failed, and not yet if its outcome is unknown."""
        if isinstance(end, StepFailed) and end.is_unknown:
            return ()
        drafts = self._drafts.pop(step, ())
        return drafts if isinstance(end, StepCompleted) else ()

    def forget(self, step: int) -> None:
        """A step is tried again: what it was about to write before is void."""
        self._drafts.pop(step, None)

    def _note(self, event: Event) -> None:
        data = event.data
        if not isinstance(data, MemoryWritten):
            return
        change = change_of(data)
        self._own.setdefault(data.owner, []).append(change)
        if data.owner in self._seen:
            self._seen[data.owner] = changed(self._seen[data.owner], (change,))

    async def _act(self, arguments: Mapping[str, Any], context: Context) -> object:
        asked = msgspec.convert(arguments, Asked)
        step = context.step
        assert step is not None
        action = WRITES.get(asked.do)
        if action is not None:
            await self._write(asked, action, step)
            return None
        if asked.do == "recall":
            held = {scope: await self._held(self._owner(scope), step) for scope, _ in asked.blocks}
            return {name: msgspec.Raw(held[scope][name]) for scope, name in asked.blocks if name in held[scope]}
        held = await self._held(self._owner(asked.scope), step)
        if asked.do == "list":
            return sorted(held)
        value = held.get(asked.name)
        return None if value is None else msgspec.Raw(value)

    async def _write(self, asked: Asked, action: Action, step: int) -> None:
        owner = self._owner(asked.scope)
        if owner is None:
            raise ToolFailed("The run belongs to no thread, so there is none whose memory it could write: name one.")
        steps = (*self._log.open_steps, *self._log.unknown_steps)
        if any(each.seq == step and each.effect == "read" for each in steps):
            raise ToolFailed("A tool that writes memory has an effect: declare it as @tool(effect='idempotent').")
        change = Change(asked.name, action, msgspec.json.encode(asked.value))
        told = misfit(await self._held(owner, step), change)
        if told:
            raise ToolFailed(told)
        written = MemoryWritten(
            owner=owner, name=asked.name, action=action, value=msgspec.Raw(change.value), base=self._base
        )
        self._drafts.setdefault(step, []).append(written)

    def _owner(self, scope: Scope) -> str | None:
        """Whose memory a scope is; None for that of a thread in a run without one."""
        run = self._log.run
        name = run.agent if scope == "agent" else run.thread_id
        return None if name is None else owned_by(scope, name)

    async def _held(self, owner: str | None, step: int) -> Mapping[str, bytes]:
        """The blocks of an owner as a step sees them: with what it is about to write itself."""
        if owner is None:
            return {}
        if owner not in self._seen:
            stood = await self._stood(owner)
            # What was written while they were read is among the run's own.
            self._seen.setdefault(owner, changed(stood, self._own.get(owner, ())))
        drafts = (change_of(each) for each in self._drafts.get(step, ()) if each.owner == owner)
        return changed(self._seen[owner], drafts)

    async def _stood(self, owner: str) -> dict[str, bytes]:
        """The blocks as they stood when the run started, or for a replay, when the replayed run did."""
        if self._base is None and self._began is None:
            # Where it stands among the events of the store is known when it is stored.
            await self._log.durable()
            self._began = await asyncio.to_thread(self._store.began, self._log.run.id)
        before = self._began if self._base is None else self._base
        entries = await asyncio.to_thread(lambda: self._store.blocks(owner, self._store.head(owner, before=before)))
        return {entry.name: entry.value for entry in entries if entry.value is not None}

"""The tasks of a code flow, as far as they can be known: whether another one could still ask for its steps."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from weakref import WeakSet


class _Mark:
    """Stands in the context of a task, and in those of the tasks that it begins."""

    __slots__ = ("__weakref__",)


_mark: ContextVar[_Mark | None] = ContextVar("runwright_branch", default=None)


class Branches:
    """Marks the tasks of one flow.

    A task inherits the mark of the one that begins it. Who takes a new mark lets go of the old one, which then lives
    only if other tasks have inherited it. Callbacks and timers hold marks as well: they count as tasks.
    """

    def __init__(self) -> None:
        self._marks: WeakSet[_Mark] = WeakSet()
        self._away = 0
        self._rests = asyncio.Event()

    def enter(self) -> None:
        """Mark the present task anew."""
        mark = _Mark()
        self._marks.add(mark)
        _mark.set(mark)

    def is_alone(self) -> bool:
        """Whether the present task is the only one of the flow for certain."""
        self.enter()
        return len(self._marks) == 1 and not self._away

    async def rest(self) -> None:
        """Wait until no task performs a step."""
        while self._away:
            self._rests.clear()
            await self._rests.wait()

    @property
    def is_away(self) -> bool:
        """Whether a task performs a step."""
        return bool(self._away)

    def is_waiting(self) -> bool:
        """Whether the flow waits for nothing for certain but the one step that it performs."""
        return not self._marks and self._away == 1

    @contextmanager
    def away(self) -> Generator[None]:
        """The present task performs a step: what the step's tool begins is no part of the flow."""
        self._away += 1
        _mark.set(None)
        try:
            yield
        finally:
            self._away -= 1
            self._rests.set()
            self.enter()

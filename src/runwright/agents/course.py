"""The course of a task: which of its steps can begin, and how those ended that have."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from runwright.agents.attempts import Outcome, Part, Scope, attempted
from runwright.core.context import Context
from runwright.core.run import error_info
from runwright.errors import InvalidRequest, revive


class Course:
    """One run of a task: a step begins when those that it needs have ended, and there is room for it.

    A strict one begins nothing more after a failure; what is at work comes to its end.
    """

    def __init__(self, parts: Sequence[Part], *, room: int, is_strict: bool) -> None:
        self._left = list(parts)
        self._names = [part.name for part in parts]
        self._room = room
        self._at_work = 0
        self._is_strict = is_strict
        self._failed: str | None = None
        self._outcomes: dict[str, Outcome] = {}

    async def run(self, context: Context, value: object) -> dict[str, Outcome]:
        """How each step ended, in the order of the definition. Raises the error of the first that failed, if strict."""
        self._context = context
        self._value = value
        if self._room == 1:
            while (part := self._next()) is not None:
                await self._do(part)
        else:
            async with asyncio.TaskGroup() as group:
                self._begin(group)
        if self._failed is not None:
            error = self._outcomes[self._failed].error
            assert error is not None
            raise revive(error.code, f"{self._failed!r} failed: {error.message}")
        return {name: self._outcomes[name] for name in self._names}

    def scope(self) -> Scope:
        """What references stand for by now."""
        return {"input": self._value, "steps": {name: facts(each) for name, each in self._outcomes.items()}}

    def _next(self) -> Part | None:
        if self._failed is not None:
            return None
        ready = next((part for part in self._left if part.needs <= self._outcomes.keys()), None)
        if ready is not None:
            self._left.remove(ready)
        return ready

    def _begin(self, group: asyncio.TaskGroup) -> None:
        while self._at_work < self._room and (part := self._next()) is not None:
            self._at_work += 1
            group.create_task(self._work(part, group))

    async def _work(self, part: Part, group: asyncio.TaskGroup) -> None:
        await self._do(part)
        self._at_work -= 1
        self._begin(group)

    async def _do(self, part: Part) -> None:
        outcome = await self._outcome(part)
        self._outcomes[part.name] = outcome
        if outcome.status == "failed" and self._is_strict:
            self._failed = self._failed or part.name
        fraction = len(self._outcomes) / len(self._names)
        self._context.progress(f"{part.name}: {outcome.status}", fraction=fraction)

    async def _outcome(self, part: Part) -> Outcome:
        scope = self.scope()
        try:
            if not part.is_taken(scope):
                return Outcome(status="skipped")
        except InvalidRequest as error:
            return Outcome(status="failed", error=error_info(error))
        return await attempted(part, self._context.lane(part.name), scope)


def facts(outcome: Outcome) -> dict[str, Any]:
    """What is told of a step."""
    told: dict[str, Any] = {"status": outcome.status, "output": outcome.output, "attempts": outcome.attempts}
    error = outcome.error
    return {**told, "error": None if error is None else {"code": error.code, "message": error.message}}

"""Deeds: what code flows do beside calling models and tools. Each is a tool that no model sees."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from runwright.core.context import Context
from runwright.core.http import HttpRequest
from runwright.core.model import ToolSpec
from runwright.core.step import Effect, StepKind
from runwright.errors import InvalidRequest, RunError
from runwright.tools.http import EFFECTS, HttpClient

UNBOUND_S = 1e8
"""Seconds that no run has: a sleep is bounded by its run alone."""

Act = Callable[[Mapping[str, Any], Context], Awaitable[object]]


class Deed:
    """A tool of the runtime's own. `act` gives any JSON value."""

    def __init__(self, name: str, act: Act, *, effect: Effect = "read", timeout_s: float | None = None) -> None:
        self.effect: Effect = effect
        self.spec = ToolSpec(name=name, description="", parameters={})
        self.timeout_s = timeout_s
        self.fingerprint = name
        self._act = act

    def check(self, arguments: str) -> Mapping[str, object]:
        """The arguments; they come from code of ours."""
        return msgspec.json.decode(arguments, type=dict[str, object])

    async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
        """Act, and give the result as JSON text."""
        return msgspec.json.encode(await self._act(arguments, context))


async def _now(_arguments: Mapping[str, Any], _context: Context) -> object:
    return datetime.now(UTC)


async def _random(_arguments: Mapping[str, Any], _context: Context) -> object:
    return random.random()


async def _uuid(_arguments: Mapping[str, Any], _context: Context) -> object:
    return uuid.uuid4()


async def _sleep(arguments: Mapping[str, Any], context: Context) -> object:
    """After a crash only the rest: the step began when it first did."""
    begun = context.started_at or datetime.now(UTC)
    left_s = arguments["duration_s"] - (datetime.now(UTC) - begun).total_seconds()
    await asyncio.sleep(max(0.0, left_s))
    return None


async def _never(_arguments: Mapping[str, Any], _context: Context) -> object:
    raise RunError("This is not done by a tool.")


_PLAIN: Final[Mapping[StepKind, Deed]] = {
    "clock": Deed("now", _now),
    "random": Deed("random", _random),
    "id": Deed("uuid", _uuid),
    "sleep": Deed("sleep", _sleep, timeout_s=UNBOUND_S),
    # A person answers: it is never performed.
    "input": Deed("input", _never, timeout_s=UNBOUND_S),
}


class Deeds:
    """Finds deeds by the kind of their step. `env` gives the value of an environment variable."""

    def __init__(self, http: HttpClient | None = None, *, env: Callable[[str], str | None] = lambda name: None) -> None:
        self._http = http or HttpClient()
        self._env = env

    def find(self, kind: StepKind, arguments: str) -> Deed:
        """The deed that these arguments ask for; its effect may depend on them. Raises InvalidRequest."""
        if kind == "http":
            method = msgspec.json.decode(arguments, type=HttpRequest).method
            return Deed(method, self._http.send, effect=EFFECTS.get(method, "once"))
        if kind == "child":
            agent = msgspec.json.decode(arguments, type=dict[str, Any])["agent"]
            return Deed(agent, _never, effect="idempotent", timeout_s=UNBOUND_S)
        if kind == "env":
            return Deed("env", self._variable)
        if kind not in _PLAIN:
            raise InvalidRequest(f"There is no way to do {kind!r} here.")
        return _PLAIN[kind]

    async def _variable(self, arguments: Mapping[str, Any], _context: Context) -> object:
        return self._env(arguments["name"])

"""Which policies hold for a call, and the way through the guard that they make."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from runwright.core.policy import DEFAULT_GUARD, LIMITS, Budget, Guard, GuardSettings, Plan, ScopedBudget, plan
from runwright.guard.call import Proceed
from runwright.guard.chain import Surroundings, guard

NO_PLAN = Plan()
MOST_WAYS: Final = 500
"""How many ways are kept: runs with policies of their own make more of them than an app has models and tools."""


class Own(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What an agent and one of its runs set. `tokens` and `usd` are the `limits` of the run; `within` says of runs
    above its `limits.usd` and `limits.tokens`.
    """

    agent: str = ""
    of_agent: Guard | None = None
    of_run: Guard | None = None
    tokens: int | None = None
    usd: str | None = None
    within: tuple[tuple[str, str | None, int | None], ...] = ()

    @property
    def bounds(self) -> tuple[ScopedBudget, ...]:
        """The budgets of money that the run and those above it set."""
        bounds = ((run, usd) for run, usd, _ in (*self.within, ("", self.usd, None)))
        return tuple(ScopedBudget(Budget(usd=usd, per="tree"), LIMITS, run) for run, usd in bounds if usd is not None)

    @property
    def token_bounds(self) -> tuple[ScopedBudget, ...]:
        """The budgets of tokens that runs above set: calls of tools use none."""
        bounds = ((run, tokens) for run, _, tokens in self.within if tokens is not None)
        return tuple(ScopedBudget(Budget(tokens=tokens, per="tree"), LIMITS, run) for run, tokens in bounds)


class Way(msgspec.Struct, frozen=True, gc=False):
    """How calls of one kind are made: `proceed` makes them under `plan`."""

    plan: Plan
    proceed: Proceed[Any]


class Guards:
    """Ways through the guard: each made once for a model or tool and the policies that an agent and a run set."""

    def __init__(self, around: Surroundings, settings: GuardSettings | None = None) -> None:
        self.around = around
        self._settings = settings or GuardSettings()
        self._ways: dict[tuple[str, str, Own, Guard | None], Way] = {}
        self.bare = Way(NO_PLAN, guard(NO_PLAN, around))
        """For what needs no policies: a clock, a random number, memory."""

    def model(self, ref: str, own: Own) -> Way:
        """For calls of a model."""
        key = ("model", ref, own, None)
        return self._ways.get(key) or self._keep(key, self._model_way(ref, own))

    def tool(self, name: str, own: Own, of_tool: Guard | None = None) -> Way:
        """For calls of a tool that may have policies of its own."""
        key = ("tool", name, own, of_tool)
        return self._ways.get(key) or self._keep(key, self._tool_way(name, own, of_tool))

    def model_plan(self, ref: str, own: Own) -> Plan:
        """The policies of a model's calls."""
        wide = f"{ref.partition(':')[0]}:*"
        chosen = _bounded(
            own,
            ("default", DEFAULT_GUARD),
            ("app", self._settings.app),
            (f"model:{wide}", self._settings.models.get(wide)),
            (f"model:{ref}", self._settings.models.get(ref)),
            (f"agent:{own.agent}", own.of_agent),
            (LIMITS, None if own.tokens is None else Guard(budget=Budget(tokens=own.tokens, per="tree"))),
            ("run", own.of_run),
        )
        return replace(chosen, budgets=(*chosen.budgets, *own.token_bounds)) if own.within else chosen

    def tool_plan(self, name: str, own: Own, of_tool: Guard | None) -> Plan:
        """The policies of a tool's calls. What a tool reads is kept only where its agent, or it itself, says so."""
        return _bounded(
            own,
            ("default", DEFAULT_GUARD),
            ("app", _without_cache(self._settings.app)),
            (f"agent:{own.agent}", own.of_agent),
            (f"tool:{name}", of_tool),
            (f"tool:{name}", self._settings.tools.get(name)),
            ("run", _without_cache(own.of_run)),
        )

    def _keep(self, key: tuple[str, str, Own, Guard | None], way: Way) -> Way:
        if len(self._ways) >= MOST_WAYS:
            del self._ways[next(iter(self._ways))]
        self._ways[key] = way
        return way

    def _tool_way(self, name: str, own: Own, of_tool: Guard | None) -> Way:
        chosen = self.tool_plan(name, own, of_tool)
        return Way(chosen, guard(chosen, self.around))

    def _model_way(self, ref: str, own: Own) -> Way:
        chosen = self.model_plan(ref, own)
        others = chosen.fallback.models if chosen.fallback is not None else ()
        return Way(chosen, guard(chosen, self.around, others={other: self.model_plan(other, own) for other in others}))


def _bounded(own: Own, *guards: tuple[str, Guard | None]) -> Plan:
    """What holds, with what the run and those above it may spend."""
    chosen = plan(*guards)
    return replace(chosen, budgets=(*chosen.budgets, *own.bounds)) if own.usd or own.within else chosen


def _without_cache(guard: Guard | None) -> Guard | None:
    """A guard that switches no cache on."""
    return replace(guard, cache=None) if guard is not None and guard.cache else guard

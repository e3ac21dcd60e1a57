"""Which policies hold for a call, and the way through the guard that they make."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from runwright.core.policy import DEFAULT_GUARD, LIMITS, Budget, Guard, GuardSettings, Plan, plan
from runwright.guard.call import Proceed
from runwright.guard.chain import Surroundings, guard

NO_PLAN = Plan()


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent and one of its runs set. `tokens` is the `limits.tokens` of the run."""

    agent: str = ""
    of_agent: Guard | None = None
    of_run: Guard | None = None
    tokens: int | None = None


class Way(msgspec.Struct, frozen=True, gc=False):
    """How calls of one kind are made: `proceed` makes them under `plan`."""

    plan: Plan
    proceed: Proceed[Any]


class Guards:
    """Ways through the guard. Made once for each model or tool of an agent; a run's own policies make another."""

    def __init__(self, around: Surroundings, settings: GuardSettings | None = None) -> None:
        self.around = around
        self._settings = settings or GuardSettings()
        self._ways: dict[tuple[str, str, str], tuple[Own, Guard | None, Way]] = {}
        self.bare = Way(NO_PLAN, guard(NO_PLAN, around))
        """For what needs no policies: a clock, a random number, memory."""

    def model(self, ref: str, own: Own) -> Way:
        """For calls of a model."""
        return self._way(("model", ref, own.agent), own, None)

    def tool(self, name: str, own: Own, of_tool: Guard | None = None) -> Way:
        """For calls of a tool that may have policies of its own."""
        return self._way(("tool", name, own.agent), own, of_tool)

    def model_plan(self, ref: str, own: Own) -> Plan:
        """The policies of a model's calls."""
        provider = ref.partition(":")[0]
        set_for = ref if ref in self._settings.models else f"{provider}:*"
        return plan(
            ("default", DEFAULT_GUARD),
            ("app", self._settings.app),
            (f"model:{set_for}", self._settings.models.get(set_for)),
            (f"agent:{own.agent}", own.of_agent),
            (LIMITS, None if own.tokens is None else Guard(budget=Budget(tokens=own.tokens))),
            ("run", own.of_run),
        )

    def tool_plan(self, name: str, own: Own, of_tool: Guard | None) -> Plan:
        """The policies of a tool's calls. What a tool reads is kept only where its agent, or it itself, says so."""
        app = self._settings.app
        return plan(
            ("default", DEFAULT_GUARD),
            ("app", None if app is None else replace(app, cache=None)),
            (f"agent:{own.agent}", own.of_agent),
            (f"tool:{name}", of_tool),
            (f"tool:{name}", self._settings.tools.get(name)),
            ("run", own.of_run),
        )

    def _way(self, key: tuple[str, str, str], own: Own, of_tool: Guard | None) -> Way:
        known = self._ways.get(key)
        if known is not None:
            made_for, with_tool, way = known
            is_same = made_for.of_agent is own.of_agent and made_for.of_run is own.of_run and with_tool is of_tool
            if is_same and made_for.tokens == own.tokens:
                return way
        way = self._tool_way(key[1], own, of_tool) if key[0] == "tool" else self._model_way(key[1], own)
        # A run's own policies are no other run's.
        if own.of_run is None:
            self._ways[key] = (own, of_tool, way)
        return way

    def _tool_way(self, name: str, own: Own, of_tool: Guard | None) -> Way:
        chosen = self.tool_plan(name, own, of_tool)
        return Way(chosen, guard(chosen, self.around))

    def _model_way(self, ref: str, own: Own) -> Way:
        chosen = self.model_plan(ref, own)
        others = chosen.fallback.models if chosen.fallback is not None else ()
        return Way(chosen, guard(chosen, self.around, others={other: self.model_plan(other, own) for other in others}))

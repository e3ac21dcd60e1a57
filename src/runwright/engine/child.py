"""Runs that other runs begin: a child is a step of its parent, and a run of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from runwright.core.agent import BuiltAgent, Limits
from runwright.core.ids import make_id
from runwright.core.need import NeedsRun
from runwright.core.run import Bound, Run, RunRequest
from runwright.engine.holding import Held
from runwright.errors import ChildEnded, ChildFailed, InvalidRequest, LimitExceeded, NotFound, RunError

DEPTH = 8
"""Runs above a run, at the most."""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is over, with its output if it is complete. `has_acted` says whether it, or one below it, did more
    than read.
    """

    run: Run
    output: bytes = b"null"
    has_acted: bool = False


class Runner(Protocol):
    """Begins runs and waits for them."""

    async def attach(self, request: RunRequest, *, parent: str) -> Ending | None:
        """Begin a run with the request's id, or find it, and wait while it is at work in this process.

        None when it is not over then: it waits, or another process has it. Raises what `Engine.submit` raises.
        """
        ...

    def abandon(self, run_id: str) -> None:
        """Cancel a run that nobody waits for any more."""
        ...


class _Nobody:
    """Runs nothing: steps are performed without an engine."""

    async def attach(self, request: RunRequest, *, parent: str) -> Ending | None:
        raise RunError(f"Nothing runs {request.agent!r} here.")

    def abandon(self, run_id: str) -> None:
        pass


NOBODY_RUNS: Runner = _Nobody()


class Finder(Protocol):
    """Finds agents."""

    def get(self, name: str, version: str | None = None) -> BuiltAgent:
        """An agent. Raises NotFound."""
        ...


def refuse_unknown(agent: BuiltAgent, agents: Finder) -> None:
    """Raise InvalidRequest when an agent names others that are not there, with every one of them."""
    problems: list[tuple[str, str]] = []
    for each in agent.flow.agents:
        try:
            agents.get(each.name, each.version)
        except NotFound as error:
            problems.append((f"/config{each.at}", error.message))
    if problems:
        told = "; ".join(f"{place}: {detail}" for place, detail in problems)
        raise InvalidRequest(f"{agent.name!r} names agents that are not there: {told}", problems=problems)


def named(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a child's step with the id of its run: the one they have, or one that is made now."""
    return arguments if "run" in arguments else {**arguments, "run": make_id("run")}


class Above(msgspec.Struct, frozen=True, kw_only=True):
    """A run that begins others, and what it and those above it allow."""

    run: Run
    limits: Limits
    within: tuple[Bound, ...] = ()

    def below(self) -> tuple[Bound, ...]:
        """What holds for a run that it begins. Raises LimitExceeded."""
        run, limits = self.run, self.limits
        own = Bound(run=run.id, agent=run.agent, depth=limits.depth, usd=limits.usd, tokens=limits.tokens)
        bounds = self.within if own == Bound(run=run.id, agent=run.agent) else (*self.within, own)
        spent = next((bound for bound in bounds if bound.depth == 0), None)
        if spent is not None:
            told = f"No run may be begun so deep below {spent.run} of {spent.agent!r}: raise its limits.depth."
            raise LimitExceeded(told)
        return tuple(replace(each, depth=None if each.depth is None else each.depth - 1) for each in bounds)


async def perform(runner: Runner, above: Above, arguments: Mapping[str, Any], *, step: int) -> bytes:
    """Have a child run, and give its output. Raises Held while it is not over, LimitExceeded and ChildFailed."""
    parent = above.run
    request = RunRequest(
        id=arguments["run"],
        agent=arguments["agent"],
        version=arguments.get("version"),
        input=msgspec.json.encode(arguments["input"]),
        mode="background" if parent.mode == "background" else "wait",
        group=parent.group,
        user=parent.user,
        parent_run_id=parent.id,
        root_run_id=parent.root_run_id or parent.id,
        within=above.below(),
    )
    outcome = await runner.attach(request, parent=parent.id)
    if outcome is None:
        raise Held(NeedsRun(step=step, run=arguments["run"]), request.agent)
    run = outcome.run
    if run.status == "completed":
        return outcome.output
    why = run.status if run.error is None else f"{run.error.code}: {run.error.message}"
    is_ended = outcome.has_acted or run.status == "cancelled"
    failure = ChildEnded if is_ended else ChildFailed
    raise failure(f"{run.id} of agent {run.agent!r} came to no result: {why}")

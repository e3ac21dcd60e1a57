"""`runwright guard`: how calls fare with resends, and how they would under other policies."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from runwright.cli.budgets import table as show_budgets
from runwright.cli.call import Called, Limit, Seq

if TYPE_CHECKING:
    from runwright.guard import LiveTarget
    from runwright.service.guard import Operation

Policies = Annotated[tuple[Path, ...], Parameter(consume_multiple=False, negative=(), show_default=False)]


async def stats(target: str | None = None, /, *, since: str = "7d", call: Called) -> None:
    """Count attempts, how calls ended, and how those ended that were sent again; show targets and budgets as they are.

    Args:
        target: A model, as `provider:name`, or a tool; all of them if left out.
        since: Calls that ended from the hour of then on: a day as 2026-11-01, or how long ago as 12h, 30d or 2w.
        call: What every command is handed.
    """
    from runwright.service.guard import GuardQuery

    async with call.open(is_reading=True) as access:
        report = await access.guard.report(GuardQuery(target=target, since=since))
    if call.out.is_json:
        call.out.json(report)
        return
    counts = ("attempts", "successes", "failures", "retried ok", "retried failed")
    rows = [_row(each) for each in report.data]
    columns = ("target", "kind", *counts, "rate", "retry rate")
    call.out.table(columns, [*rows, _row(report.total)] if rows else [])
    if report.live:
        call.out.text("")
        states = [(each.target, each.layer, each.state, _figures(each)) for each in report.live]
        call.out.table(("target", "part", "state", "figures"), states)
    if report.budgets:
        call.out.text("")
        show_budgets(call, report.budgets)


async def simulate(
    *,
    agent: str,
    policy: Policies = (),
    last: str = "7d",
    seed: Seq = 0,
    seeds: Limit | None = None,
    call: Called,
) -> None:
    """Say what other policies would have made of the calls that were recorded: success, cost, latency, load.

    Args:
        agent: Whose runs.
        policy: A TOML or YAML file with policies as under `guard:` of a definition, which they replace.
        last: Runs that began since then: a day as 2026-11-01, or how long ago as 12h, 30d or 2w.
        seed: What chance begins with; the same seed gives the same figures.
        seeds: How often each is simulated; by default 3 to 20 times, the more calls the fewer.
        call: What every command is handed.
    """
    from runwright.agents.load import load_guard
    from runwright.cli.simulations import progress, show
    from runwright.core.policy_reader import write_guard
    from runwright.service.simulation_views import NamedPolicies, SimulationQuery

    guards = [(path.stem, await asyncio.to_thread(load_guard, path)) for path in policy]
    policies = tuple(NamedPolicies(name=name, guard=write_guard(guard)) for name, guard in guards)
    query = SimulationQuery(agent=agent, policies=policies, last=last, seed=seed, seeds=seeds)
    async with call.open(is_reading=True) as access:
        with progress() as told:
            report = await access.simulations.report(query, told=told)
    call.out.show(report, lambda: show(report, call.out))


def _row(each: Operation) -> tuple[object, ...]:
    counts = (each.attempts, each.successes, each.failures, each.retried_successes, each.retried_failures)
    rates = (_percent(each.success_rate), _percent(each.retry_success_rate))
    return (each.target or "total", each.kind or "-", *counts, *rates)


def _figures(live: LiveTarget) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in live.figures.items())


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"

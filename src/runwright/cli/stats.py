"""`runwright stats`: what happened, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runwright.cli.call import Called
from runwright.cli.costs import UNPRICED
from runwright.core.stats import StatKey, StatKind

if TYPE_CHECKING:
    from runwright.service.stat_views import StatGroup


async def stats(
    *,
    by: StatKey = "day",
    kind: StatKind = "model",
    since: str = "30d",
    until: str | None = None,
    agent: str | None = None,
    template: str | None = None,
    call: Called,
) -> None:
    """Count what ended: calls, errors, tokens, cost, and how long half of them and 19 of 20 took at the most.

    Args:
        by: What to count by.
        kind: Count runs, model calls or tool calls; by model and by tool it goes without saying.
        since: From this hour on: a day as 2026-11-01, or how long ago as 12h, 30d or 2w.
        until: Until before this hour.
        agent: Of this agent only.
        template: Of the agents that are made from this template.
        call: What every command is handed.
    """
    from runwright.service.stat_views import StatQuery

    query = StatQuery(by=by, kind=kind, since=since, until=until, agent=agent, template=template)
    async with call.open(has_agents=False, is_reading=True) as access:
        report = await access.stats.report(query)
    if call.out.is_json:
        call.out.json(report)
        return
    columns = (report.by, "calls", "errors", "p50", "p95", "input", "output", "usd", "unpriced")
    rows = [_row(group, group.key or "-") for group in report.data]
    call.out.table(columns, [*rows, _row(report.total, "total")] if rows else [])
    if report.is_cut:
        call.out.note(f"Only the newest runs were read: those since {report.since:%Y-%m-%d %H:%M} UTC.")


def _row(group: StatGroup, key: str) -> tuple[object, ...]:
    usage = group.usage
    took = (_duration(group.p50_s), _duration(group.p95_s))
    tokens = (usage.input_tokens, usage.output_tokens)
    return (key, group.calls, group.errors, *took, *tokens, group.usd or UNPRICED, group.unpriced_calls)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"

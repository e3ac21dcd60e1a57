"""`runwright errors`: what failed, grouped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runwright.cli.call import Called

if TYPE_CHECKING:
    from runwright.service.error_views import ErrorGroup, ErrorReport

SHOWN = 100
"""Characters of a message in the table."""


async def errors(
    *,
    since: str = "7d",
    until: str | None = None,
    agent: str | None = None,
    template: str | None = None,
    code: str | None = None,
    call: Called,
) -> None:
    """Group what failed: the same fault of an agent is one line, with how often, since when, and its newest run.

    Args:
        since: Runs that began from this hour on: a day as 2026-11-01, or how long ago as 12h, 30d or 2w.
        until: Until before this hour.
        agent: Of this agent only.
        template: Of the agents that are made from this template.
        code: With this code of error only.
        call: What every command is handed.
    """
    from runwright.service.error_views import ErrorQuery

    query = ErrorQuery(since=since, until=until, agent=agent, template=template, code=code)
    async with call.open(has_agents=False, is_reading=True) as access:
        report = await access.stats.errors(query)
    call.out.show(report, lambda: _print(call, report))


def _print(call: Called, report: ErrorReport) -> None:
    columns = ("count", "agent", "code", "message", "first", "last", "newest run", "step")
    call.out.table(columns, [_row(group) for group in report.data])
    if not report.data:
        call.out.note("Nothing failed.")
    if report.more:
        call.out.note(f"{report.more} further kinds of errors are left out: choose an agent or a code.")
    if report.is_cut:
        call.out.note(f"Only the newest failed runs were read: those since {report.since:%Y-%m-%d %H:%M} UTC.")


def _row(group: ErrorGroup) -> tuple[object, ...]:
    message = group.message if len(group.message) <= SHOWN else group.message[: SHOWN - 1] + "…"
    times = (f"{group.first_at:%Y-%m-%d %H:%M}", f"{group.last_at:%Y-%m-%d %H:%M}")
    step = "" if group.newest.step is None else group.newest.step
    return (group.count, group.agent, group.code, message, *times, group.newest.run_id, step)

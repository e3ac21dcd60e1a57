"""`runwright calls`: the single calls behind the sums of costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runwright.cli.call import Called, Limit
from runwright.cli.costs import UNPRICED
from runwright.core.cost import CallOrder, Unlabelled

if TYPE_CHECKING:
    from runwright.service.call_views import CallView

COLUMNS = ("ended", "run", "step", "agent", "name", "input", "output", "usd")


async def calls(
    *,
    since: str = "30d",
    until: str | None = None,
    agent: str | None = None,
    model: str | None = None,
    group: str | None = None,
    user: str | None = None,
    without: Unlabelled | None = None,
    order: CallOrder = "dearest",
    after: str | None = None,
    limit: Limit = 20,
    call: Called,
) -> None:
    """List single calls with what they cost. Those that are unpriced come after the cheapest.

    Args:
        since: Calls that ended from then on: a day as 2026-11-01, or how long ago as 12h, 30d or 2w.
        until: Calls that ended before then.
        agent: Of this agent only.
        model: Of this model, or this tool that spent something, only.
        group: Of runs with this label only.
        user: Of runs for this user only.
        without: Of runs without a group, or without a user, only.
        order: The dearest or the newest first.
        after: What the page before names as next.
        limit: Calls on a page.
        call: What every command is handed.
    """
    from runwright.service.call_views import CallQuery

    query = CallQuery(
        since=since,
        until=until,
        agent=agent,
        model=model,
        group=group,
        user=user,
        without=without,
        order=order,
        after=after,
        limit=limit,
    )
    async with call.open(has_agents=False, is_reading=True) as access:
        page = await access.costs.calls(query)
    if call.out.is_json:
        call.out.json(page)
        return
    call.out.table(COLUMNS, [_row(view) for view in page.data])
    if page.has_more:
        call.out.note(f"There are more: --after {page.next}")


def _row(view: CallView) -> tuple[object, ...]:
    ended, usage = f"{view.at:%Y-%m-%d %H:%M:%S}", view.usage
    spent = view.cost.usd or UNPRICED
    return (ended, view.run_id, view.step, view.agent, view.name, usage.input_tokens, usage.output_tokens, spent)

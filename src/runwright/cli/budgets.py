"""`runwright budgets`: how budgets stand, and how they are raised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runwright.cli.call import Called

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runwright.cli.call import Call
    from runwright.service.budgets import BudgetView

COLUMNS = ("account", "unit", "limit", "spent", "reserved", "left", "at limit", "until")


async def ls(*, call: Called) -> None:
    """List the accounts in force: limit, spent, reserved, left, and when the window ends.

    Args:
        call: What every command is handed.
    """
    async with call.open(is_reading=True) as access:
        page = await access.budgets.find()
    _show(call, page.data)


async def raise_(
    account: str, /, *, usd: str | None = None, tokens: int | None = None, calls: int | None = None, call: Called
) -> None:
    """Raise an account, for its window alone. Runs that wait for it go on, at once where a server runs.

    Args:
        account: The account, as `runwright budgets ls` shows it.
        usd: Up to so many USD in all.
        tokens: Up to so many tokens in all.
        calls: Up to so many calls in all.
        call: What every command is handed.
    """
    from runwright.service.budgets import RaiseBody

    body = RaiseBody(account=account, usd=usd, tokens=tokens, calls=calls)
    async with call.open() as access:
        page = await access.budgets.raise_to(body)
    _show(call, page.data)


def _show(call: Call, views: Sequence[BudgetView]) -> None:
    if call.out.is_json:
        call.out.json({"data": views})
        return
    table(call, views)


def table(call: Call, views: Sequence[BudgetView]) -> None:
    """Print how accounts stand."""
    rows = [
        (view.account, view.unit, view.limit, view.spent, view.reserved, view.left, view.at_limit, view.until or "-")
        for view in views
    ]
    call.out.table(COLUMNS, rows)

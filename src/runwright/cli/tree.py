"""A run and the runs that it began, as a tree."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from runwright.cli.access import RunAccess
from runwright.cli.output import Output
from runwright.core.ports import RunFilter
from runwright.core.usage import NO_USAGE
from runwright.service.views import RunView

SHOWN = 200
"""Runs of a tree that are shown."""


async def runs_below(runs: RunAccess, top: RunView) -> list[tuple[int, RunView]]:
    """A run and those below it, each with its depth, children in the order in which they began."""
    found: list[tuple[int, RunView]] = []
    left = [(0, top)]
    while left and len(found) < SHOWN:
        depth, view = left.pop()
        found.append((depth, view))
        page = await runs.find(RunFilter(parent_run_id=view.id, limit=SHOWN))
        # Newest first, as a stack wants it.
        left += [(depth + 1, child) for child in page.data]
    return found


def print_tree(out: Output, found: Sequence[tuple[int, RunView]]) -> None:
    """Print runs with what each took itself, and the sum."""
    rows: list[tuple[object, ...]] = []
    usage = NO_USAGE
    total: Decimal | None = Decimal(0)
    for depth, view in found:
        usage += view.usage
        total = None if total is None or view.cost.usd is None else total + Decimal(view.cost.usd)
        status = view.status if view.reason is None else f"{view.status} ({view.reason})"
        usd = view.cost.usd or "unpriced"
        rows.append((f"{'  ' * depth}{view.agent}", view.id, status, view.usage.total_tokens, usd))
    rows.append((f"{len(found)} runs", "", "", usage.total_tokens, "unpriced" if total is None else str(total)))
    out.text("")
    out.table(("agent", "run", "status", "tokens", "usd"), rows)

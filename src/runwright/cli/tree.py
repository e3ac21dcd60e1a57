"""A run and the runs that it began, as a tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import reduce

import msgspec

from runwright.cli.access import RunAccess
from runwright.cli.output import Output
from runwright.core.ports import RunFilter
from runwright.core.usage import NO_USAGE, Usage
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


def standing(view: RunView) -> str:
    """The status of a run, with what it waits for, or that its process is gone."""
    more = "lost" if view.is_lost else view.reason
    return view.status if more is None else f"{view.status} ({more})"


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What runs took together; `usd` is None where one of them is unpriced."""

    usage: Usage = NO_USAGE
    usd: Decimal | None = Decimal(0)

    def __add__(self, view: RunView) -> Taken:
        """With another run."""
        more = None if view.cost.usd is None else Decimal(view.cost.usd)
        usd = None if self.usd is None or more is None else self.usd + more
        return Taken(usage=self.usage + view.usage, usd=usd)

    @property
    def cells(self) -> tuple[object, str]:
        """Tokens and US dollars, for a table."""
        return self.usage.total_tokens, "unpriced" if self.usd is None else str(self.usd)

    @property
    def words(self) -> str:
        """Tokens and US dollars, for a sentence."""
        cost = "unpriced" if self.usd is None else f"${self.usd}"
        return f"{self.usage.input_tokens} + {self.usage.output_tokens} tokens, {cost}"


def taken(found: Sequence[tuple[int, RunView]]) -> Taken:
    """What the runs of a tree took together."""
    return reduce(lambda sum, each: sum + each[1], found, Taken())


def subtrees(found: Sequence[tuple[int, RunView]]) -> Iterator[Sequence[tuple[int, RunView]]]:
    """For each run of a tree the part of it that begins there."""
    for start, (depth, _) in enumerate(found):
        end = next((at for at in range(start + 1, len(found)) if found[at][0] <= depth), len(found))
        yield found[start:end]


def print_tree(out: Output, found: Sequence[tuple[int, RunView]]) -> None:
    """Print runs with what each took itself, and the sum."""
    rows: list[tuple[object, ...]] = []
    for depth, view in found:
        rows.append((f"{'  ' * depth}{view.agent}", view.id, standing(view), *(Taken() + view).cells))
    rows.append((f"{len(found)} runs", "", "", *taken(found).cells))
    out.text("")
    out.table(("agent", "run", "status", "tokens", "usd"), rows)

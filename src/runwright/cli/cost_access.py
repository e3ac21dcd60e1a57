"""What commands reach of costs and budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from runwright.service.budgets import BudgetView, RaiseBody
    from runwright.service.call_views import CallQuery, CallView
    from runwright.service.views import CostQuery, CostReport, Page, RunCost


class CostAccess(Protocol):
    """What commands ask about costs."""

    async def report(self, query: CostQuery) -> CostReport:
        """What calls cost, or would cost."""
        ...

    async def calls(self, query: CallQuery) -> Page[CallView]:
        """Single calls, the dearest or newest first."""
        ...

    async def run(self, run_id: str) -> RunCost:
        """What a run cost, step by step."""
        ...


class BudgetAccess(Protocol):
    """What commands ask about budgets."""

    async def find(self) -> Page[BudgetView]:
        """The accounts in force."""
        ...

    async def raise_to(self, body: RaiseBody) -> Page[BudgetView]:
        """Raise an account."""
        ...

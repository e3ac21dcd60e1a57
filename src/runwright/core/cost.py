"""What calls cost, summed up."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from runwright.core.money import NO_COST, Cost
from runwright.core.usage import NO_USAGE, Usage

CostBy = Literal["agent", "model", "day", "group", "user"]


class CostFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls to sum up: those that ended from `since` until before `until`, of runs of an agent."""

    since: datetime | None = None
    until: datetime | None = None
    agent: str | None = None


class CostRow(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one key: an agent, a model, a day as `2026-12-31`, a group or a user; None for runs without one.

    A tool that spent something stands by its name among the models. `nano_usd` is the cost of those calls that are
    priced.
    """

    key: str | None
    calls: int = 0
    unpriced_calls: int = 0
    nano_usd: int = 0
    usage: Usage = NO_USAGE


class CostCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call that ended at a time: of the model `ref`, or of a tool that spent something, without one."""

    key: str | None
    ref: str | None
    at: datetime
    usage: Usage
    cost: Cost = NO_COST

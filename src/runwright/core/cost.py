"""What calls cost, summed up."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from runwright.core.labels import Number
from runwright.core.money import NO_COST, Cost
from runwright.core.step import Step
from runwright.core.usage import NO_USAGE, Usage

CostBy = Literal["agent", "model", "day", "group", "user"]
CostKey = Literal["agent", "template", "model", "day", "group", "user"]
CallOrder = Literal["dearest", "newest"]
Unlabelled = Literal["group", "user"]


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


class CallPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a call stands in a list of calls, whichever its order; `nano_usd` is None for one without a price."""

    nano_usd: Number | None
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    run_id: str
    seq: Number


class CallFilter(CostFilter, frozen=True, kw_only=True):
    """Which calls to list: of the model or tool `name`, of runs of a `group` or `user`, or `without` one; those that
    come `after` a place.
    """

    name: str | None = None
    group: str | None = None
    user: str | None = None
    without: Unlabelled | None = None
    order: CallOrder = "dearest"
    after: CallPlace | None = None
    limit: int = 50


class ChargedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A step that may have cost something, and whose run it is of."""

    step: Step
    agent: str
    group: str | None
    user: str | None

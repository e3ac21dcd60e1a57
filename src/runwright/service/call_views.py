"""The shapes of calls that cost something."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from runwright.core.cost import CallOrder, ChargedCall, Unlabelled
from runwright.core.labels import Label
from runwright.core.step import StepKind, StepStatus
from runwright.core.usage import Usage
from runwright.service.views import CostView, cost_view

Limit = Annotated[int, msgspec.Meta(ge=1, le=500)]


class CallQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which calls to list: those that ended from `since` until before `until`, each a time (`2026-11-01`) or how long
    ago, from the beginning of that hour. `model` is that of the calls, or the tool that spent something.

    `without` are calls of runs without a group or user. `after` is what `next` was on the page before.
    """

    since: str = "30d"
    until: str | None = None
    agent: Label | None = None
    model: Label | None = None
    group: Label | None = None
    user: Label | None = None
    without: Unlabelled | None = None
    order: CallOrder = "dearest"
    after: str | None = None
    limit: Limit = 50


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """A call that ended `at` a time: the step of a run that asked a model, or of a tool that spent something."""

    object: Literal["call"] = "call"
    run_id: str
    step: int
    agent: str
    group: str | None = None
    user: str | None = None
    kind: StepKind
    name: str
    status: StepStatus
    at: datetime
    usage: Usage
    cost: CostView


def call_view(call: ChargedCall) -> CallView:
    """The view of a call."""
    step = call.step
    return CallView(
        run_id=step.run_id,
        step=step.seq,
        agent=call.agent,
        group=call.group,
        user=call.user,
        kind=step.kind,
        name=step.name,
        status=step.status,
        at=step.ended_at or step.started_at,
        usage=step.usage,
        cost=cost_view(step.cost),
    )

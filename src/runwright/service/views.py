"""The shapes that callers see."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Generic, Literal, TypeVar

import msgspec

from runwright.core.cost import CostKey
from runwright.core.event import NULL, GuardDecided, RunCompleted
from runwright.core.labels import Label, Note, Number
from runwright.core.money import Cost
from runwright.core.run import ErrorInfo, Run, RunMode, RunStatus, WaitReason
from runwright.core.step import Effect, Resolved, Step, StepKind, StepStatus
from runwright.core.usage import Usage

Item = TypeVar("Item")

# Classes here have a field called `object`, which hides the type of that name from their own annotations.
JsonObject = dict[str, object]


class Page(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """One page of a list: `next` is the value of `after` for the page that follows, None on the last page."""

    data: Sequence[Item]
    has_more: bool = False
    next: str | None = None


class CostView(msgspec.Struct, frozen=True, kw_only=True):
    """A cost: `usd` is a decimal string, None when unpriced; `source` says where the price comes from."""

    usd: str | None
    source: str


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run as callers see it. `input` and `output` are JSON; `last_seq` is the number of the newest stored event.

    `is_lost` says that the process of a run which is to be at work is gone; a server takes it up when it is started.

    `finish_reason` says how the model ended the answer that is the output, for example `length` when it was cut.
    """

    id: str
    object: Literal["run"] = "run"
    agent: str
    version: str
    status: RunStatus
    reason: WaitReason | None = None
    is_lost: bool = False
    mode: RunMode
    thread_id: str | None = None
    parent_run_id: str | None = None
    root_run_id: str | None = None
    replay_of: str | None = None
    tainted: tuple[str, ...] = ()
    group: str | None = None
    user: str | None = None
    tags: Sequence[str] = ()
    metadata: dict[str, str] = {}
    input: msgspec.Raw = NULL
    output: msgspec.Raw = NULL
    finish_reason: str | None = None
    error: ErrorInfo | None = None
    usage: Usage
    cost: CostView
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    last_seq: int = 0


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """A step as callers see it. `request` and `result` are JSON: a model step's request holds all its messages.

    `taped` is the number of the step of the replayed run that gave the answer. `decisions` are what the guard did with
    the step's call, in order.
    """

    run_id: str
    seq: int
    object: Literal["step"] = "step"
    lane: str
    kind: StepKind
    name: str
    key: str
    nth: int
    effect: Effect
    status: StepStatus
    attempt: int
    request: msgspec.Raw = NULL
    result: msgspec.Raw = NULL
    error: ErrorInfo | None = None
    usage: Usage
    cost: CostView
    started_at: datetime
    ended_at: datetime | None = None
    taped: int | None = None
    decisions: Sequence[GuardDecided] = ()


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a step with an unknown outcome: done (with this result), retry, or fail.

    Or what is to become of one that is held: approve (with these arguments, if they are others), deny, or answer (with
    this result).
    """

    action: Resolved
    step: Number | None = None
    result: msgspec.Raw = NULL
    arguments: msgspec.Raw = NULL
    by: Label = ""
    note: Note = ""


class ToolView(msgspec.Struct, frozen=True, kw_only=True):
    """A tool as callers see it. `parameters` is a JSON Schema object."""

    name: str
    description: str
    effect: Effect
    parameters: JsonObject


class AgentView(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as callers see it. `definition` is what a PUT takes; only agents of source `api` can be changed.

    `template_version` is what the agent was built from, null where it is not known any more.
    """

    name: str
    object: Literal["agent"] = "agent"
    version: str
    template: str
    template_version: str | None = None
    description: str
    source: str
    place: str | None = None
    is_active: bool = True
    fingerprint: str
    definition: JsonObject
    tools: Sequence[ToolView] = ()
    created_at: datetime | None = None


class AgentSchema(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON Schemas of what an agent takes and gives."""

    agent: str
    version: str
    input: JsonObject
    output: JsonObject


class TemplateView(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a template as callers see it. `schema` is the JSON Schema of its configuration.

    `missing` is what it requires and does not find here; `migrations` are the versions that steps lead to.
    """

    name: str
    object: Literal["template"] = "template"
    version: str
    description: str
    place: str
    is_newest: bool
    requires: dict[str, list[str]]
    missing: list[str]
    migrations: list[str]
    schema: JsonObject


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a body: an RFC 6901 pointer into it, and what would be right."""

    pointer: str
    detail: str


class CostQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to sum up: calls that ended from `since` until before `until`, each a time (`2026-11-01`) or how long ago,
    from the beginning of that hour.

    `on_model` and `prices` (a text like that of a file of prices) ask what the same calls would have cost.
    """

    by: CostKey = "model"
    since: str | None = None
    until: str | None = None
    agent: Label | None = None
    on_model: Label | None = None
    prices: str | None = None


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """What calls would have cost. `difference_usd` compares those that are priced both as recorded and here."""

    usd: str | None
    unpriced_calls: int
    difference_usd: str


class CostGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of one agent, template, model, day, group or user; `key` is None for runs without one, for agents whose
    template nobody knows any more, and for all in all.

    A tool that spent something stands by its name among the models. `usd` is what those calls cost that are priced,
    None when none of them is.
    """

    key: str | None
    calls: int
    unpriced_calls: int
    usd: str | None
    usage: Usage
    what_if: WhatIf | None = None


class CostReport(msgspec.Struct, frozen=True, kw_only=True):
    """What calls cost, by what was asked for, and in all."""

    object: Literal["cost_report"] = "cost_report"
    by: CostKey
    since: datetime | None
    until: datetime | None
    data: Sequence[CostGroup]
    total: CostGroup


class CostLineView(msgspec.Struct, frozen=True, kw_only=True):
    """What a quantity of one unit of `ref` cost: `unit_price_usd` is per million units, None when unpriced."""

    ref: str
    unit: str
    quantity: int | Decimal
    unit_price_usd: str | None = None
    amount_usd: str | None = None
    source: str
    version: str = ""


class StepCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a step cost, line by line. What a tape answered (`is_taped`) was not spent again."""

    step: int
    kind: StepKind
    name: str
    cost: CostView
    lines: Sequence[CostLineView]
    is_taped: bool = False


class RunCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a run cost: its own steps, without those of child runs, which have costs of their own."""

    object: Literal["run_cost"] = "run_cost"
    run_id: str
    cost: CostView
    steps: Sequence[StepCost]


def cost_view(cost: Cost) -> CostView:
    """The view of a cost."""
    return CostView(usd=cost.usd, source=cost.source)


def run_view(run: Run, *, input: bytes = b"null", end: RunCompleted | None = None, is_lost: bool = False) -> RunView:
    """The view of a run with its input as JSON text, and with its output when it is complete."""
    return RunView(
        id=run.id,
        agent=run.agent,
        version=run.version,
        status=run.status,
        reason=run.reason,
        is_lost=is_lost,
        mode=run.mode,
        thread_id=run.thread_id,
        parent_run_id=run.parent_run_id,
        root_run_id=run.root_run_id,
        replay_of=run.replay_of,
        tainted=run.tainted,
        group=run.group,
        user=run.user,
        tags=run.tags,
        metadata=run.metadata,
        input=msgspec.Raw(input),
        output=NULL if end is None else end.output,
        finish_reason=None if end is None else end.finish_reason or None,
        error=run.error,
        usage=run.usage,
        cost=cost_view(run.cost),
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        last_seq=run.last_seq,
    )


def step_view(
    step: Step, *, request: bytes = b"null", result: bytes = b"null", decisions: Sequence[GuardDecided] = ()
) -> StepView:
    """The view of a step with its request and result as JSON text."""
    return StepView(
        run_id=step.run_id,
        seq=step.seq,
        lane=step.lane,
        kind=step.kind,
        name=step.name,
        key=step.key,
        nth=step.nth,
        effect=step.effect,
        status=step.status,
        attempt=step.attempt,
        request=msgspec.Raw(request),
        result=msgspec.Raw(result),
        error=step.error,
        usage=step.usage,
        cost=cost_view(step.cost),
        started_at=step.started_at,
        ended_at=step.ended_at,
        taped=step.taped,
        decisions=decisions,
    )

"""A step: one effect of a run on the world outside its own code."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from runwright.core.budget import Spend
from runwright.core.money import NO_COST, Cost
from runwright.core.run import ErrorInfo
from runwright.core.usage import NO_USAGE, Usage

StepKind = Literal["model", "tool", "sleep", "clock", "random", "id", "http", "memory", "env", "input", "child"]
StepStatus = Literal["running", "completed", "failed", "unknown"]
Effect = Literal["read", "idempotent", "once"]

Resolved = Literal["done", "retry", "fail", "approve", "deny", "answer"]
"""What a person says of a step: the first three of one whose outcome is unknown, the others of one that is held."""

SUPERSEDED = "superseded"
"""The code of a model step that was in flight when the process died, and that another request took the place of."""


class StepKey(msgspec.Struct, frozen=True, gc=False):
    """What a step is matched by: lane, kind, key of its canonical request, and which occurrence of that it is."""

    lane: str
    kind: StepKind
    key: str
    nth: int


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The row of a step. `seq` is the number of its `step.started` event and names the step within its run.

    Request and result stand in the events `seq` and `end_seq`. `taped` is the number of the step of the replayed run
    that gave the answer. `reserves` is what one with budgets may use. `decided` are the guard's decisions, each once:
    layer and action, as in `cache hit`.
    """

    run_id: str
    seq: int
    lane: str
    kind: StepKind
    name: str
    key: str
    nth: int
    effect: Effect
    status: StepStatus
    started_at: datetime
    attempt: int = 1
    end_seq: int | None = None
    ended_at: datetime | None = None
    error: ErrorInfo | None = None
    usage: Usage = NO_USAGE
    cost: Cost = NO_COST
    taped: int | None = None
    reserves: Spend | None = None
    decided: tuple[str, ...] = ()

    @property
    def match(self) -> StepKey:
        """The key for matching against a tape."""
        return StepKey(self.lane, self.kind, self.key, self.nth)

    @property
    def may_have_acted(self) -> bool:
        """Whether nobody knows what became of it if its process is gone, while it is open."""
        return may_have_acted(self.effect, self.attempt)

    @property
    def is_over(self) -> bool:
        """Whether the step ended and its outcome is known."""
        return self.status in {"completed", "failed"}


def first_attempt(effect: Effect, *, is_held: bool) -> int:
    """The attempt that a step begins with."""
    return held_attempt(effect, 1) if is_held else 1


def held_attempt(effect: Effect, attempt: int) -> int:
    """The attempt of a step that is held: none of a `once` tool, which can only be held before it was sent."""
    return 0 if effect == "once" else attempt


def may_have_acted(effect: Effect, attempt: int) -> bool:
    """Whether nobody knows what became of an open step when its process is gone."""
    return effect == "once" and attempt > 0

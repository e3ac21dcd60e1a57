"""What happened, counted: by time, by what did it, and by who asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from runwright.core.run import ErrorInfo
from runwright.core.usage import NO_USAGE, Usage

StatBy = Literal["hour", "day", "agent", "model", "tool"]
"""What roll-ups tell apart."""

CallerBy = Literal["user", "group"]
"""What runs alone tell: roll-ups would be as long as they are."""

StatKey = Literal["hour", "day", "agent", "template", "user", "group", "model", "tool"]
StatKind = Literal["run", "model", "tool"]
CallKind = Literal["model", "tool", "http"]
"""Kinds of step that the guard's policies are for."""


class StatFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What to count: runs, model calls or tool calls that ended in whole hours from `since` until before `until`, of
    these agents where some are named.
    """

    kind: StatKind = "model"
    since: datetime | None = None
    until: datetime | None = None
    agents: Sequence[str] | None = None


class StatRow(msgspec.Struct, frozen=True, kw_only=True):
    """What ended under one key: an hour as `2026-12-31T23`, a day, an agent, a model or a tool; a user or a group, None
    for runs without one.

    `latency` is a histogram of durations (see `core/histogram.py`); `nano_usd` is the cost of those that are priced.
    """

    key: str | None
    calls: int
    errors: int
    unpriced: int
    nano_usd: int
    latency: int
    usage: Usage = NO_USAGE


class CallerRows(msgspec.Struct, frozen=True, kw_only=True):
    """Runs by who asked for them. `cut` is when the oldest that was read began, where older ones were left out."""

    rows: Sequence[StatRow]
    cut: datetime | None = None


class FailedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that failed, with the beginning of what it failed of."""

    id: str
    agent: str
    version: str
    at: datetime
    error: ErrorInfo


class FailedRuns(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that failed, the newest first. `cut` is when the oldest that was read began, where older ones were left
    out.
    """

    runs: Sequence[FailedRun]
    cut: datetime | None = None


class OutcomeRow(msgspec.Struct, frozen=True, kw_only=True):
    """How the calls of one model or tool ended; `retried_` are those that were begun more than once."""

    kind: CallKind
    target: str
    attempts: int
    successes: int
    failures: int
    retried_successes: int
    retried_failures: int

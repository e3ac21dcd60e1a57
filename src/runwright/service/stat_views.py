"""The shapes of stats."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from runwright.core.labels import Label
from runwright.core.stats import StatKey, StatKind
from runwright.core.usage import Usage


class StatQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to count: what ended in the hours from `since` until before `until`, each a time or how long ago.

    `kind` is taken for runs, or for calls of models or tools; by model and by tool it goes without saying, and by user
    and by group there are runs, by when they began. `template` takes the agents that are made from it, in whichever
    version.
    """

    by: StatKey = "day"
    kind: StatKind = "model"
    since: str | None = "30d"
    until: str | None = None
    agent: Label | None = None
    template: Label | None = None


class StatGroup(msgspec.Struct, frozen=True, kw_only=True):
    """What ended under one key; `key` is None for all in all, for agents whose template nobody knows any more, and for
    runs without a user or group.

    `p50_s` and `p95_s` are durations that half, and 19 of 20, stay below, right within 7 %. `usd` is what those calls
    cost that are priced, None when none of them is.
    """

    key: str | None
    calls: int
    errors: int
    p50_s: float | None
    p95_s: float | None
    usd: str | None
    unpriced_calls: int
    usage: Usage


class StatReport(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, by what was asked for, and in all. `since` and `until` are whole hours.

    By user and by group the newest 10,000 runs are read: `is_cut` says that there are older ones than `since`.
    """

    object: Literal["stat_report"] = "stat_report"
    by: StatKey
    kind: StatKind
    since: datetime | None
    until: datetime | None
    data: Sequence[StatGroup]
    total: StatGroup
    is_cut: bool = False

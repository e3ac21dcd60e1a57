"""The shapes of what failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from runwright.core.labels import Label


class ErrorQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which failed runs to group: those that began from `since` until before `until`, each a time or how long ago; of
    an agent, of the agents of a template, or of one code.
    """

    since: str | None = "7d"
    until: str | None = None
    agent: Label | None = None
    template: Label | None = None
    code: Label | None = None


class ErrorExample(msgspec.Struct, frozen=True, kw_only=True):
    """A run that failed so; `step` is the number of the step that its error came from, `message` its beginning."""

    run_id: str
    version: str
    step: int | None
    message: str
    at: datetime


class ErrorGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Runs of an agent that failed of the same: `message` is what their errors say, without what differs.

    `newest` is the last of them, and `runs` are the ids of the newest ten.
    """

    agent: str
    code: str
    message: str
    retryable: bool
    count: int
    first_at: datetime
    last_at: datetime
    newest: ErrorExample
    runs: Sequence[str]


class ErrorReport(msgspec.Struct, frozen=True, kw_only=True):
    """What failed, the most frequent first. `total` counts the runs, also those of groups that are left out (`more`).

    The newest 5,000 failed runs are read: `is_cut` says that there are older ones than `since`.
    """

    object: Literal["error_report"] = "error_report"
    since: datetime | None
    until: datetime | None
    data: Sequence[ErrorGroup]
    total: int
    more: int = 0
    is_cut: bool = False

"""What failed, grouped: the same fault of an agent is one, whatever the numbers and names in its words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runwright.core.stats import FailedRun
from runwright.service.error_views import ErrorExample, ErrorGroup

NEWEST = 5_000
"""Rows of failed runs that are read."""

GROUPS = 200
RUNS = 10
SHOWN = 300
"""Characters of a message that stand in a group."""

_FOLDS = (
    (re.compile(r"\s+"), " "),
    (re.compile(r"""(?<!\w)(?:"[^"]{1,300}"|'[^']{1,300}'|`[^`]{1,300}`)(?!\w)"""), "'…'"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "…"),
    (re.compile(r"\b([a-z]{1,10}_)(?=[a-z]*\d)[0-9a-zA-Z]{8,}\b"), r"\1…"),
    (re.compile(r"\b(?=[a-f]*\d)[0-9a-f]{8,}\b", re.IGNORECASE), "…"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "#"),
)
"""What differs from one fault to the next of its kind: spaces, quoted values, ids, numbers."""


def folded(message: str) -> str:
    """A message without what differs from one fault to the next of its kind."""
    for pattern, by in _FOLDS:
        message = pattern.sub(by, message)
    return message.strip()[:SHOWN]


def grouped(runs: Sequence[FailedRun]) -> list[ErrorGroup]:
    """Runs, the newest first, by their agent, code and folded message; the most frequent group first."""
    found: dict[tuple[str, str, str], list[FailedRun]] = {}
    for run in runs:
        found.setdefault((run.agent, run.error.code, folded(run.error.message)), []).append(run)
    groups = [_group(message, of) for (_, _, message), of in found.items()]
    # The order of equally frequent ones stays: the newest first.
    return sorted(groups, key=lambda each: each.count, reverse=True)


def _group(message: str, runs: Sequence[FailedRun]) -> ErrorGroup:
    newest = runs[0]
    return ErrorGroup(
        agent=newest.agent,
        code=newest.error.code,
        message=message,
        retryable=newest.error.retryable,
        count=len(runs),
        first_at=min(run.at for run in runs),
        last_at=max(run.at for run in runs),
        newest=ErrorExample(
            run_id=newest.id,
            version=newest.version,
            step=newest.error.step,
            message=newest.error.message,
            at=newest.at,
        ),
        runs=[run.id for run in runs[:RUNS]],
    )

"""What came of a replay: whether it is the same as the run that it replays, and if not, where it differs first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from runwright.core.event import Event, ReplayDiverged
from runwright.journal.diff import Measure, RunDiff, StepDiff
from runwright.service.views import RunView

Outcome = Literal["same", "changed", "diverged"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a replay.

    `same`: same steps, same output. `changed`: it came to its end, and something differs. `diverged`: it asked for
    what was not recorded. `detail` says where it differs first, `difference` shows it as a unified diff, and `delta`
    is what the replay took less what the recorded run did.
    """

    run_id: str
    replay_of: str
    verdict: Outcome
    detail: str = ""
    difference: str = ""
    steps: int
    delta: Measure


def judge(view: RunView, diff: RunDiff, events: Iterable[Event]) -> Verdict:
    """The verdict on a replay that is over or waits, from its diff and its events."""
    found = next((event.data for event in events if isinstance(event.data, ReplayDiverged)), None)
    verdict: Outcome = "same" if diff.is_same else "changed"
    detail, difference = ("", "") if diff.is_same else _first(diff)
    step = diff.divergence
    if view.error is not None and step is not None and step.mark == "only_left":
        # What it did not come to says nothing of why.
        detail, difference = f"It failed before {_place(step)}: {view.error.code}: {view.error.message}", ""
    if found is not None:
        verdict, detail, difference = "diverged", found.detail, found.difference
    return Verdict(
        run_id=view.id,
        replay_of=view.replay_of or "",
        verdict=verdict,
        detail=detail,
        difference=difference,
        steps=diff.right.steps,
        delta=diff.delta,
    )


def _first(diff: RunDiff) -> tuple[str, str]:
    """Where two runs differ first, and how."""
    step = diff.divergence
    changes = diff.changes if step is None else step.changes
    difference = "\n".join(change.text for change in changes)
    if step is None:
        what = " and ".join(change.what for change in changes) or "status"
        return f"The steps are the same; {what} differs.", difference
    how = {
        "changed_request": "was asked something else",
        "changed_result": "gave something else",
        "only_left": "was not asked for",
        "only_right": "was asked for in addition",
    }
    return f"First, {_place(step)} {how.get(step.mark, 'differs')}.", difference


def _place(step: StepDiff) -> str:
    side = step.left or step.right
    return f"step {side.seq} ({side.name!r})" if side is not None else "a step"

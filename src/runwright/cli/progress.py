"""How far a run is, as it says itself."""

from __future__ import annotations

from runwright.cli.access import Access
from runwright.core.event import ProgressReported
from runwright.service.views import RunView


def told(progress: ProgressReported) -> str:
    """One line: the lane that it is about, the percentage and the words, as far as there are any."""
    percentage = "" if progress.fraction is None else f"{progress.fraction:.0%}"
    return " ".join(filter(None, (progress.lane and f"{progress.lane}:", percentage, progress.message)))


async def latest(access: Access, view: RunView) -> ProgressReported | None:
    """What a run that goes on said last of all of it; None of one that is over, or said nothing."""
    if view.ended_at is not None or not view.last_seq:
        return None
    found: ProgressReported | None = None
    async for group in access.runs.events(view.id):
        for event in group:
            if isinstance(event.data, ProgressReported) and event.step is None and not event.data.lane:
                found = event.data
        if group[-1].seq >= view.last_seq:
            break
    return found

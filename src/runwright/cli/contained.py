"""How the code of a run was contained, as its events tell."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from runwright.cli.access import RunAccess
from runwright.core.event import CustomEmitted
from runwright.service.views import RunView, StepView

STARTED = "sandbox.started"
ENDED = "sandbox.ended"


class Contained(msgspec.Struct, kw_only=True):
    """Which sandbox the code of a run had the last time, and what came of it there."""

    backend: str
    isolation: int
    language: str = ""
    reason: str | None = None
    peak_rss: int | None = None
    duration_s: float | None = None
    stdout: str = ""
    stderr: str = ""

    def __str__(self) -> str:
        """For people."""
        ended = "" if self.reason is None else f", {self.reason} after {self.duration_s:.2f} s"
        return f"{self.backend} (isolation level {self.isolation}), {self.language}{ended}"


async def contained(runs: RunAccess, view: RunView, steps: Sequence[StepView]) -> Contained | None:
    """What is known of it; nothing for a run without code in a sandbox."""
    # Such a run begins with the seed of its code: the events of others are not read.
    if not steps or steps[0].kind != "random":
        return None
    found: dict[str, dict[str, object]] = {}
    async for group in runs.events(view.id):
        for event in group:
            if isinstance(event.data, CustomEmitted) and event.data.name in (STARTED, ENDED):
                found = {} if event.data.name == STARTED else found
                found[event.data.name] = msgspec.json.decode(event.data.value, type=dict[str, object])
        if group[-1].seq >= view.last_seq:
            break
    return msgspec.convert(found[STARTED] | found.get(ENDED, {}), Contained) if STARTED in found else None

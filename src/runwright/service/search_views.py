"""What a search among runs found, as callers see it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from runwright.service.views import Page, RunView

Named = Literal["agent", "thread_id", "group", "user", "tag"]
Place = Literal["input", "output", "error", "id"] | Named
NAMED: tuple[Named, ...] = ("agent", "thread_id", "group", "user", "tag")


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Where a text was found first: in which part of a run, as it stands there, and what stands around it."""

    place: Place
    before: str
    found: str
    after: str


class FoundRuns(Page[RunView], frozen=True, kw_only=True):
    """Runs that hold a text, newest first; `matches` has by their ids where it stands.

    `looked_at` runs were read, back to one of the time `back_to`. `next` is the last of them, from which the search
    goes on, also where nothing was found yet. `names` are the filters of lists that the text is a value of.
    """

    matches: dict[str, Match]
    looked_at: int
    back_to: datetime | None
    names: Sequence[Named] = ()

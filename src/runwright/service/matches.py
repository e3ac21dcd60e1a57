"""Where a text stands in a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from runwright.core.run import Run
from runwright.journal.wording import leaves
from runwright.service.edges import Edge
from runwright.service.search_views import Match, Place

BEFORE: Final = 40
AFTER: Final = 80
"""Characters around what was found that are shown."""


def match(edge: Edge, needle: str) -> Match | None:
    """Where a folded text stands in a run first: in what was said, else in what the run is called."""
    for place, text in _said(edge, needle):
        if found := _in_text(text, needle, place):
            return found
    return next((_whole(name, place) for place, name in _names_of(edge.run) if name.casefold() == needle), None)


def _said(edge: Edge, needle: str) -> Iterator[tuple[Place, str]]:
    """The texts of a run in which it may be found."""
    sides: tuple[tuple[Place, bytes], ...] = (("input", edge.input), ("output", edge.output))
    for place, raw in sides:
        if _may_hold(raw, needle):
            for text in leaves(raw):
                yield place, text
    if edge.run.error is not None:
        yield "error", edge.run.error.message
        yield "error", edge.run.error.code


def _may_hold(raw: bytes, needle: str) -> bool:
    """Whether a text can stand in JSON: most do not, and need not be taken apart. Escaped, it may look otherwise."""
    return b"\\" in raw or needle in raw.decode(errors="replace").casefold()


def _in_text(text: str, needle: str, place: Place) -> Match | None:
    folded = text.casefold()
    at = folded.find(needle)
    if at < 0:
        return None
    start, end = at, at + len(needle)
    if len(folded) != len(text):
        start, end = unfolded(text, start), unfolded(text, end - 1) + 1
    return Match(
        place=place,
        before=text[max(0, start - BEFORE) : start],
        found=text[start:end],
        after=text[end : end + AFTER],
    )


def unfolded(text: str, at: int) -> int:
    """The character of a text that a place in its folded form belongs to: folding makes some characters several."""
    start, end = 0, len(text)
    # Each character is folded by itself, so that of ever smaller halves only those before the place need be.
    while end - start > 1:
        middle = (start + end) // 2
        count = len(text[start:middle].casefold())
        if at < count:
            end = middle
        else:
            start, at = middle, at - count
    return start


def _names_of(run: Run) -> Iterator[tuple[Place, str]]:
    yield "id", run.id
    yield "agent", run.agent
    yield "thread_id", run.thread_id or ""
    yield "group", run.group or ""
    yield "user", run.user or ""
    for tag in run.tags:
        yield "tag", tag


def _whole(name: str, place: Place) -> Match:
    return Match(place=place, before="", found=name, after="")

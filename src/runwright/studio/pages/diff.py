"""Two runs side by side: what differs first, their steps, and what each took."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import msgspec

from runwright.core.labels import number
from runwright.core.ports import RunFilter
from runwright.errors import NotFound
from runwright.journal.diff import Change, Measure, RunDiff, RunSide, StepDiff, StepMark
from runwright.service.views import RunView
from runwright.studio.page import Ask, Page

ROWS = 200
"""Rows on a page; a row is a step, or several beside each other that are the same."""

FOLD = 3
"""So many steps beside each other that are the same are told as one row."""

RECENT = 20
MOST = 1_000_000


class DiffRow(msgspec.Struct, frozen=True, kw_only=True):
    """A step of both runs or of one, without its texts, or `folded` steps from `place` on that are the same."""

    place: int
    folded: int = 1
    step: StepDiff | None = None
    has_changes: bool = False


class DiffPage(msgspec.Struct, frozen=True, kw_only=True):
    """How the right run differs from the left one. `first` is the first step that is not the same.

    `rows` begin at the place `start` of the steps, and `next` is where those of the next page do. `counts` says how
    many steps there are of each kind.
    """

    left: RunSide
    right: RunSide
    is_same: bool
    is_replay: bool
    delta: Measure
    changes: Sequence[Change]
    first: StepDiff | None
    counts: dict[StepMark, int]
    rows: Sequence[DiffRow]
    start: int
    next: int | None


class ChangePage(msgspec.Struct, frozen=True, kw_only=True):
    """What differs in one step of two runs."""

    left: str
    right: str
    place: int
    step: StepDiff


class ChoicePage(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that one can be compared with: the run that it replays, its replays, and recent ones of the same agent."""

    run: RunView
    origin: RunView | None
    replays: Sequence[RunView]
    others: Sequence[RunView]


async def show_diff(ask: Ask) -> DiffPage:
    """Two runs. Raises NotFound."""
    left, right = ask.name("run"), ask.name("other")
    diff = await ask.app.diffs.between(left, right)
    view = await ask.app.runs.get(right)
    start = ask.number("from", 0, most=MOST)
    is_unfolded = ask.query.get("equal") == "shown"
    return await asyncio.to_thread(_page, diff, start=start, is_unfolded=is_unfolded, is_replay=view.replay_of == left)


async def show_change(ask: Ask) -> ChangePage:
    """What differs in the step at a place. Raises NotFound."""
    left, right, place = ask.name("run"), ask.name("other"), ask.name("place")
    diff = await ask.app.diffs.between(left, right)
    found = number(place, len(diff.steps))
    if found is None or found == len(diff.steps):
        raise NotFound(f"{left} and {right} have no step at the place {place[:40]!r}.")
    return ChangePage(left=left, right=right, place=found, step=diff.steps[found])


async def choose(ask: Ask) -> ChoicePage:
    """What a run can be compared with. Raises NotFound."""
    run = await ask.app.runs.get(ask.name("run"))
    recent = await ask.app.runs.find(RunFilter(agent=run.agent, limit=RECENT), is_brief=True)
    others = [each for each in recent.data if each.id != run.id]
    return ChoicePage(
        run=run,
        origin=await _origin(ask, run),
        replays=[each for each in others if each.replay_of == run.id],
        others=[each for each in others if each.replay_of != run.id and each.id != run.replay_of],
    )


async def _origin(ask: Ask, run: RunView) -> RunView | None:
    if run.replay_of is None:
        return None
    try:
        return await ask.app.runs.get(run.replay_of)
    except NotFound:
        return None


def _page(diff: RunDiff, *, start: int, is_unfolded: bool, is_replay: bool) -> DiffPage:
    counts: dict[StepMark, int] = {}
    for step in diff.steps:
        counts[step.mark] = counts.get(step.mark, 0) + 1
    rows, after = _rows(diff.steps, start=start, fold=MOST if is_unfolded else FOLD)
    return DiffPage(
        left=diff.left,
        right=diff.right,
        is_same=diff.is_same,
        is_replay=is_replay,
        delta=diff.delta,
        changes=diff.changes,
        first=diff.divergence,
        counts=counts,
        rows=rows,
        start=start,
        next=after,
    )


def _rows(steps: Sequence[StepDiff], *, start: int, fold: int) -> tuple[Sequence[DiffRow], int | None]:
    """Rows of a page, and the place where those of the next one begin."""
    found: list[DiffRow] = []
    for place, end in _alike(steps, start):
        if len(found) >= ROWS:
            return found, place
        if end - place >= fold:
            found.append(DiffRow(place=place, folded=end - place))
            continue
        for at in range(place, end):
            if len(found) >= ROWS:
                return found, at
            shown = msgspec.structs.replace(steps[at], changes=())
            found.append(DiffRow(place=at, step=shown, has_changes=bool(steps[at].changes)))
    return found, None


def _alike(steps: Sequence[StepDiff], start: int) -> Iterator[tuple[int, int]]:
    """Stretches of steps that are the same; any other step is one of its own."""
    at = start
    while at < len(steps):
        end = at + 1
        while steps[at].mark == "same" and end < len(steps) and steps[end].mark == "same":
            end += 1
        yield at, end
        at = end


PAGES = (
    Page(path="/runs/{run}/diff", view=choose, template="diff_choice.html", title="Compare"),
    Page(path="/runs/{run}/diff/{other}", view=show_diff, template="diff.html", title="Diff"),
    Page(path="/runs/{run}/diff/{other}/steps/{place}", view=show_change, template="diff_step.html", title="Change"),
)

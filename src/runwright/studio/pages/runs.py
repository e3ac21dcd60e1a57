"""The list of runs, and what is done to several of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import get_args
from urllib.parse import parse_qsl

import msgspec

from runwright.core.ports import RunFilter
from runwright.core.run import TERMINAL, RunStatus
from runwright.errors import InvalidRequest
from runwright.service.search import searched
from runwright.service.search_views import FoundRuns, Match, Named
from runwright.service.views import RunView
from runwright.studio.page import Action, Ask, Page

ON_A_PAGE = 50
FILTERS = ("agent", "status", "thread_id", "group", "user", "tag", "parent_run_id")
STATUSES: tuple[str, ...] = get_args(RunStatus)
KEPT = (*FILTERS, "text", "children", "after", "open", "pick")
"""Parameters that the list keeps when something is done to its runs."""


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """A run in the list. `depth` is how far it stands below one of the list; `took_s` counts on until it is over.

    `is_cut` says that more runs stand below it than are shown. `match` is where the text stands that was searched for.
    """

    run: RunView
    took_s: float | None
    depth: int = 0
    is_parent: bool = False
    is_open: bool = False
    is_cut: bool = False
    match: Match | None = None


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """How far a search for a text went: so many runs, back to a time, and how many of them it `found`.

    `names` are filters that the text is a value of.
    """

    text: str
    found: int
    looked_at: int
    back_to: datetime | None
    names: Sequence[Named]


class RunList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of runs, newest first, and what was asked for. `position` is where the store stood before.

    Runs below others are left out, but those below an `open` one, and where `children` are asked for. `picks` are the
    runs that are chosen. Runs are without output, and of a long input they have the beginning. `search` is how far a
    search went, and what else its text is the name of.
    """

    position: int
    rows: Sequence[RunRow]
    next: str | None
    where: Mapping[str, str]
    has_children: bool
    opened: Sequence[str]
    picks: Sequence[str]
    agents: Sequence[str]
    search: Search | None = None
    statuses: Sequence[str] = STATUSES


async def list_runs(ask: Ask) -> RunList:
    """A page of runs. Raises InvalidRequest for a status that does not exist."""
    where = {name: ask.query[name] for name in FILTERS if name in ask.query}
    status = where.get("status")
    if status is not None and status not in STATUSES:
        detail = f"one of {', '.join(STATUSES)}, not {status[:40]!r}"
        raise InvalidRequest(f"The status is {detail}.", problems=[("/status", detail)])
    position = await ask.app.live.position()
    has_children = "children" in ask.query or "parent_run_id" in where
    opened = _names(ask, "open")
    matches: Mapping[str, Match] = {}
    search = None
    if "ids" in ask.query:
        found, last = await _named(ask, _names(ask, "ids")), None
    else:
        asked = msgspec.convert(
            {**where, "after": ask.query.get("after"), "is_root": not has_children, "limit": ON_A_PAGE}, RunFilter
        )
        text = searched(ask.query.get("text", ""))
        if text:
            page = await ask.app.searches.find(text, asked, is_brief=True)
            matches, search = page.matches, _search(text, page)
        else:
            page = await ask.app.runs.find(asked, is_brief=True)
        found, last = page.data, page.next
    return RunList(
        position=position,
        rows=[msgspec.structs.replace(row, match=matches.get(row.run.id)) for row in await _rows(ask, found, opened)],
        next=last,
        where=where,
        has_children=has_children,
        opened=opened,
        picks=_names(ask, "pick"),
        agents=sorted({entry.agent.name for entry in ask.app.registry.all()}),
        search=search,
    )


def _search(text: str, page: FoundRuns) -> Search:
    return Search(text=text, found=len(page.data), looked_at=page.looked_at, back_to=page.back_to, names=page.names)


async def compare_runs(ask: Ask) -> str:
    """The diff of the two runs that were chosen. Raises InvalidRequest for another number of them."""
    picks = (await ask.form()).get("pick", [])
    if len(picks) != 2:
        raise InvalidRequest(f"Choose two runs to compare, not {len(picks)}.")
    return ask.url(f"/runs/{picks[0]}/diff/{picks[1]}")


async def cancel_runs(ask: Ask) -> str:
    """Cancel the runs that were chosen; those that are over stay as they are. Raises NotFound."""
    form = await ask.form()
    for run_id in form.get("pick", [])[:ON_A_PAGE]:
        await ask.app.runs.cancel(run_id, reason="cancelled in the studio")
    back = dict(parse_qsl(form.get("back", [""])[0]))
    return ask.url("/runs", {name: back[name] for name in KEPT if name in back and name != "pick"})


def _names(ask: Ask, parameter: str) -> Sequence[str]:
    return [each for each in ask.query.get(parameter, "").split(",") if each][:ON_A_PAGE]


async def _named(ask: Ask, run_ids: Sequence[str]) -> Sequence[RunView]:
    """The runs with these ids that are there."""
    page = await ask.app.runs.find(RunFilter(ids=run_ids, limit=ON_A_PAGE), is_brief=True)
    return sorted(page.data, key=lambda run: run_ids.index(run.id))


async def _rows(ask: Ask, runs: Sequence[RunView], opened: Sequence[str], *, depth: int = 0) -> list[RunRow]:
    parents = await ask.app.runs.parents([run.id for run in runs])
    rows: list[RunRow] = []
    for run in runs:
        is_open = run.id in opened and run.id in parents
        row = RunRow(run=run, took_s=_took(run), depth=depth, is_parent=run.id in parents, is_open=is_open)
        if is_open:
            below = await ask.app.runs.find(RunFilter(parent_run_id=run.id, limit=ON_A_PAGE), is_brief=True)
            rows.append(msgspec.structs.replace(row, is_cut=below.has_more))
            rows += await _rows(ask, below.data[::-1], opened, depth=depth + 1)
        else:
            rows.append(row)
    return rows


def _took(run: RunView) -> float | None:
    if run.started_at is None:
        return None
    end = run.ended_at or (None if run.is_lost or run.status in TERMINAL else datetime.now(UTC))
    return None if end is None else (end - run.started_at).total_seconds()


PAGES = (Page(path="/runs", view=list_runs, template="runs.html", title="Runs", nav="Runs"),)
ACTIONS: tuple[Action, ...] = (
    Action(path="/runs/compare", act=compare_runs),
    Action(path="/runs/cancel", act=cancel_runs),
)

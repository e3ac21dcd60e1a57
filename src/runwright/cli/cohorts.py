"""Replays of many runs with one change, and one table of what came of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from runwright.cli.access import Access
from runwright.cli.call import Call
from runwright.cli.failures import DIFFERENT, Exit
from runwright.cli.output import short
from runwright.cli.verdicts import replayed, verdict_on
from runwright.core.ids import make_id
from runwright.core.money import format_usd
from runwright.core.ports import RunFilter
from runwright.core.run import RunRequest
from runwright.errors import InvalidRequest, RunwrightError
from runwright.service.replays import Verdict
from runwright.service.views import RunView

if TYPE_CHECKING:
    from rich.progress import Progress

PAGE = 100
COLUMNS = ("run", "replay", "verdict", "+tokens", "+usd", "+seconds", "what differs first")


class Cohort(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs are replayed: the `last` ones of an agent that are over, so many at a time, for so much money."""

    agent: str
    last: int
    parallel: int
    max_usd: float | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a cohort. `left` runs were not replayed, because the budget was used up.

    `usd` is what those replays cost that are priced; of the others, `unpriced` says how many there are.
    """

    group: str
    data: list[Verdict]
    failed: dict[str, str]
    left: int
    counts: dict[str, int]
    usd: str
    unpriced: int


async def replay_cohort(cohort: Cohort, request: RunRequest, *, call: Call) -> None:
    """Replay many runs, show how far it is, and print the table. Exits with 1 unless all are the same."""
    group = request.group or make_id("cohort")
    request = msgspec.structs.replace(request, group=group)
    async with call.open() as access:
        runs = await _newest(access, cohort)
        if not runs:
            raise InvalidRequest(f"{cohort.agent!r} has no runs that are over.")
        work = _Work(access, request, cohort=cohort)
        try:
            await work.perform(runs, call)
        except asyncio.CancelledError:
            call.out.note(f"Interrupted. Go on with the same command and --group {group}")
            raise
    report = work.report(len(runs))
    call.out.show(report, lambda: _show(report, call))
    if report.left:
        call.out.note(
            f"Stopped at --max-usd {cohort.max_usd}: {report.left} of {len(runs)} runs are left. "
            f"Go on with a higher --max-usd and --group {group}"
        )
    if report.left or report.failed or set(report.counts) - {"same"}:
        raise Exit(DIFFERENT)


class _Work:
    """The replays of one cohort."""

    def __init__(self, access: Access, request: RunRequest, *, cohort: Cohort) -> None:
        assert request.group is not None
        self._access = access
        self._request = request
        self._cohort = cohort
        self._group = request.group
        self._verdicts: dict[str, Verdict] = {}
        self._failed: dict[str, str] = {}
        self._spent = Decimal(0)
        self._unpriced = 0

    async def perform(self, runs: Sequence[str], call: Call) -> None:
        """Replay what the group has not replayed yet."""
        for view in await _all(self._access, RunFilter(group=self._group, limit=PAGE)):
            if view.replay_of in runs and view.ended_at is not None:
                self._take(await verdict_on(self._access, view), view)
        left = [run for run in runs if run not in self._verdicts]
        if len(left) < len(runs):
            call.out.note(f"{len(runs) - len(left)} of {len(runs)} runs were replayed before in {self._group}.")
        queue = iter(left)
        with _progress() as progress:
            bar = progress.add_task("replaying", total=len(runs), completed=len(runs) - len(left))
            async with asyncio.TaskGroup() as tasks:
                for _ in range(self._cohort.parallel):
                    tasks.create_task(self._some(queue, partial(progress.advance, bar)))

    async def _some(self, queue: Iterator[str], told: Callable[[], None]) -> None:
        for run in queue:
            if self._cohort.max_usd is not None and self._spent >= Decimal(str(self._cohort.max_usd)):
                return
            assert self._request.replay is not None
            replay = msgspec.structs.replace(self._request.replay, of=run)
            try:
                self._take(*await replayed(self._access, msgspec.structs.replace(self._request, replay=replay)))
            except RunwrightError as error:
                self._failed[run] = error.message
            told()

    def _take(self, verdict: Verdict, view: RunView) -> None:
        self._verdicts[verdict.replay_of] = verdict
        self._spent += Decimal(view.cost.usd or 0)
        self._unpriced += view.cost.usd is None

    def report(self, total: int) -> Report:
        """What came of it."""
        counts = Counter(verdict.verdict for verdict in self._verdicts.values())
        return Report(
            group=self._group,
            data=list(self._verdicts.values()),
            failed=self._failed,
            left=total - len(self._verdicts) - len(self._failed),
            counts=dict(counts),
            usd=f"{self._spent.normalize():f}",
            unpriced=self._unpriced,
        )


async def _newest(access: Access, cohort: Cohort) -> list[str]:
    """The newest runs of an agent that are over and are no replays themselves."""
    found: list[str] = []
    after: str | None = None
    while len(found) < cohort.last:
        page = await access.runs.find(RunFilter(agent=cohort.agent, after=after, limit=PAGE))
        found += [view.id for view in page.data if view.ended_at is not None and view.replay_of is None]
        if not page.has_more:
            break
        after = page.next
    return found[: cohort.last]


async def _all(access: Access, where: RunFilter) -> list[RunView]:
    found: list[RunView] = []
    while True:
        page = await access.runs.find(where)
        found += page.data
        if not page.has_more:
            return found
        where = msgspec.structs.replace(where, after=page.next)


def _show(report: Report, call: Call) -> None:
    rows = [
        (
            verdict.replay_of,
            verdict.run_id,
            verdict.verdict,
            verdict.delta.input_tokens + verdict.delta.output_tokens or "",
            "" if not verdict.delta.nano_usd else format_usd(verdict.delta.nano_usd),
            "" if verdict.delta.duration_s is None else f"{verdict.delta.duration_s:+.2f}",
            short(verdict.detail, 80),
        )
        for verdict in report.data
    ]
    rows += [(run, "", "refused", "", "", "", short(why, 80)) for run, why in report.failed.items()]
    call.out.table(COLUMNS, rows)
    counted = ", ".join(f"{count} {verdict}" for verdict, count in sorted(report.counts.items()))
    call.out.note(f"{report.group}: {counted or 'nothing replayed'}; the replays cost ${report.usd}")
    if report.unpriced:
        call.out.note(f"{report.unpriced} of them are unpriced, and count nothing against --max-usd.")


def _progress() -> Progress:
    """A bar on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)

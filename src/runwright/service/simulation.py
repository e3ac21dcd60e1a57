"""What-if for policies: the recorded calls of an agent's runs, simulated under other ones."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import takewhile

import msgspec

from runwright.core.agent import BuiltAgent
from runwright.core.money import format_usd
from runwright.core.policy import Guard, GuardSettings
from runwright.core.policy_reader import read_guard
from runwright.core.ports import Clock, RunFilter, RunStore
from runwright.core.run import Run
from runwright.engine.recorded import RecordedRun, read_calls
from runwright.engine.reports import Price
from runwright.engine.simulate import Scene, Tally, Terms, simulate, tally_of
from runwright.engine.upstream import Upstream
from runwright.errors import ConfigError, InvalidRequest, NotFound
from runwright.journal.read import JournalReader
from runwright.service.costs import moment
from runwright.service.simulation_views import (
    Durations,
    SimulationFigures,
    SimulationQuery,
    SimulationReport,
    Spread,
)

PAGE = 100
MOST_CALLS = 200_000
"""Calls that are held in memory at once."""
MOST_SEEDS = 20
LEAST_SEEDS = 3
WORTH_CALLS = 50_000
"""Calls that are simulated for one set of policies, if that is not fewer seeds than the least."""
TODAY = "today"

Told = Callable[[int, int], None]
"""Told from another thread how many calls are simulated, and of how many."""


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """What simulations read: runs, definitions of today, settings, prices. `agent` raises NotFound."""

    runs: RunStore
    reader: JournalReader
    agent: Callable[[str], BuiltAgent]
    settings: GuardSettings
    price: Price
    clock: Clock


class Simulations:
    """What a caller can ask about other policies. One simulation is at work at a time."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._turn = asyncio.Lock()

    async def report(self, query: SimulationQuery, *, told: Told | None = None) -> SimulationReport:
        """Simulate, beside what was recorded and what holds today. Raises InvalidRequest or NotFound."""
        guards = _guards(query)
        now = self._ports.clock.now()
        since = moment("last", query.last, now)
        if since is None or since >= now:
            detail = "how long ago it began, like 12h, 7d or 2w, or a day that is over"
            raise InvalidRequest(f"There is nothing after {query.last!r}.", problems=[("/last", detail)])
        work = _Work(self._ports, query, since=since, until=now, told=told)
        async with self._turn:
            try:
                return await asyncio.to_thread(work.report, guards)
            finally:
                # The thread of a caller that is gone ends too.
                work.is_over.set()


class _Work:
    """One simulation, in a thread of its own."""

    def __init__(
        self, ports: Ports, query: SimulationQuery, *, since: datetime, until: datetime, told: Told | None
    ) -> None:
        self._ports = ports
        self._query = query
        self._since = since
        self._until = until
        self._told = told
        self._done = self._all = 0
        self.is_over = threading.Event()

    def report(self, guards: Sequence[tuple[str, Guard]]) -> SimulationReport:
        """Read the record and simulate."""
        query, today = self._query, self._terms()
        rows = self._rows(is_defined=today is not None)
        # Not the moment of the question, which would move every second of the record.
        begin = min(run.started_at or run.created_at for run in rows).replace(microsecond=0)
        runs = self._recorded(rows, begin)
        today = today or Terms(agent=query.agent, settings=self._ports.settings)
        calls = sum(len(run.calls) for run in runs)
        if not calls:
            raise InvalidRequest(f"None of the {len(runs)} runs of {query.agent!r} called a model or tool.")
        upstream = Upstream(call for run in runs for call in run.calls)
        scene = Scene(runs=runs, upstream=upstream, since=begin, price=self._ports.price, goes_on=self._goes_on)
        seeds = query.seeds or max(LEAST_SEEDS, min(MOST_SEEDS, WORTH_CALLS // calls))
        terms = [(TODAY, today)]
        terms += [(name, msgspec.structs.replace(today, guard=guard)) for name, guard in guards]
        self._all = calls * seeds * len(terms)
        found: list[SimulationFigures] = []
        assumed: set[str] = set()
        for name, each in terms:
            tallies = [simulate(scene, each, seed=query.seed + nth) for nth in range(seeds)]
            found.append(_figures(name, tallies))
            assumed.update(*(tally.assumed for tally in tallies))
        return SimulationReport(
            agent=query.agent,
            since=self._since,
            until=self._until,
            runs=len(runs),
            calls=calls,
            left_out=sum(run.left_out for run in runs),
            seed=query.seed,
            seeds=seeds,
            assumed=sorted(assumed),
            recorded=_figures("recorded", [tally_of(runs)]),
            data=found,
        )

    def _terms(self) -> Terms | None:
        """What holds today; None for an agent that is not there any more."""
        try:
            agent = self._ports.agent(self._query.agent)
        except NotFound:
            return None
        flow = agent.flow
        return Terms(
            agent=agent.name,
            guard=agent.guard,
            tools=flow.tools,
            limits=flow.limits,
            settings=self._ports.settings,
        )

    def _rows(self, *, is_defined: bool) -> list[Run]:
        """The runs of the window that are no replays."""
        name = self._query.agent
        rows = [run for run in self._runs() if run.replay_of is None and run.started_at is not None]
        if rows:
            return rows
        if not is_defined and not self._ports.runs.find(RunFilter(agent=name, limit=1)):
            raise NotFound(f"There is no agent {name!r}, and no run of one.")
        raise InvalidRequest(f"No run of {name!r} began since {self._since:%Y-%m-%dT%H:%MZ}: take a longer --last.")

    def _recorded(self, rows: Sequence[Run], begin: datetime) -> list[RecordedRun]:
        """Runs with their calls, in the order in which they began."""
        found, calls = list[RecordedRun](), 0
        for run in rows:
            # A run that is at work goes on while it is read.
            events = takewhile(lambda event, last=run.last_seq: event.seq <= last, self._ports.reader.events(run.id))
            found.append(read_calls(run, events, begin))
            calls += len(found[-1].calls)
            if calls > MOST_CALLS:
                raise InvalidRequest(f"These are more than {MOST_CALLS:,} calls: take a shorter --last.")
            if self.is_over.is_set():
                raise asyncio.CancelledError
        return sorted(found, key=lambda run: run.at)

    def _runs(self) -> Iterator[Run]:
        where = RunFilter(agent=self._query.agent, limit=PAGE)
        while page := self._ports.runs.find(where):
            yield from (run for run in page if run.created_at >= self._since)
            if page[-1].created_at < self._since:
                return
            where = msgspec.structs.replace(where, after=page[-1].id)

    def _goes_on(self) -> bool:
        self._done += 1
        if self._told is not None:
            self._told(self._done, self._all)
        return not self.is_over.is_set()


def _guards(query: SimulationQuery) -> list[tuple[str, Guard]]:
    """Raises InvalidRequest with the place of every mistake."""
    guards: list[tuple[str, Guard]] = []
    problems: list[tuple[str, str]] = []
    for index, each in enumerate(query.policies):
        try:
            guards.append((each.name, read_guard(each.guard, at=f"/policies/{index}/guard")))
        except ConfigError as error:
            problems += error.problems
        if each.name in (TODAY, "recorded") or each.name in (other.name for other in query.policies[:index]):
            problems.append((f"/policies/{index}/name", f"another column is called {each.name!r} already"))
    if problems:
        told = "; ".join(f"{place}: {detail}" for place, detail in problems)
        raise InvalidRequest(told, problems=problems)
    return guards


def _figures(name: str, tallies: Sequence[Tally]) -> SimulationFigures:
    calls, sent = _mean([tally.calls for tally in tallies]), _mean([tally.attempts for tally in tallies])
    return SimulationFigures(
        name=name,
        calls=calls,
        success=_spread([tally.successes / tally.calls for tally in tallies if tally.calls]),
        latency=_durations([value for tally in tallies for value in tally.latencies]),
        usd=format_usd(round(_mean([tally.nano_usd for tally in tallies]))),
        unpriced=_mean([tally.unpriced for tally in tallies]),
        upstream=sent,
        upstream_per_call=_spread([tally.attempts / tally.calls for tally in tallies if tally.calls]),
        peak_per_s=_mean([max(tally.per_second.values(), default=0) for tally in tallies]),
        waited_s=_mean([tally.waited_s for tally in tallies]) / calls if calls else 0.0,
        runs=_mean([tally.runs for tally in tallies]),
        run_success=_spread([tally.run_successes / tally.runs for tally in tallies if tally.runs]),
        run_latency=_durations([value for tally in tallies for value in tally.run_latencies]),
        cut_short=_mean([tally.cut_short for tally in tallies]),
        drawn=_mean([tally.drawn for tally in tallies]) / sent if sent else 0.0,
        decisions=_counted([tally.decisions for tally in tallies]),
        errors=_counted([tally.errors for tally in tallies]),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    return Spread(mean=_mean(values), lowest=min(values), highest=max(values))


def _durations(values: list[float]) -> Durations:
    values.sort()
    p50, p95, p99 = (values[min(len(values) - 1, int(len(values) * part))] if values else None for part in _PARTS)
    return Durations(p50_s=p50, p95_s=p95, p99_s=p99)


_PARTS = (0.5, 0.95, 0.99)


def _counted(counters: Sequence[Counter[str]]) -> dict[str, float]:
    total = sum(counters, Counter[str]())
    return {name: count / len(counters) for name, count in total.most_common()}

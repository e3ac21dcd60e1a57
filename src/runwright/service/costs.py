"""Costs: what calls cost, by what, and what they would cost at other prices or on another model."""

from __future__ import annotations

import asyncio
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import takewhile

import msgspec

from runwright.core.cost import CallFilter, CallPlace, CostBy, CostCall, CostFilter, CostRow
from runwright.core.event import Data, Event, StepCharged, StepCompleted, StepFailed, StepRestarted, StepStarted
from runwright.core.money import NO_COST, UNPRICED, Cost, CostLine, format_usd
from runwright.core.ports import Clock, CostStore, RunStore
from runwright.core.step import Step
from runwright.errors import ConfigError, InvalidRequest, NotFound
from runwright.journal.project import is_charged_once
from runwright.journal.read import JournalReader
from runwright.models.prices import Price, Prices, read_prices
from runwright.service.call_views import CallQuery, CallView, call_view
from runwright.service.views import (
    CostGroup,
    CostLineView,
    CostQuery,
    CostReport,
    Page,
    RunCost,
    StepCost,
    WhatIf,
    cost_view,
)

AGO = re.compile(r"(\d{1,5})([hdw])")
HOURS = {"h": 1, "d": 24, "w": 168}


class Costs:
    """What a caller can ask about costs. `templates` tells the template of each agent that is known."""

    def __init__(
        self,
        store: CostStore,
        runs: RunStore,
        reader: JournalReader,
        *,
        prices: Prices,
        clock: Clock,
        templates: Callable[[], Mapping[str, str]],
    ) -> None:
        self._store = store
        self._runs = runs
        self._reader = reader
        self._prices = prices
        self._clock = clock
        self._templates = templates

    async def report(self, query: CostQuery) -> CostReport:
        """What calls cost. With other prices or another model every call is priced again, which takes 10 us each.

        Raises InvalidRequest.
        """
        now = self._clock.now()
        since, until = _whole("since", query.since, now), _whole("until", query.until, now)
        where = CostFilter(since=since, until=until, agent=query.agent)
        tallies = await asyncio.to_thread(self._tallies, query, where)
        total = _Tally(None)
        for tally in tallies:
            total.absorb(tally)
        return CostReport(
            by=query.by,
            since=where.since,
            until=where.until,
            data=[tally.group for tally in tallies],
            total=total.group,
        )

    async def calls(self, query: CallQuery) -> Page[CallView]:
        """A page of single calls, the dearest or newest first. Calls that were pruned stand in sums alone.

        Raises InvalidRequest.
        """
        now = self._clock.now()
        where = CallFilter(
            since=_whole("since", query.since, now),
            until=_whole("until", query.until, now),
            agent=query.agent,
            name=query.model,
            group=query.group,
            user=query.user,
            without=query.without,
            order=query.order,
            after=None if query.after is None else _place(query.after),
            limit=query.limit + 1,
        )
        found = await asyncio.to_thread(self._store.find, where)
        shown = found[: query.limit]
        has_more = len(found) > query.limit
        return Page(
            data=[call_view(call) for call in shown],
            has_more=has_more,
            next=_marked(shown[-1].step) if has_more else None,
        )

    async def run(self, run_id: str) -> RunCost:
        """What a run cost so far, step by step. Raises NotFound."""
        return await asyncio.to_thread(self._run, run_id)

    def _tallies(self, query: CostQuery, where: CostFilter) -> Sequence[_Tally]:
        if query.by != "template":
            return self._summed(query.by, query, where)
        templates = self._templates()
        found: dict[str | None, _Tally] = {}
        for tally in self._summed("agent", query, where):
            template = templates.get(tally.key or "")
            found.setdefault(template, _Tally(template)).absorb(tally)
        return _in_order(found)

    def _summed(self, by: CostBy, query: CostQuery, where: CostFilter) -> Sequence[_Tally]:
        if query.on_model is None and query.prices is None:
            return [_Tally(row.key, row) for row in self._store.totals(by, where)]
        prices = self._prices.over(_other_prices(query))
        tallies: dict[str | None, _Tally] = {}
        for call in self._store.calls(by, where):
            tally = tallies.get(call.key)
            if tally is None:
                tally = tallies[call.key] = _Tally(call.key)
            tally.add(call, _again(call, prices, query.on_model))
        return _in_order(tallies)

    def _run(self, run_id: str) -> RunCost:
        run = self._runs.get(run_id)
        if run is None:
            raise NotFound(f"There is no run {run_id!r}.")
        # A run that is at work goes on while it is read.
        events = takewhile(lambda event: event.seq <= run.last_seq, self._reader.events(run_id))
        return RunCost(run_id=run.id, cost=cost_view(run.cost), steps=step_costs(events))


class _Tally:
    """Calls of one key, counted: amounts are in nano-USD, `_other` ones at other prices."""

    def __init__(self, key: str | None, row: CostRow | None = None) -> None:
        row = row or CostRow(key=key)
        self.key = key
        self._calls, self._unpriced, self._nano = row.calls, row.unpriced_calls, row.nano_usd
        self._usage = row.usage
        self._is_repriced = False
        self._other = self._other_unpriced = self._difference = 0

    def add(self, call: CostCall, other: Cost) -> None:
        """One more call, as recorded and at other prices."""
        self._is_repriced = True
        self._calls += 1
        self._usage += call.usage
        before, after = call.cost.nano_usd, other.nano_usd
        self._unpriced += before is None
        self._other_unpriced += after is None
        self._nano += before or 0
        self._other += after or 0
        if before is not None and after is not None:
            self._difference += after - before

    def absorb(self, tally: _Tally) -> None:
        """All calls of another key."""
        self._is_repriced = tally._is_repriced
        self._calls += tally._calls
        self._usage += tally._usage
        self._unpriced += tally._unpriced
        self._nano += tally._nano
        self._other += tally._other
        self._other_unpriced += tally._other_unpriced
        self._difference += tally._difference

    @property
    def group(self) -> CostGroup:
        """What callers see."""
        what_if = WhatIf(
            usd=priced(self._other, self._calls, self._other_unpriced),
            unpriced_calls=self._other_unpriced,
            difference_usd=format_usd(self._difference),
        )
        return CostGroup(
            key=self.key,
            calls=self._calls,
            unpriced_calls=self._unpriced,
            usd=priced(self._nano, self._calls, self._unpriced),
            usage=self._usage,
            what_if=what_if if self._is_repriced else None,
        )


def _in_order(tallies: Mapping[str | None, _Tally]) -> Sequence[_Tally]:
    return [tallies[key] for key in sorted(tallies, key=lambda key: (key is not None, key or ""))]


def _again(call: CostCall, prices: Prices, on_model: str | None) -> Cost:
    """What a call costs at other prices. What tools spent stays: its quantities stand in their runs alone."""
    if call.ref is None:
        return call.cost
    return prices.cost(on_model or call.ref, call.usage, at=call.at)


def priced(nano_usd: int, calls: int, unpriced: int) -> str | None:
    """What those calls cost that are priced, None when none of them is."""
    return None if calls and calls == unpriced else format_usd(nano_usd)


def moment(name: str, text: str | None, now: datetime) -> datetime | None:
    """A time from `2026-11-01`, a whole ISO 8601 time, or how long ago it was: 12h, 30d, 2w. Raises InvalidRequest."""
    if text is None:
        return None
    ago = AGO.fullmatch(text)
    try:
        if ago is not None:
            return now - timedelta(hours=int(ago[1]) * HOURS[ago[2]])
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        detail = f"a day like 2026-11-01, or how long ago like 12h, 30d or 2w; not {text!r}"
        raise InvalidRequest(f"The time {text!r} cannot be read.", problems=[(f"/{name}", detail)]) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _whole(name: str, text: str | None, now: datetime) -> datetime | None:
    """A time; an age reaches back to the beginning of its hour, because sums are kept by the hour."""
    found = moment(name, text, now)
    if found is None or text is None or AGO.fullmatch(text) is None:
        return found
    return found.replace(minute=0, second=0, microsecond=0)


def _marked(step: Step) -> str:
    """Where a call stands in a list, as the value of `after`."""
    ended = step.ended_at or step.started_at
    place = CallPlace(nano_usd=step.cost.nano_usd, at=ended, run_id=step.run_id, seq=step.seq)
    return urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _place(text: str) -> CallPlace:
    try:
        return msgspec.json.decode(urlsafe_b64decode(text), type=CallPlace)
    except (ValueError, msgspec.DecodeError):
        detail = f"what `next` was on the page before, not {text[:80]!r}"
        raise InvalidRequest(f"After {text[:80]!r} comes nothing.", problems=[("/after", detail)]) from None


def _other_prices(query: CostQuery) -> Sequence[Price]:
    """Raises InvalidRequest for what the caller got wrong."""
    if query.on_model is not None and ":" not in query.on_model:
        detail = f"write it as provider:name, for example openai:{query.on_model}"
        raise InvalidRequest(f"{query.on_model!r} names no provider.", problems=[("/on_model", detail)])
    try:
        return read_prices(query.prices or "", place="/prices")
    except ConfigError as error:
        raise InvalidRequest(error.message, problems=error.problems) from error


def step_costs(events: Iterable[Event]) -> list[StepCost]:
    """What each step cost whose events these are, in order, without those that cost nothing."""
    steps: dict[int, _Charged] = {}
    for event in events:
        data, step = event.data, steps.get(event.step or 0)
        if isinstance(data, StepStarted):
            steps[event.seq] = _Charged(event.seq, data)
        elif step is not None:
            step.note(data)
    return [step.view for step in steps.values() if step.cost != NO_COST]


class _Charged:
    """What a step cost, from its events."""

    def __init__(self, seq: int, begun: StepStarted) -> None:
        self._seq = seq
        self._begun = begun
        self._lines: list[CostLineView] = []
        self._is_taped = False
        self.cost = NO_COST

    def note(self, data: Data) -> None:
        """One more event of the step."""
        match data:
            case StepRestarted() if is_charged_once(self._begun.effect):
                self.cost, self._lines = NO_COST, []
            case StepCharged():
                self.cost += data.cost
                self._lines += [_line(data.ref, data.cost, line) for line in data.cost.lines]
                if data.cost.nano_usd is None:
                    self._lines += [_unpriced(data.ref, unit, quantity) for unit, quantity in data.used.items()]
            case StepCompleted() | StepFailed():
                self.cost += data.cost
                self._lines += [_line(self._begun.name, data.cost, line) for line in data.cost.lines]
                self._is_taped = data.taped is not None
            case _:
                pass

    @property
    def view(self) -> StepCost:
        """What callers see."""
        return StepCost(
            step=self._seq,
            kind=self._begun.kind,
            name=self._begun.name,
            cost=cost_view(self.cost),
            lines=self._lines,
            is_taped=self._is_taped,
        )


def _line(ref: str, cost: Cost, line: CostLine) -> CostLineView:
    return CostLineView(
        ref=ref,
        unit=line.unit,
        quantity=line.quantity,
        unit_price_usd=format_usd(line.unit_price_nano),
        amount_usd=format_usd(line.amount_nano),
        source=cost.source,
        version=cost.version,
    )


def _unpriced(ref: str, unit: str, quantity: int | Decimal) -> CostLineView:
    return CostLineView(ref=ref, unit=unit, quantity=quantity, source=UNPRICED.source)

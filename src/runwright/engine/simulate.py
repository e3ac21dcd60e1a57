"""Recorded calls under other policies: the guard's own layers, in virtual time, before a model of the upstream."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import msgspec

from runwright.core.agent import Limits, Tool, guard_of
from runwright.core.budget import Spend
from runwright.core.event import GuardDecided
from runwright.core.policy import Guard, GuardSettings, Plan
from runwright.engine.purse import payer_of
from runwright.engine.recorded import TRANSIENT, RecordedCall, RecordedRun
from runwright.engine.reports import Price
from runwright.engine.upstream import Upstream
from runwright.errors import ModelError, RunwrightError, revive
from runwright.guard import Answers, Call, Codec, Guards, Offered, Own, Registry, Sending, Surroundings, Trail
from runwright.guard.plans import Way
from runwright.guard.virtual import run_virtual


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Under what an agent's calls are made: its name, policies, bounds and tools, and settings."""

    agent: str
    guard: Guard | None = None
    tools: Mapping[str, Tool] = {}
    limits: Limits = Limits()
    settings: GuardSettings = GuardSettings()


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What is replayed: runs in the order in which they began, from `since` on, and who answers them.

    `goes_on` is asked after each call; False ends the simulation.
    """

    runs: Sequence[RecordedRun]
    upstream: Upstream
    since: datetime
    price: Price
    goes_on: Callable[[], bool]


class Tally:
    """What came of the calls of one simulation, or of the record. Amounts are nano-USD."""

    def __init__(self) -> None:
        self.calls = self.successes = 0
        self.attempts = self.drawn = 0
        self.nano_usd = self.unpriced = 0
        self.runs = self.run_successes = self.cut_short = 0
        self.waited_s = 0.0
        self.latencies: list[float] = []
        self.run_latencies: list[float] = []
        self.per_second: Counter[int] = Counter()
        self.decisions: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.assumed: set[str] = set()

    def sent(self, at: float) -> None:
        """An attempt was sent."""
        self.attempts += 1
        self.per_second[int(at)] += 1

    def ended(self, took_s: float, error: str) -> None:
        """A call has ended."""
        self.calls += 1
        self.latencies.append(took_s)
        if error:
            self.errors[error] += 1
        else:
            self.successes += 1

    def paid(self, nano_usd: int | None) -> None:
        """A call cost that, or nobody knows."""
        self.unpriced += nano_usd is None
        self.nano_usd += nano_usd or 0

    def finished(self, took_s: float, *, is_ok: bool) -> None:
        """A run has ended."""
        self.runs += 1
        self.run_successes += is_ok
        self.run_latencies.append(took_s)


def tally_of(runs: Sequence[RecordedRun]) -> Tally:
    """What was recorded."""
    tally = Tally()
    for run in runs:
        for call in run.calls:
            tally.ended(call.took_s, call.error)
            tally.paid(call.nano_usd)
            for attempt in call.attempts:
                tally.sent(attempt.at)
        if run.took_s is not None:
            tally.finished(run.took_s, is_ok=run.run.status == "completed")
    return tally


def simulate(scene: Scene, terms: Terms, *, seed: int) -> Tally:
    """Make all calls under these terms. Equal seeds give equal results. Not from within a running loop.

    Raises CancelledError where it is ended before its time.
    """
    return run_virtual(_Simulation(scene, terms, seed=seed).run())


class _Answer(msgspec.Struct, frozen=True, gc=False):
    """An answer: what it used."""

    tokens: int = 0
    nano_usd: int | None = 0


_encode = msgspec.msgpack.Encoder().encode
_ANSWER = Codec[_Answer](encode=_encode, decode=msgspec.msgpack.Decoder(_Answer).decode, shape="simulated/1")
_CUT_SHORT = Codec[_Answer](encode=lambda _: None, decode=_ANSWER.decode, shape=_ANSWER.shape)


class _Clock:
    """The Clock port in virtual time: the loop begins at `since`."""

    def __init__(self, since: datetime) -> None:
        self._since = since

    def now(self) -> datetime:
        """The moment of the record that is simulated."""
        return self._since + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Seconds since the beginning."""
        return asyncio.get_running_loop().time()

    async def sleep(self, duration_s: float) -> None:
        """Wait."""
        await asyncio.sleep(duration_s)


class _Simulation:
    def __init__(self, scene: Scene, terms: Terms, *, seed: int) -> None:
        clock = _Clock(scene.since)
        around = Surroundings(
            registry=Registry(Random(seed)),
            answers=Answers(now=lambda: clock.now().timestamp()),
            clock=clock,
            # What others decide, from the time of day or by asking the world, cannot be had again.
            offered=Offered(None),
        )
        self.guards = Guards(around, terms.settings)
        self.scene = scene
        self.terms = terms
        self.own = Own(agent=terms.agent, of_agent=terms.guard, tokens=terms.limits.tokens, usd=terms.limits.usd)
        self.seed = seed
        self.tally = Tally()
        self._main: asyncio.Task[Any] | None = None

    async def run(self) -> Tally:
        """Let every run begin when it began."""
        loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()
        async with asyncio.TaskGroup() as group:
            for place, run in enumerate(self.scene.runs):
                await asyncio.sleep(run.at - loop.time())
                group.create_task(_Rerun(self, run, place).perform())
        return self.tally

    def ended(self) -> None:
        """A call has ended."""
        if not self.scene.goes_on() and self._main is not None:
            self._main.cancel()


class _Rerun:
    """One run. It goes on as it was recorded until a call fails that had not, and that it cannot do without."""

    def __init__(self, simulation: _Simulation, run: RecordedRun, place: int) -> None:
        limits = simulation.terms.limits
        self._simulation = simulation
        self._tally = simulation.tally
        self._run = run
        self._place = place
        self._payer = payer_of(run.run)
        self._deadline = None if limits.time_s is None else run.at + limits.time_s
        self._is_broken = False
        self._is_rescued = False

    async def perform(self) -> None:
        """Make its calls, each after those that it came after."""
        loop, run = asyncio.get_running_loop(), self._run
        tasks: list[asyncio.Task[None]] = []
        async with asyncio.TaskGroup() as group:
            for place, call in enumerate(run.calls):
                before = [tasks[each] for each in call.follows]
                tasks.append(group.create_task(self._step(call, place, before)))
        if run.took_s is None:
            return
        if not self._is_broken:
            await asyncio.sleep(run.tail_s)
        self._tally.cut_short += self._is_rescued
        is_ok = not self._is_broken and (run.run.status == "completed" or self._is_rescued)
        self._tally.finished(loop.time() - run.at, is_ok=is_ok)

    async def _step(self, call: RecordedCall, place: int, before: Sequence[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
        await asyncio.sleep(call.gap_s)
        if self._is_broken:
            return
        error = await self._made(call, place)
        if error and (call.is_fatal or (not call.error and call.kind == "model")):
            self._is_broken = True
        elif not error and call.is_fatal:
            self._is_rescued = True

    async def _made(self, call: RecordedCall, place: int) -> str:
        """Make a call through the guard. Gives the code of what it failed with."""
        simulation, tally = self._simulation, self._tally
        loop = asyncio.get_running_loop()
        began, trail, error = loop.time(), Trail(), ""
        try:
            way = self._way(call)
            answer = await way.proceed(self._guarded(call, way.plan, trail=trail, place=place))
        except RunwrightError as raised:
            error = raised.code
            tally.paid(0)
        except ConnectionError:
            error = TRANSIENT if call.kind == "model" else "tool_failed"
            tally.paid(0)
        else:
            tally.paid(0 if trail.is_cached else answer.nano_usd)
        tally.ended(loop.time() - began, error)
        tally.waited_s += trail.waited_s
        simulation.ended()
        return error

    def _way(self, call: RecordedCall) -> Way:
        guards, own = self._simulation.guards, self._simulation.own
        if call.kind == "model":
            return guards.model(call.target, own)
        tool = self._simulation.terms.tools.get(call.target)
        return guards.tool(call.target, own, None if tool is None else guard_of(tool))

    def _timeout_s(self, call: RecordedCall) -> float:
        terms = self._simulation.terms
        if call.kind == "model":
            return terms.limits.model_timeout_s
        tool = terms.tools.get(call.target)
        return (None if tool is None else tool.timeout_s) or terms.limits.tool_timeout_s

    def _guarded(self, call: RecordedCall, plan: Plan, *, trail: Trail, place: int) -> Call[_Answer]:
        sender = _Sender(self._simulation, call, (self._place, place))
        return Call[_Answer](
            kind=call.kind,
            target=call.target,
            effect=call.effect,
            send=sender.send,
            trail=trail,
            note=self._note,
            deadline=self._deadline,
            payer=self._payer,
            timeout_s=self._timeout_s(call),
            priority="background" if self._run.run.mode == "background" else "interactive",
            is_streamed=any(each.begun_s is not None for each in call.attempts),
            is_sampled=call.is_sampled,
            key=lambda: call.question,
            codec=None if call.kind == "http" else _ANSWER if call.is_whole else _CUT_SHORT,
            estimate=Spend(call.asks.total_tokens, sender.expected_nano() if plan.budgets else 0),
            spent=lambda answer: Spend(answer.tokens, answer.nano_usd or 0),
        )

    def _note(self, decision: GuardDecided) -> None:
        self._tally.decisions[f"{decision.layer} {decision.action}"] += 1


class _Sender:
    """Makes the attempts of one call. What is drawn depends on seed, call, target and attempt, and not on policies."""

    def __init__(self, simulation: _Simulation, call: RecordedCall, place: tuple[int, int]) -> None:
        self._simulation = simulation
        self._call = call
        self._place = place
        self._sent: Counter[str] = Counter()

    async def send(self, call: Call[_Answer], sending: Sending) -> _Answer:
        """One attempt."""
        now, tally, target = asyncio.get_running_loop().time(), self._simulation.tally, call.target
        tally.sent(now)
        nth = self._sent[target]
        self._sent[target] += 1

        def random() -> Random:
            return Random(f"{self._simulation.seed} {self._place} {target} {nth}")

        drawn = self._simulation.scene.upstream.reply(self._call, target, nth=nth, at=now, random=random)
        tally.drawn += drawn.is_drawn
        if drawn.is_assumed:
            tally.assumed.add(target)
        attempt = drawn.attempt
        begun_s = 0.0
        if attempt.begun_s is not None and call.is_streamed:
            begun_s = min(attempt.begun_s, attempt.took_s)
            await asyncio.sleep(begun_s)
            sending.chunk()
        await asyncio.sleep(attempt.took_s - begun_s)
        if attempt.error:
            raise _raised(attempt.error, call, attempt.retry_after_s)
        return self._answer(target)

    def expected_nano(self) -> int:
        """What the call is expected to cost, for budgets."""
        call = self._call
        if call.kind != "model":
            return call.nano_usd or 0
        return self._simulation.scene.price(call.target, call.asks).nano_usd or 0

    def _answer(self, target: str) -> _Answer:
        call = self._call
        if call.kind != "model":
            return _Answer(nano_usd=call.nano_usd)
        used = call.usage if call.usage.total_tokens else call.asks
        if target == call.answered:
            return _Answer(used.total_tokens, call.nano_usd)
        return _Answer(used.total_tokens, self._simulation.scene.price(target, used).nano_usd)


def _raised(code: str, call: Call[Any], retry_after_s: float | None) -> Exception:
    """An error like the recorded one, as the guard would judge it."""
    told = f"{call.target!r} failed as it was recorded."
    if code == TRANSIENT:
        return ConnectionError(told)
    error = revive(code, told)
    error.retry_after_s = retry_after_s if isinstance(error, ModelError) else None
    return error

"""Recorded calls under other policies."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.core.money import Cost
from runwright.core.policy import Backoff, Budget, Cache, Fallback, Guard, Hedge, Limit, Retry, Timeout
from runwright.engine.recorded import Attempted, RecordedCall, RecordedRun
from runwright.engine.simulate import Scene, Tally, Terms, simulate, tally_of
from runwright.engine.upstream import Upstream
from tests.unit.engine.recording import MODEL, SINCE, Scripted, ScriptedRun, record, run_of, what_if

DOWN = "provider_unavailable"
ONCE = Guard(retry=False, breaker=False, limit=False)
STEADY = Backoff(jitter="none")


def resending(attempts: int, backoff: Backoff = STEADY) -> Guard:
    """Resends and nothing else, from a bucket that lasts."""
    return Guard(retry=Retry(attempts=attempts, backoff=backoff, bucket=100_000), breaker=False, limit=False)


def figures(tally: Tally) -> object:
    """Everything that a simulation counts."""
    return vars(tally)


def outage(every_s: float = 1.0, *, count: int = 200, guard: Guard = ONCE) -> list[RecordedRun]:
    """Runs of one call each, of which those fail that come in a stretch of half a minute."""
    failing = (DOWN,) * 20
    runs = [
        ScriptedRun(at, (Scripted(0.0, failing if 60 <= at < 90 else ()),))
        for at in (place * every_s for place in range(count))
    ]
    return record(runs, guard)


calls = st.builds(
    Scripted,
    st.floats(0, 5),
    st.lists(st.sampled_from([DOWN, "provider_timeout", "malformed_response", "provider_rejected"]), max_size=5).map(
        tuple
    ),
    st.sampled_from([0.01, 0.5, 3.0]),
)
scripts = st.lists(
    st.builds(ScriptedRun, st.floats(0, 100), st.lists(calls, min_size=1, max_size=4).map(tuple)),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=60)
@given(scripts, st.integers(1, 5), st.integers(0, 3))
def test_the_policy_that_recorded_reproduces_the_record(runs: list[ScriptedRun], attempts: int, seed: int) -> None:
    """Without contention, the policy of the record gives the same calls, successes, attempts and runs, none drawn."""
    guard = resending(attempts)
    recorded = record(runs, guard)
    before, after = tally_of(recorded), what_if(recorded, guard, seed=seed)
    assert after.drawn == 0
    assert (after.calls, after.successes, after.attempts) == (before.calls, before.successes, before.attempts)
    assert (after.runs, after.run_successes, after.errors) == (before.runs, before.run_successes, before.errors)
    assert after.per_second.total() == before.per_second.total()
    assert sorted(after.latencies) == pytest.approx(sorted(before.latencies), abs=1e-4)
    assert sorted(after.run_latencies) == pytest.approx(sorted(before.run_latencies), abs=1e-4)


@settings(deadline=None, max_examples=20)
@given(scripts, st.integers(0, 1000))
def test_a_seed_decides_everything(runs: list[ScriptedRun], seed: int) -> None:
    """Two simulations with the same seed are the same in every figure."""
    recorded = record(runs, resending(2))
    guard = Guard(retry=Retry(attempts=5), hedge=Hedge(after_s=0.2, extra=1.0), limit=Limit(requests=60))
    assert figures(what_if(recorded, guard, seed=seed)) == figures(what_if(recorded, guard, seed=seed))


def test_an_outage_under_other_policies() -> None:
    """In an outage of half a minute quick resends help those near its end, slow ones more, another model everybody."""
    recorded = outage()
    once = what_if(recorded, resending(1))
    quick = what_if(recorded, resending(4))
    slow = what_if(recorded, resending(8, Backoff(base_s=2.0, cap_s=10.0, jitter="none")))
    other = what_if(recorded, Guard(retry=False, breaker=False, limit=False, fallback=Fallback(models=("openai:n",))))
    assert once.successes == 170
    assert once.successes < quick.successes < slow.successes <= other.successes == 200
    assert once.attempts == 200 < other.attempts == 230 < quick.attempts
    assert other.assumed == {"openai:n"}
    assert max(once.latencies) < max(quick.latencies) < max(slow.latencies)


def test_a_bucket_bounds_the_load_of_an_outage() -> None:
    """The resends that today's defaults allow in an outage are those of their bucket, breaker and all."""
    recorded = outage()
    free = what_if(recorded, resending(4))
    bound = what_if(recorded, Guard(retry=Retry(attempts=4, bucket=100, backoff=STEADY), breaker=False, limit=False))
    broken = what_if(recorded, None)
    assert bound.attempts < free.attempts
    assert broken.decisions["breaker opened"] >= 1
    assert broken.attempts < free.attempts


def test_a_limit_makes_calls_wait_in_line() -> None:
    """Twenty calls at once under one a second: one a second is sent, the last waits nineteen seconds."""
    recorded = record([ScriptedRun(1.0, (Scripted(0.0),)) for _ in range(20)], ONCE)
    assert max(tally_of(recorded).per_second.values()) == 20
    limit = Guard(retry=False, breaker=False, limit=Limit(requests=60, burst=0.01))
    tally = what_if(recorded, limit)
    assert (tally.successes, max(tally.per_second.values())) == (20, 1)
    assert max(tally.latencies) == pytest.approx(19.5, abs=0.1)
    assert tally.decisions["rate waited"] == 19
    assert tally.waited_s == pytest.approx(sum(range(20)), abs=1)


def test_a_hedge_goes_around_a_slow_answer() -> None:
    """A call that took a minute among quick ones is asked twice, and is as quick as the others."""
    slow = [ScriptedRun(float(at), (Scripted(0.0, took_s=60.0 if at == 150 else 0.5),)) for at in range(200)]
    recorded = record(slow, ONCE)
    tally = what_if(recorded, Guard(retry=False, breaker=False, limit=False, hedge=Hedge(after_s=2.0)), seed=1)
    assert max(tally_of(recorded).latencies) == 60.0
    assert tally.decisions["hedge doubled"] == 1
    assert tally.attempts == 201


def test_a_shorter_time_bound_ends_attempts() -> None:
    """What took longer than a new bound fails at that, and is sent again where that is the policy."""
    recorded = record([ScriptedRun(0.0, (Scripted(0.0, took_s=9.0),))], ONCE)
    tally = what_if(recorded, Guard(retry=False, breaker=False, limit=False, timeout=Timeout(total_s=2.0)))
    assert (tally.successes, dict(tally.errors), tally.latencies) == (0, {"provider_timeout": 1}, [2.0])


def test_a_call_that_gets_over_its_failure_cuts_its_run_short() -> None:
    """The run that a call had ended succeeds, and it is told that its rest is not known."""
    recorded = record([ScriptedRun(0.0, (Scripted(0.0), Scripted(1.0, (DOWN,))))], resending(1))
    assert tally_of(recorded).run_successes == 0
    tally = what_if(recorded, Guard(retry=False, breaker=False, limit=False, fallback=Fallback(models=("openai:n",))))
    assert (tally.runs, tally.run_successes, tally.cut_short) == (1, 1, 1)


def test_a_call_that_fails_here_alone_ends_its_run() -> None:
    """A model call that had its answer after a resend fails without one, and what came after it is not asked."""
    recorded = record([ScriptedRun(0.0, (Scripted(0.0, (DOWN,)), Scripted(1.0), Scripted(1.0)))], resending(2))
    assert tally_of(recorded).run_successes == 1
    tally = what_if(recorded, ONCE)
    assert (tally.calls, tally.successes, tally.runs, tally.run_successes) == (1, 0, 1, 0)


def one_run(*made: RecordedCall) -> list[RecordedRun]:
    """A run of these calls."""
    return [RecordedRun(run=run_of("run_1", 0.0, end=9.0), at=0.0, calls=made, took_s=9.0)]


def a_call(
    at: float, *, question: bytes = b"", kind: str = "model", target: str = MODEL, **fields: object
) -> RecordedCall:
    """A call that was answered at once."""
    made = Attempted(target=target, at=at, took_s=0.5)
    values: dict[str, object] = {"answered": target, "attempts": (made,), "nano_usd": 1000} | fields
    return RecordedCall(
        kind=kind,  # pyright: ignore[reportArgumentType] - fields of a test's choice
        target=target,
        effect="read",
        at=at,
        took_s=0.5,
        gap_s=at,
        question=question,
        **values,  # pyright: ignore[reportArgumentType] - as above
    )


def test_a_cache_answers_equal_calls() -> None:
    """Of three equal calls in a row a cache sends one, and two cost nothing."""
    made = [a_call(float(at), question=b"same") for at in (1, 3, 5)]
    tally = what_if(one_run(*made), Guard(cache=Cache()))
    assert (tally.calls, tally.successes, tally.attempts, tally.nano_usd) == (3, 3, 1, 1000)
    sampled = [a_call(float(at), question=b"same", is_sampled=True) for at in (1, 3, 5)]
    assert what_if(one_run(*sampled), Guard(cache=Cache())).attempts == 3


def test_a_budget_ends_a_run() -> None:
    """The second call of a run with a budget of one is refused, and counts as failed."""
    tally = what_if(one_run(a_call(1.0), a_call(3.0)), Guard(budget=Budget(calls=1)))
    assert (tally.calls, tally.successes, dict(tally.errors)) == (2, 1, {"budget_exceeded": 1})
    assert tally.run_successes == 0


def test_another_model_is_priced_as_what_it_is() -> None:
    """What a model costs that was fallen back on comes from its price, and what is not priced is counted."""
    failed = Attempted(target=MODEL, at=1.0, took_s=0.5, error=DOWN)
    runs = one_run(a_call(1.0, attempts=(failed,), error=DOWN, answered="", nano_usd=0))
    guard = Guard(retry=False, fallback=Fallback(models=("openai:n",)))
    assert what_if(runs, guard, price=Cost(nano_usd=7, source="test")).nano_usd == 7
    assert what_if(runs, guard, price=Cost(nano_usd=None, source="test")).unpriced == 1


def test_a_run_does_without_a_tool() -> None:
    """A tool that fails is told to the model, so its run goes on as it was recorded."""
    tool = a_call(1.0, kind="tool", target="look")
    tally = what_if(one_run(tool, a_call(3.0)), Guard(timeout=Timeout(total_s=0.1)))
    assert dict(tally.errors) == {"tool_timeout": 1, "provider_timeout": 1}
    assert tally.calls == 2


def test_it_can_be_ended() -> None:
    """A simulation that nobody waits for ends at the next call, whatever is still to come."""
    recorded, seen = outage(), 0

    def goes_on() -> bool:
        nonlocal seen
        seen += 1
        return seen < 3

    upstream = Upstream(call for run in recorded for call in run.calls)
    scene = Scene(
        runs=recorded, upstream=upstream, since=SINCE, price=lambda _, __: Cost(nano_usd=0, source=""), goes_on=goes_on
    )
    with pytest.raises(asyncio.CancelledError):
        simulate(scene, Terms(agent="a"), seed=0)
    assert seen == 3


def test_independent_faults_follow_the_arithmetic() -> None:
    """At faults of 15 % one by one, 3 attempts succeed 99.66 times of 100 (theory), drawn from a record with one."""
    random = Random(5)
    runs = [ScriptedRun(at * 5.0, (Scripted(0.0, (DOWN,) * (random.random() < 0.15)),)) for at in range(1500)]
    recorded = record(runs, ONCE)
    tallies = [what_if(recorded, resending(3), seed=seed) for seed in range(3)]
    rate = sum(tally.successes for tally in tallies) / sum(tally.calls for tally in tallies)
    assert rate == pytest.approx(1 - 0.15**3, abs=0.003)

"""What models and tools would have answered."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.engine.recorded import CUT, Attempted, RecordedCall
from runwright.engine.upstream import REACHES_S, Drawn, Evidence, Upstream

DOWN = "provider_unavailable"


def attempt(at: float, error: str = "", *, took_s: float = 0.5, target: str = "m") -> Attempted:
    """One attempt."""
    return Attempted(target=target, at=at, took_s=took_s, error=error)


def call_of(*attempts: Attempted, target: str = "m") -> RecordedCall:
    """A call of these attempts."""
    return RecordedCall(kind="model", target=target, effect="read", at=0, took_s=1, gap_s=0, attempts=attempts)


def alone(attempts: Sequence[Attempted]) -> list[RecordedCall]:
    """A call for each."""
    return [call_of(each) for each in attempts]


def reply(upstream: Upstream, call: RecordedCall, target: str = "m", *, nth: int = 0, at: float) -> Drawn:
    """What an attempt comes to, by the first seed."""
    return upstream.reply(call, target, nth=nth, at=at, random=lambda: Random(0))


OUTAGE = [attempt(float(at), DOWN if 100 <= at < 160 else "") for at in range(300)]


def test_an_outage_is_an_interval() -> None:
    """Where failures stand together, an attempt fails as those around it did, and not before or after."""
    evidence = Evidence(OUTAGE)
    assert evidence.reach_s > 0
    assert evidence.failure_chance(130.4) > 0.99
    assert evidence.failure_chance(50.4) < 0.01
    assert evidence.failure_chance(200.4) < 0.01


def test_faults_one_by_one_are_a_rate() -> None:
    """Where a failure tells nothing about the next moment, every moment has the same chance: their share."""
    random = Random(3)
    evidence = Evidence(attempt(float(at), DOWN if random.random() < 0.15 else "") for at in range(2000))
    assert evidence.reach_s == 0
    assert evidence.failure_chance(77.7) == pytest.approx(evidence.failure_rate)
    assert evidence.failure_rate == pytest.approx(0.15, abs=0.03)


def test_what_is_known_is_replayed() -> None:
    """The same attempt of the same call at its own time is answered as it was recorded."""
    calls = alone(OUTAGE)
    upstream = Upstream(calls)
    for call in calls:
        assert reply(upstream, call, at=call.attempts[0].at + 0.2) == Drawn(call.attempts[0])


def test_another_time_is_drawn() -> None:
    """In an outage a call is drawn at a time when it was not made, and takes as long as its own answer took."""
    calls = alone(OUTAGE)
    upstream = Upstream(calls)
    early = reply(upstream, calls[50], at=130.5)
    assert early.is_drawn
    assert early.attempt.error == DOWN
    late = reply(upstream, calls[50], at=250.5)
    assert late.is_drawn
    assert late.attempt == calls[50].attempts[0]


def test_an_attempt_that_was_not_made_is_drawn() -> None:
    """The second attempt of a call that made one is drawn at its moment."""
    calls = alone(OUTAGE)
    found = reply(Upstream(calls), calls[158], nth=1, at=170.0)
    assert found.is_drawn
    assert not found.attempt.error


def test_time_does_not_matter_where_nothing_failed() -> None:
    """A target that never failed answers each call as it did, whenever it is asked."""
    calls = alone([attempt(float(at), took_s=at + 1.0) for at in range(5)])
    assert reply(Upstream(calls), calls[3], at=4000.0) == Drawn(calls[3].attempts[0])


def test_what_was_cut_takes_longer_than_that() -> None:
    """An attempt that was ended from outside did not answer until then, so what is drawn for it takes longer."""
    calls = alone([attempt(1.0, CUT, took_s=3.0), *(attempt(float(at), took_s=at) for at in range(2, 6))])
    found = reply(Upstream(calls), calls[0], at=1.0)
    assert found.is_drawn
    assert found.attempt.took_s > 3.0


def test_a_target_without_a_record_is_assumed_to_answer() -> None:
    """A target that was never called answers, as slowly as the call's own target, and that is told."""
    calls = alone([attempt(1.0, took_s=2.0)])
    found = reply(Upstream(calls), calls[0], "other", at=1.0)
    assert (found.is_drawn, found.is_assumed) == (True, True)
    assert (found.attempt.target, found.attempt.error, found.attempt.took_s) == ("other", "", 2.0)


moments = st.floats(0, 10_000, allow_nan=False)


@given(st.lists(st.tuples(moments, st.booleans()), max_size=40), moments)
def test_a_chance_is_a_chance(seen: list[tuple[float, bool]], at: float) -> None:
    """Whatever was recorded, the chance is between 0 and 1, and is certain where everything went one way."""
    evidence = Evidence(attempt(moment, DOWN if is_down else "") for moment, is_down in seen)
    chance = evidence.failure_chance(at)
    assert evidence.reach_s in REACHES_S
    assert 0 <= chance <= 1
    if len({is_down for _, is_down in seen}) == 1:
        assert chance == float(seen[0][1])

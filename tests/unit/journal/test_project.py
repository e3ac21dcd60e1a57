"""Rows as projections of events: what a run costs."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from runwright.core.event import Event, GuardDecided, StepCompleted, StepStarted
from runwright.core.money import NO_COST, UNPRICED, Cost, CostLine, cost_line
from runwright.core.run import Run
from runwright.journal.project import account, project_step

NOW = datetime(2026, 11, 21, tzinfo=UTC)
LINES = st.lists(
    st.builds(cost_line, st.just("input_tokens"), st.integers(1, 10**7), st.integers(0, 10**11)), max_size=4
)


def priced(lines: list[CostLine]) -> Cost:
    """The cost of a call with these lines."""
    amount = sum(line.amount_nano for line in lines)
    return Cost(nano_usd=amount, source="overlay", version="1", lines=tuple(lines))


CALLS = st.lists(st.tuples(st.one_of(LINES.map(priced), st.just(UNPRICED)), st.booleans()), max_size=8)
"""What calls cost, and whether a tape answered them."""


@given(CALLS)
def test_a_run_costs_what_its_own_lines_say(calls: list[tuple[Cost, bool]]) -> None:
    """Lines add up to steps and steps to the run, to the nano; what a tape answered is not spent; unpriced stays so."""
    run = Run(id="run_1", agent="a", version="1", fingerprint="f", status="running", created_at=NOW)
    for seq, (cost, is_taped) in enumerate(calls, start=1):
        begun = StepStarted(kind="model", name="m", key="k")
        step = project_step(None, Event(run.id, seq, NOW, begun, seq), begun)
        ended = StepCompleted(cost=cost, taped=1 if is_taped else None)
        step = project_step(step, Event(run.id, seq, NOW, ended, seq), ended)
        assert (step.cost.nano_usd, step.cost.lines) == (cost.nano_usd, ())
        run = account(run, step)
    spent = [cost for cost, is_taped in calls if not is_taped]
    if UNPRICED in spent:
        assert run.cost == UNPRICED
    else:
        assert run.cost.nano_usd == sum(line.amount_nano for cost in spent for line in cost.lines)
        assert run.cost == (Cost(nano_usd=run.cost.nano_usd, source="overlay") if spent else NO_COST)


def test_a_step_keeps_what_the_guard_decided() -> None:
    """Layer and action of each decision stand in the row of its step, each once, in the order in which they came."""
    begun = StepStarted(kind="model", name="m", key="k")
    step = project_step(None, Event("run_1", 1, NOW, begun, 1), begun)
    waited, resent = GuardDecided(layer="rate", action="waited"), GuardDecided(layer="retry", action="resend")
    for decision in (waited, resent, waited):
        step = project_step(step, Event("run_1", 2, NOW, decision, 1), decision)
    assert step.decided == ("rate waited", "retry resend")
    assert step.status == "running"

"""`runwright guard`."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from inline_snapshot import snapshot
from msgspec.structs import replace

from runwright.agents.load import SUFFIXES
from runwright.cli.guard import simulate, stats
from runwright.guard import LiveTarget
from runwright.service.guard import GuardQuery, GuardReport, Operation
from runwright.service.simulation_views import (
    Durations,
    NamedPolicies,
    SimulationFigures,
    SimulationQuery,
    SimulationReport,
    Spread,
)
from tests.unit.cli.fakes import FakeAccess, FakeCall

MODEL = Operation(
    kind="model",
    target="openai:m",
    attempts=5,
    successes=3,
    failures=1,
    retried_successes=1,
    retried_failures=0,
    success_rate=0.75,
    retry_success_rate=1.0,
)
NOTHING = Operation(
    kind=None,
    target=None,
    attempts=0,
    successes=0,
    failures=0,
    retried_successes=0,
    retried_failures=0,
    success_rate=None,
    retry_success_rate=None,
)
BREAKER = LiveTarget(
    target="openai:m", layer="breaker", place="default", state="open", figures={"seen": 20, "failed": 12}
)


class FakeGuard:
    """Figures of a test; what was asked stands in `asked`."""

    def __init__(self) -> None:
        self.asked: list[GuardQuery] = []

    async def report(self, query: GuardQuery) -> GuardReport:
        """One model, unless another target is asked for."""
        self.asked.append(query)
        if query.target == "nobody":
            return GuardReport(since=None, data=[], total=NOTHING, live=[])
        return GuardReport(since=None, data=[MODEL], total=MODEL, live=[BREAKER])


async def test_figures_are_a_table_and_states_another() -> None:
    """Targets with their figures come first, then what the guard knows of them now."""
    asked = FakeGuard()
    call = FakeCall(FakeAccess(guard=asked))
    await stats("openai:m", since="1h", call=call)
    assert asked.asked == [GuardQuery(target="openai:m", since="1h")]
    assert call.printed == snapshot("""\
TARGET	KIND	ATTEMPTS	SUCCESSES	FAILURES	RETRIED OK	RETRIED FAILED	RATE	RETRY RATE
openai:m	model	5	3	1	1	0	75.00%	100.00%
openai:m	model	5	3	1	1	0	75.00%	100.00%

TARGET	PART	STATE	FIGURES
openai:m	breaker	open	seen 20, failed 12
""")


async def test_nothing_is_an_empty_table() -> None:
    """Of a target that was never called there is nothing to print but the heads of columns."""
    call = FakeCall(FakeAccess(guard=FakeGuard()))
    await stats("nobody", call=call)
    assert "total" not in call.printed


async def test_json_is_the_report() -> None:
    """With `--json` the whole report is printed."""
    call = FakeCall(FakeAccess(guard=FakeGuard()), is_json=True)
    await stats(call=call)
    assert '"retried_successes":1' in call.printed.replace(" ", "")


RECORDED = SimulationFigures(
    name="recorded",
    calls=4,
    success=Spread(mean=0.5, lowest=0.5, highest=0.5),
    latency=Durations(p50_s=0.25, p95_s=1.0, p99_s=60.0),
    usd="0.5",
    unpriced=0,
    upstream=4,
    upstream_per_call=Spread(mean=1.0, lowest=1.0, highest=1.0),
    peak_per_s=2,
    waited_s=0.0,
    runs=0,
    run_success=None,
    run_latency=Durations(p50_s=None, p95_s=None, p99_s=None),
    cut_short=0,
    drawn=0.0,
    decisions={},
    errors={"rate_limited": 2},
)
OTHER = replace(
    RECORDED, name="other", success=Spread(mean=0.9, lowest=0.75, highest=1.0), unpriced=0.5, cut_short=1, drawn=0.2
)


class FakeSimulations:
    """A simulation of a test; what was asked stands in `asked`."""

    def __init__(self) -> None:
        self.asked: list[SimulationQuery] = []

    async def report(
        self, query: SimulationQuery, *, told: Callable[[int, int], None] | None = None
    ) -> SimulationReport:
        """Two columns."""
        self.asked.append(query)
        assert told is not None
        told(256, 256)
        moment = datetime(2026, 11, 21, tzinfo=UTC)
        return SimulationReport(
            agent=query.agent,
            since=moment,
            until=moment,
            runs=2,
            calls=4,
            left_out=1,
            seed=7,
            seeds=20,
            assumed=["openai:n"],
            recorded=RECORDED,
            data=[OTHER],
        )


async def test_policies_stand_side_by_side(tmp_path: Path) -> None:
    """A column for the record and each set of policies, which are named as their files; remarks are told beside."""
    asked = FakeSimulations()
    call = FakeCall(FakeAccess(simulations=asked))
    file = tmp_path / f"other{SUFFIXES[0]}"
    file.write_text("retry: {attempts: 2}\n")
    await simulate(agent="a", policy=(file,), seed=7, call=call)
    policies = (NamedPolicies(name="other", guard={"retry": {"attempts": 2}}),)
    assert asked.asked == [SimulationQuery(agent="a", policies=policies, last="7d", seed=7)]
    assert call.printed == snapshot("""\
FIGURE	RECORDED	OTHER
calls	4	4
calls that succeed	50.00%	90.00% (75.00% to 100.00%)
runs that succeed	-	-
runs cut short	0	1
usd	0.5	0.5 and 0.5 unpriced
call p50	250 ms	250 ms
call p95	1 s	1 s
call p99	60 s	60 s
run p50	-	-
run p95	-	-
run p99	-	-
upstream per call	1.000	1.000
upstream peak per s	2	2
failed with	rate_limited 2	rate_limited 2
attempts drawn	0.0%	20.0%
""")
    assert call.noted == snapshot("""\
4 calls of 2 runs since 2026-11-21T00:00Z, each simulated with 20 seeds from 7 on
1 calls are left out: they were cancelled, or began again in another process.
Runs cut short got over the failure that ended them; what they would do next is not known.
Nothing is recorded of openai:n: taken to answer always, as fast as the first.
""")

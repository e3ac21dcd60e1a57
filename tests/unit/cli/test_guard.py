"""`runwright guard`."""

from inline_snapshot import snapshot

from runwright.cli.guard import stats
from runwright.guard import LiveTarget
from runwright.service.guard import GuardQuery, GuardReport, Operation
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

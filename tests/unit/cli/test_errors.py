"""`runwright errors`."""

from datetime import UTC, datetime

from runwright.cli.errors import errors
from runwright.service.error_views import ErrorExample, ErrorGroup, ErrorQuery, ErrorReport
from runwright.service.stat_views import StatQuery, StatReport
from tests.unit.cli.fakes import FakeAccess, FakeCall

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


class FakeErrors:
    """Errors of a test; what was asked stands in `asked`."""

    def __init__(self) -> None:
        self.asked: list[ErrorQuery] = []

    async def report(self, query: StatQuery) -> StatReport:
        """Nothing is counted here."""
        raise NotImplementedError

    async def errors(self, query: ErrorQuery) -> ErrorReport:
        """Two faults, one without a step, unless an agent is asked for that never fails."""
        self.asked.append(query)
        if query.agent == "good":
            return ErrorReport(since=NOW, until=None, data=[], total=0)
        data = [fault("Order # was refused", 12, step=4), fault("word " * 30, 1, step=None)]
        return ErrorReport(since=NOW, until=None, data=data, total=20, more=7, is_cut=True)


def fault(message: str, count: int, *, step: int | None) -> ErrorGroup:
    """Runs that failed of the same."""
    newest = ErrorExample(run_id="run_1", version="1.0.0", step=step, message=message, at=NOW)
    return ErrorGroup(
        agent="shop",
        code="tool_failed",
        message=message,
        retryable=False,
        count=count,
        first_at=NOW,
        last_at=NOW,
        newest=newest,
        runs=["run_1"],
    )


async def test_errors_are_a_table() -> None:
    """Each fault in a line with how often, since when, and its newest run; what is left out is told."""
    asked = FakeErrors()
    call = FakeCall(FakeAccess(stats=asked))
    await errors(since="1d", code="tool_failed", call=call)
    assert asked.asked == [ErrorQuery(since="1d", code="tool_failed")]
    head, order, word = [line.split("\t") for line in call.printed.splitlines()]
    assert head == ["COUNT", "AGENT", "CODE", "MESSAGE", "FIRST", "LAST", "NEWEST RUN", "STEP"]
    at = "2026-11-21 09:30"
    assert order == ["12", "shop", "tool_failed", "Order # was refused", at, at, "run_1", "4"]
    assert (len(word[3]), word[3][-2:], word[-1]) == (100, "d…", "")
    assert "7 further kinds of errors are left out" in call.noted
    assert "those since 2026-11-21 09:30 UTC" in call.noted


async def test_nothing_failed() -> None:
    """Where nothing failed it says so; as JSON there is a report all the same."""
    call = FakeCall(FakeAccess(stats=FakeErrors()))
    await errors(agent="good", call=call)
    assert "Nothing failed." in call.noted
    call = FakeCall(FakeAccess(stats=FakeErrors()), is_json=True)
    await errors(agent="good", call=call)
    assert '"total": 0' in call.printed

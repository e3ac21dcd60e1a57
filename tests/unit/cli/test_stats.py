"""`runwright stats`."""

from datetime import UTC, datetime

from inline_snapshot import snapshot

from runwright.cli.stats import stats
from runwright.core.usage import Usage
from runwright.service.error_views import ErrorQuery, ErrorReport
from runwright.service.stat_views import StatGroup, StatQuery, StatReport
from tests.unit.cli.fakes import FakeAccess, FakeCall

USAGE = Usage(input_tokens=1000, output_tokens=200, requests=3)


class FakeStats:
    """Stats of a test; what was asked stands in `asked`."""

    def __init__(self) -> None:
        self.asked: list[StatQuery] = []

    async def report(self, query: StatQuery) -> StatReport:
        """Three calls of one day, unless nothing happened."""
        self.asked.append(query)
        group = StatGroup(
            key="2026-11-21", calls=3, errors=1, p50_s=0.0312, p95_s=2.5, usd="0.5", unpriced_calls=1, usage=USAGE
        )
        none = StatGroup(key=None, calls=0, errors=0, p50_s=None, p95_s=None, usd="0", unpriced_calls=0, usage=Usage())
        data, total = ([], none) if query.agent == "nobody" else ([group], group)
        since = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
        return StatReport(
            by=query.by, kind="model", since=since, until=None, data=data, total=total, is_cut=query.by == "user"
        )

    async def errors(self, query: ErrorQuery) -> ErrorReport:
        """Nothing failed here."""
        raise NotImplementedError


async def test_stats_are_a_table() -> None:
    """Keys with calls, errors, durations, tokens and cost; the total comes last."""
    asked = FakeStats()
    call = FakeCall(FakeAccess(stats=asked))
    await stats(by="day", since="7d", template="chain", call=call)
    assert asked.asked == [StatQuery(by="day", since="7d", template="chain")]
    assert call.printed == snapshot("""\
DAY	CALLS	ERRORS	P50	P95	INPUT	OUTPUT	USD	UNPRICED
2026-11-21	3	1	31.2 ms	2.5 s	1000	200	0.5	1
total	3	1	31.2 ms	2.5 s	1000	200	0.5	1
""")


async def test_what_was_not_read_is_told() -> None:
    """Where only the newest runs were read, it says since when."""
    call = FakeCall(FakeAccess(stats=FakeStats()))
    await stats(by="user", call=call)
    assert "Only the newest runs were read: those since 2026-11-21 09:30 UTC." in call.noted


async def test_nothing_is_no_table() -> None:
    """Without calls there is no total either; JSON says so."""
    call = FakeCall(FakeAccess(stats=FakeStats()))
    await stats(agent="nobody", call=call)
    assert "total" not in call.printed
    call = FakeCall(FakeAccess(stats=FakeStats()), is_json=True)
    await stats(call=call)
    assert '"p95_s": 2.5' in call.printed

"""Cron expressions and time zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core import cron
from runwright.core.cron import check_cron, cron_times, zone

BERLIN = "Europe/Berlin"
SPRING = datetime(2026, 3, 28, 12, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 24, 12, tzinfo=UTC)


def local(expression: str, after: datetime, *, count: int, of: str = BERLIN) -> list[str]:
    """The next times as clocks in a zone show them."""
    times = cron_times(expression, zone(of), after=after)
    return [f"{at.astimezone(zone(of)):%d %H:%M %z}" for at in islice(times, count)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["29 03:00 +0200", "30 02:30 +0200"]),
        ("0,30 2 * * *", ["29 03:00 +0200", "30 02:00 +0200"]),
        ("30 1,2,3 * * *", ["29 01:30 +0100", "29 03:00 +0200", "29 03:30 +0200"]),
        ("0 * * * *", ["28 14:00 +0100", "28 15:00 +0100"]),
    ],
)
def test_a_time_that_the_clock_leaves_out(expression: str, expected: list[str]) -> None:
    """It comes at the first time after the gap, once."""
    assert local(expression, SPRING, count=len(expected)) == expected


def test_hours_that_are_not_there_do_not_count() -> None:
    """Where the hour is a wildcard, every hour that there is counts: 23 in spring, 25 in autumn."""
    assert local("0 * * * *", datetime(2026, 3, 29, 0, 30, tzinfo=UTC), count=2) == ["29 03:00 +0200", "29 04:00 +0200"]
    assert local("0 * * * *", datetime(2026, 10, 24, 23, 30, tzinfo=UTC), count=3) == [
        "25 02:00 +0200",
        "25 02:00 +0100",
        "25 03:00 +0100",
    ]


def test_a_time_that_comes_twice_counts_once() -> None:
    """The first of two equal times counts, also for who asks between them."""
    assert local("30 2 * * *", AUTUMN, count=2) == ["25 02:30 +0200", "26 02:30 +0100"]
    between = datetime(2026, 10, 25, 1, 15, tzinfo=UTC)
    assert local("30 2 * * *", between, count=1) == ["26 02:30 +0100"]


FIELDS = st.tuples(
    st.sampled_from(["*", "0", "30", "*/20", "0,30", "59"]),
    st.sampled_from(["*", "2", "0", "1-3", "*/6", "23"]),
    st.sampled_from(["*", "1", "L", "29", "*/10"]),
    st.sampled_from(["*", "3", "10", "2"]),
    st.sampled_from(["*", "1-5", "SUN", "6L", "1#1"]),
)
ZONES = st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu"])
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
MOMENTS = st.timedeltas(timedelta(), timedelta(days=3 * 365)).map(lambda since: BEGIN + since)


@given(fields=FIELDS, of=ZONES, after=MOMENTS)
def test_times_rise_and_do_not_depend_on_who_asks(fields: tuple[str, ...], of: str, after: datetime) -> None:
    """Times are above the one that was asked for, in order, and the same from each of them on."""
    expression = " ".join(fields)
    found = list(islice(cron_times(expression, zone(of), after=after), 4))
    assert [after, *found] == sorted({after, *found})
    for index, at in enumerate(found[:-1]):
        assert next(cron_times(expression, zone(of), after=at)) == found[index + 1]
    if found:
        assert next(cron_times(expression, zone(of), after=found[0] - timedelta(seconds=1))) == found[0]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("* * * *", "five fields"),
        ("0 0 0 * * *", "five fields"),
        ("61 * * * *", "bad minute"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("", "five fields"),
    ],
)
def test_what_is_no_expression(expression: str, said: str) -> None:
    """It is refused with what is wrong."""
    with pytest.raises(ValueError, match=said):
        check_cron(expression)


def test_a_day_that_never_comes_has_no_times() -> None:
    """An expression without a time ends."""
    assert list(cron_times("0 0 */20 * 1L", UTC, after=SPRING)) == []


@pytest.mark.parametrize("name", ["Europe/Berlim", "Europe", "../../etc/passwd", "", "a\0b"])
def test_what_is_no_zone(name: str) -> None:
    """It is refused, whatever it would be as the name of a file."""
    with pytest.raises(ValueError, match="there is no time zone"):
        zone(name)


def test_a_system_without_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system knows no zone at all, the message says what to install, and UTC is there."""
    monkeypatch.setattr(cron, "available_timezones", set)
    with pytest.raises(ValueError, match="`tzdata`"):
        zone("Europe/Berlim")
    assert zone("utc") is UTC

"""Cron expressions and time zones: the times that they name."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

FIELDS = 5


def zone(name: str) -> tzinfo:
    """A time zone of the IANA database. Raises ValueError that says what to do."""
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    # A name may be that of a folder, or no file name at all.
    except (OSError, ValueError, KeyError):
        known = available_timezones()
    if not known:
        raise ValueError(
            f"the zone {name!r} is not known, because this system has no time zones: install its package `tzdata`, "
            "or the Python package of that name"
        )
    raise ValueError(f"there is no time zone {name!r}: name one as 'Europe/Berlin'")


def check_cron(expression: str) -> None:
    """Raises ValueError that says what is wrong with a cron expression."""
    cron_times(expression, UTC, after=datetime(2000, 1, 1, tzinfo=UTC))


def cron_times(expression: str, of: tzinfo, *, after: datetime) -> Iterator[datetime]:
    """The times of an expression after one, in UTC and in order. Raises ValueError for what is no expression.

    As in Debian's cron: a time of the day that a change of the clock leaves out comes at the next one that there is,
    and one that comes twice counts once. Where minute or hour begin with `*`, only the hours that there are count.
    """
    if len(expression.split()) != FIELDS:
        raise ValueError(
            f"a cron expression has five fields (minute, hour, day of month, month, day of week), not {expression!r}"
        )
    try:
        times = CronSim(expression, after.astimezone(of))
    except CronSimError as error:
        raise ValueError(f"{expression!r} is no cron expression: {str(error).lower()}") from None
    return _after(times, after)


def _after(times: Iterator[datetime], after: datetime) -> Iterator[datetime]:
    last = after
    for each in times:
        at = each.astimezone(UTC)
        # In the second of two equal hours, times of the first one come up again.
        if at > last:
            last = at
            yield at

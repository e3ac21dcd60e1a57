"""Schedules from plain data: what definitions, callers and commands say, checked, with a place for each mistake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import cast

import msgspec

from runwright.core.cron import check_cron, zone
from runwright.core.labels import check_metadata, check_thread_id
from runwright.core.schedule import Schedule
from runwright.errors import ConfigError, InvalidRequest

WHEN = ("cron", "every_s", "at")
"""Fields that say when; a schedule has one of them."""


def read_schedule(data: object) -> Schedule:
    """A schedule from plain data. Raises ConfigError with every mistake; places are JSON pointers into the data."""
    if not isinstance(data, Mapping):
        raise _error([("", f"a schedule is a mapping with a name, an agent and a time, not {data!r}")])
    given = cast("Mapping[str, object]", data)
    problems = list(_wrong_fields(given))
    if not problems:
        schedule = msgspec.convert(dict(given), Schedule)
        problems = list(_wrong(schedule))
        if not problems:
            return schedule
    raise _error(problems)


def write_schedule(schedule: Schedule) -> dict[str, object]:
    """A schedule as plain data that `read_schedule` reads."""
    return msgspec.json.decode(msgspec.json.encode(schedule))


def _error(problems: list[tuple[str, str]]) -> ConfigError:
    return ConfigError("; ".join(f"{at}: {detail}".removeprefix(": ") for at, detail in problems), problems=problems)


def _wrong_fields(given: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    fields = {field.name: field for field in msgspec.structs.fields(Schedule)}
    for name, value in given.items():
        if name not in fields:
            near = get_close_matches(name, fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(fields)}"
            yield f"/{name}", f"there is no field {name!r}{hint}"
            continue
        try:
            msgspec.convert(value, fields[name].type)
        except msgspec.ValidationError as error:
            detail, _, path = str(error).partition(" - at `$")
            place = path.removesuffix("`").replace("[...]", "").replace("[", "/").replace("]", "").replace(".", "/")
            yield f"/{name}{place}", f"{_in_words(name, detail)}, not {value!r}"


def _in_words(name: str, detail: str) -> str:
    if name in {"at", "start_at", "end_at"}:
        return "this is a time as '2026-12-24T09:00:00' or '2026-12-24T09:00:00Z'"
    if "matching regex" in detail:
        return "a name has up to 64 letters, digits, '.', '_' and '-'" if name == "name" else "printable text alone"
    return detail


def _wrong(schedule: Schedule) -> Iterator[tuple[str, str]]:
    if not schedule.name:
        yield "/name", "a schedule has a name"
    if not schedule.agent:
        yield "/agent", "a schedule names its agent"
    named = [name for name in WHEN if getattr(schedule, name) is not None]
    if len(named) != 1:
        at = f"/{named[1]}" if named else ""
        yield at, f"a schedule has one of cron, every_s and at, not {' and '.join(named) or 'none of them'}"
    for field, check in (("cron", check_cron), ("timezone", zone)):
        value: str | None = getattr(schedule, field)
        try:
            if value is not None:
                check(value)
        except ValueError as error:
            yield f"/{field}", str(error)
            return
    first, last = _instant(schedule, schedule.start_at), _instant(schedule, schedule.end_at)
    if first is not None and last is not None and last < first:
        yield "/end_at", "the end is before the start"
    yield from _wrong_labels(schedule)


def _wrong_labels(schedule: Schedule) -> Iterator[tuple[str, str]]:
    try:
        check_thread_id(schedule.thread_id, at="/thread_id")
        check_metadata(schedule.metadata)
    except InvalidRequest as error:
        yield from error.problems


def _instant(schedule: Schedule, given: datetime | None) -> datetime | None:
    return None if given is None else instant(given, schedule.timezone)


def instant(given: datetime, timezone: str) -> datetime:
    """A time that may have no offset, as it is in a zone."""
    return given if given.tzinfo is not None else given.replace(tzinfo=zone(timezone))

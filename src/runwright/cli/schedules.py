"""`runwright schedules`: agents that run by themselves, at times."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from runwright.cli.access import Access
from runwright.cli.answer import LINE, summary
from runwright.cli.call import Call, Called, Flag, Limit, Texts
from runwright.cli.failures import RUN_FAILED, Exit
from runwright.cli.output import short
from runwright.cli.run import encoded
from runwright.errors import ConfigError, InvalidRequest
from runwright.service.schedules import FiringView, ScheduleView
from runwright.service.views import RunView

COLUMNS = ("schedule", "agent", "when", "status", "next", "fired")
FIRED = ("at", "became", "run or reason")
FIRINGS = 10
NONE = "There is none. A server takes up those of definitions when it starts: `runwright serve`."
FIRED_BY = "It fires where a server of its data directory runs: `runwright serve`."

Text = Annotated[str | None, Parameter(allow_leading_hyphen=True)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class What:
    """What a schedule says; what is left out stays as it is."""

    cron: str | None = None
    "Five fields: minute, hour, day of month, month, day of week."
    every: float | None = None
    "Seconds from one time to the next."
    at: str | None = None
    "The one time, as 2026-12-24T09:00:00; without Z or an offset as the zone's clocks show it."
    tz: str | None = None
    "The time zone, as Europe/Berlin (default: UTC)."
    start: str | None = None
    "No time is before this one."
    end: str | None = None
    "No time is after this one."
    max_firings: int | None = None
    "How often it fires at the most."
    jitter: float | None = None
    "Each firing comes up to so many seconds later."
    catch_up: Literal["skip", "last", "all"] | None = None
    "What runs after downtime: nothing, the last time, or all up to --catch-up-limit (default: last)."
    catch_up_limit: int | None = None
    "How many of the missed times run with `all` (default: 10)."
    overlap: Literal["skip", "queue", "cancel", "allow"] | None = None
    "What a time does while the run before it is at work (default: skip)."
    version: str | None = None
    "A version of the agent other than the current one."
    thread: str | None = None
    "The conversation that the runs belong to."
    user: str | None = None
    "Who the runs are for."
    group: str | None = None
    "A label that ties the runs together."
    tag: Texts = ()
    "A tag; may be given more than once."
    run_config: str | None = None
    "The configuration of each run, as JSON."


FIELDS = {
    "every": "every_s",
    "tz": "timezone",
    "start": "start_at",
    "end": "end_at",
    "jitter": "jitter_s",
    "thread": "thread_id",
    "tag": "tags",
    "run_config": "config",
}
"""Fields of a schedule whose options are called otherwise."""

WHEN = ("cron", "every_s", "at")
NOTHING = What()


async def ls(*, agent: str | None = None, after: str | None = None, limit: Limit = 50, call: Called) -> None:
    """List the schedules: when they come next, and what they run.

    Args:
        agent: Of this agent only.
        after: The name after which the page begins.
        limit: How many on a page.
        call: What every command is handed.
    """
    async with _looking(call) as access:
        page = await access.schedules.find(agent=agent, after=after, limit=limit)
    if call.out.is_json:
        call.out.json(page)
        return
    call.out.table(COLUMNS, [_row(view) for view in page.data])
    if not page.data:
        call.out.note(NONE)
    for view in page.data:
        if view.problem:
            call.out.note(f"{view.place or view.name}: {view.name} starts nothing: {view.problem}")
    if page.has_more:
        call.out.note(f"There are more: --after {page.next}")


async def show(name: str, /, *, limit: Limit = FIRINGS, call: Called) -> None:
    """Show a schedule and what became of its times, the newest first.

    Args:
        name: The schedule.
        limit: How many times.
        call: What every command is handed.
    """
    async with _looking(call) as access:
        view = await access.schedules.get(name)
        page = await access.schedules.firings(name, limit=limit)
    if call.out.is_json:
        call.out.json({"schedule": view, "firings": page})
        return
    _print(call, view)
    call.out.table(FIRED, [_firing(each) for each in page.data])


async def add(
    name: str, agent: str, input: Text = None, /, *, as_json: Flag = False, what: What = NOTHING, call: Called
) -> None:
    """Make a schedule.

    Args:
        name: Its name.
        agent: The agent that runs.
        input: The input of each run, as text.
        as_json: The input is JSON, not text.
        what: What it says.
        call: What every command is handed.
    """
    data = {"name": name, "agent": agent, **_said(what), **_input(input, is_json=as_json)}
    async with call.open() as access:
        view = await access.schedules.create(data)
    _print(call, view)
    if not call.out.is_json:
        call.out.note(FIRED_BY)


async def set(
    name: str,
    /,
    *,
    agent: str | None = None,
    input: Text = None,
    as_json: Flag = False,
    what: What = NOTHING,
    call: Called,
) -> None:
    """Change a schedule; what is left out stays. Another way to say when takes the place of the one before.

    Args:
        name: The schedule.
        agent: Another agent.
        input: Another input of each run, as text.
        as_json: The input is JSON, not text.
        what: What it says.
        call: What every command is handed.
    """
    said = _said(what)
    if any(each in said for each in WHEN):
        said = {**dict.fromkeys(WHEN), **said}
    if agent is not None:
        said["agent"] = agent
    async with call.open() as access:
        view = await access.schedules.patch(name, {**said, **_input(input, is_json=as_json)})
    _print(call, view)


async def pause(name: str, /, *, call: Called) -> None:
    """Let nothing begin until it is resumed.

    Args:
        name: The schedule.
        call: What every command is handed.
    """
    async with call.open(has_agents=False) as access:
        _print(call, await access.schedules.pause(name))


async def resume(name: str, /, *, call: Called) -> None:
    """Go on with the next time to come.

    Args:
        name: The schedule.
        call: What every command is handed.
    """
    async with call.open(has_agents=False) as access:
        _print(call, await access.schedules.resume(name))


async def trigger(name: str, /, *, call: Called) -> None:
    """Start a run now, whatever the schedule does, and print its answer. Without --server it runs in this process.

    Args:
        name: The schedule.
        call: What every command is handed.
    """
    async with call.open() as access:
        started = await access.schedules.trigger(name)
        view = await _over(access, started.run_id)
    call.out.show(view, _text(view))
    if not call.out.is_json:
        call.out.note(summary(view, ""))
    if view.error is not None:
        call.out.note(f"error: {view.error.code}: {view.error.message}")
    if view.status != "completed":
        raise Exit(RUN_FAILED)


async def rm(name: str, /, *, call: Called) -> None:
    """Forget a schedule and what became of its times; its runs stay.

    Args:
        name: The schedule.
        call: What every command is handed.
    """
    async with call.open(has_agents=False) as access:
        await access.schedules.delete(name)
    call.out.show({"name": name, "deleted": True}, f"{name} is deleted")


def next(cron: str, /, *, tz: str = "UTC", count: Limit = 5, after: datetime | None = None, call: Called) -> None:
    """Print the coming times of a cron expression. Nothing is stored.

    Args:
        cron: Five fields: minute, hour, day of month, month, day of week.
        tz: The time zone.
        count: How many times.
        after: The time after which they begin, instead of now; without an offset it is of the zone.
        call: What every command is handed.
    """
    from runwright.core.cron import cron_times, zone

    try:
        of = zone(tz)
        begin = after or datetime.now(UTC)
        times = cron_times(cron, of, after=begin if begin.tzinfo else begin.replace(tzinfo=of))
    except ValueError as error:
        raise InvalidRequest(str(error)) from error
    found = [at.astimezone(of) for at in islice(times, count)]
    call.out.show({"data": found}, "\n".join(f"{at:%a %Y-%m-%d %H:%M %Z}" for at in found))


@asynccontextmanager
async def _looking(call: Call) -> AsyncGenerator[Access]:
    """Schedules, and the agents that they name unless definitions are broken."""
    async with AsyncExitStack() as stack:
        try:
            access = await stack.enter_async_context(call.open(is_reading=True))
        except ConfigError:
            access = await stack.enter_async_context(call.open(has_agents=False, is_reading=True))
            call.out.note("The definitions of agents cannot be read: `runwright agents check` says why.")
        yield access


async def _over(access: Access, run_id: str) -> RunView:
    """The run when it is over or waits."""
    async for group in access.runs.events(run_id):
        if any(event.is_terminal or event.type == "run.waiting" for event in group):
            break
    return await access.runs.get(run_id)


def _text(view: RunView) -> str:
    output = msgspec.json.decode(view.output)
    return output if isinstance(output, str) else bytes(view.output).decode()


def _said(what: What) -> dict[str, object]:
    """The options that were given, as fields of a schedule. Raises InvalidRequest."""
    given = {name: value for name, value in asdict(what).items() if value not in (None, ())}
    if what.run_config is not None:
        given["run_config"] = msgspec.json.decode(encoded(what.run_config, is_json=True))
    return {FIELDS.get(name, name): value for name, value in given.items()}


def _input(text: str | None, *, is_json: bool) -> dict[str, object]:
    return {} if text is None else {"input": msgspec.json.decode(encoded(text, is_json=is_json))}


def _when(view: ScheduleView) -> str:
    said = view.definition
    if view.status == "unreadable":
        return ""
    if said.cron is not None:
        return f"{said.cron} {said.timezone}"
    return f"every {said.every_s:g} s" if said.every_s is not None else f"once at {said.at}"


def _row(view: ScheduleView) -> tuple[object, ...]:
    return (view.name, view.definition.agent, _when(view), view.status, _shown(view.next_at), view.fired)


def _firing(view: FiringView) -> tuple[object, ...]:
    at = _shown(view.at) if view.until is None else f"{_shown(view.at)} to {_shown(view.until)}"
    became = f"{view.became} by hand" if view.is_manual else view.became
    return (at, became, view.run_id or view.reason)


def _print(call: Call, view: ScheduleView) -> None:
    said = view.definition
    facts = {
        "agent": said.agent if said.version is None else f"{said.agent} {said.version}",
        "input": short(msgspec.json.encode(said.input).decode(), LINE),
        "when": _when(view),
        "next": _shown(view.next_at),
        "catch up": said.catch_up,
        "overlap": said.overlap,
        "defined in": view.place,
        "problem": view.problem,
    }
    lines = [f"{view.name} {view.status}", *(f"{name}: {fact}" for name, fact in facts.items() if fact)]
    call.out.show(view, "\n".join(lines))


def _shown(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"

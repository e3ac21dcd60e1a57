"""Schedules: when agents run by themselves, what became of it, and the forms that make and change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from runwright.core.cron import zone
from runwright.core.schedule_reader import write_schedule
from runwright.errors import Conflict, InvalidRequest
from runwright.service.schedules import FiringView, ScheduleView
from runwright.service.views import Page as Listed
from runwright.studio.forms import Field, Posted, Schema, form, is_draft, read
from runwright.studio.page import Action, Again, Ask, Page

ON_A_PAGE = 50
COMING = 5
"""Times to come that a schedule shows."""

_TEXT: Schema = {"type": "string"}


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule with its next time in its zone, and what became of the last one."""

    schedule: ScheduleView
    next: str
    last: FiringView | None


class ScheduleList(msgspec.Struct, frozen=True, kw_only=True):
    """Schedules by name."""

    schedules: Sequence[Listing]
    next: str | None


class ScheduleShown(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule, its times to come in its zone, and what became of those that were."""

    schedule: ScheduleView
    coming: Sequence[str]
    firings: Listed[FiringView]
    can_change: bool


class ScheduleForm(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as a form; `name` is that of the one that is changed."""

    form: Field
    name: str | None = None


async def list_schedules(ask: Ask) -> ScheduleList:
    """A page of schedules."""
    schedules = ask.app.schedules
    page = await schedules.find(agent=ask.query.get("agent"), after=ask.query.get("after"), limit=ON_A_PAGE)
    shown: list[Listing] = []
    for each in page.data:
        last = (await schedules.firings(each.name, limit=1)).data
        shown.append(Listing(schedule=each, next=_local(each, each.next_at), last=last[0] if last else None))
    return ScheduleList(schedules=shown, next=page.next)


async def show_schedule(ask: Ask) -> ScheduleShown:
    """One schedule. Raises NotFound."""
    schedules, name = ask.app.schedules, ask.name("schedule")
    view = await schedules.get(name)
    before = ask.number("after", 0, most=2**53) or None
    return ScheduleShown(
        schedule=view,
        coming=[_local(view, at) for at in await schedules.upcoming(name, limit=COMING)],
        firings=await schedules.firings(name, before=before, limit=ON_A_PAGE),
        can_change=view.source == "api",
    )


async def blank_form(ask: Ask) -> ScheduleForm:
    """An empty form, for the agent that the query names."""
    agent = ask.query.get("agent")
    return await _form(ask, Posted(data={"agent": agent} if agent else {}))


async def edit_form(ask: Ask) -> ScheduleForm:
    """The form of a schedule that was made here. Raises NotFound, and Conflict for those of code and files."""
    view = await _own(ask)
    return await _form(ask, Posted(data=write_schedule(view.definition)), name=view.name)


async def create(ask: Ask) -> str | Again:
    """Make a schedule of what was typed."""
    return await _submit(ask, None)


async def change(ask: Ask) -> str | Again:
    """Replace a schedule by what was typed."""
    return await _submit(ask, (await _own(ask)).name)


async def pause(ask: Ask) -> str:
    """Let nothing begin until it is resumed."""
    return _back(ask, (await ask.app.schedules.pause(ask.name("schedule"))).name)


async def resume(ask: Ask) -> str:
    """Go on with the next time to come."""
    return _back(ask, (await ask.app.schedules.resume(ask.name("schedule"))).name)


async def trigger(ask: Ask) -> str:
    """Start a run now, and go to it."""
    started = await ask.app.schedules.trigger(ask.name("schedule"))
    return ask.url(f"/runs/{started.run_id}")


async def delete(ask: Ask) -> str:
    """Forget a schedule; its runs stay."""
    await ask.app.schedules.delete(ask.name("schedule"))
    return ask.url("/schedules")


async def _submit(ask: Ask, name: str | None) -> str | Again:
    pairs = await ask.form()
    posted = read(_schema(ask), pairs)
    page = NEW if name is None else EDIT
    if is_draft(pairs):
        return Again(page=page, view=await _form(ask, posted, name=name), status=200)
    if posted.problems:
        return Again(page=page, view=await _form(ask, posted, name=name))
    try:
        return _back(ask, await _store(ask, posted.data, name))
    except InvalidRequest as error:
        found = error.problems or (("", error.public),)
        return Again(page=page, view=await _form(ask, posted, name=name, problems=found))
    except Conflict as error:
        view = await _form(ask, posted, name=name, problems=[("/name", error.public)])
        return Again(page=page, view=view, status=409)


async def _store(ask: Ask, data: Mapping[str, object], name: str | None) -> str:
    schedules = ask.app.schedules
    view = await (schedules.create(data) if name is None else schedules.update(name, data))
    return view.name


async def _form(
    ask: Ask, posted: Posted, *, name: str | None = None, problems: Sequence[tuple[str, str]] = ()
) -> ScheduleForm:
    return ScheduleForm(form=form(_schema(ask), posted, problems=problems), name=name)


def _schema(ask: Ask) -> Schema:
    agents = [entry.agent.name for entry in ask.app.registry.all()]
    return {**_SCHEDULE, "properties": {**_FIRST, "agent": {"enum": agents}, **_REST}}


async def _own(ask: Ask) -> ScheduleView:
    view = await ask.app.schedules.get(ask.name("schedule"))
    if view.source != "api":
        raise Conflict(f"The schedule {view.name!r} is defined in {view.place}: change it there.")
    return view


def _back(ask: Ask, name: str) -> str:
    return ask.url(f"/schedules/{name}")


def _local(view: ScheduleView, at: datetime | None) -> str:
    """A time on the clock of the schedule's zone."""
    if at is None:
        return ""
    name = view.definition.timezone
    return f"{at.astimezone(zone(name)):%a %Y-%m-%d %H:%M:%S} {name}"


_FIRST: Mapping[str, Schema] = {
    "name": {**_TEXT, "description": "Up to 64 letters, digits, '.', '_' and '-'; made up when left empty."},
}
_REST: Mapping[str, Schema] = {
    "cron": {**_TEXT, "description": "Times such as `0 9 * * 1-5`: one of cron, every_s and at is needed."},
    "every_s": {"type": "number", "minimum": 1, "description": "Seconds from one time to the next."},
    "at": {**_TEXT, "description": "One time, such as 2026-12-24T09:00:00."},
    "timezone": {**_TEXT, "default": "UTC", "description": "The zone of times without an offset: Europe/Berlin."},
    "input": {"description": "What the agent is given: JSON, or text."},
    "overlap": {
        "enum": ["skip", "queue", "cancel", "allow"],
        "default": "skip",
        "description": "What becomes of a time while the run before is at work.",
    },
    "catch_up": {
        "enum": ["skip", "last", "all"],
        "default": "last",
        "description": "What becomes of times that were missed.",
    },
    "catch_up_limit": {"type": "integer", "minimum": 1, "default": 10, "description": "How many are made up for."},
    "jitter_s": {"type": "number", "minimum": 0, "description": "Puts each time off by up to so many seconds."},
    "max_firings": {"type": "integer", "minimum": 1, "description": "After so many times it is over."},
    "start_at": {**_TEXT, "description": "The first time it may be."},
    "end_at": {**_TEXT, "description": "The last time it may be."},
    "thread_id": {**_TEXT, "description": "A thread that all its runs belong to."},
    "version": {**_TEXT, "description": "A version of the agent other than the current one."},
    "user": {**_TEXT, "description": "Whose runs they are."},
    "group": {**_TEXT, "description": "The group of its runs."},
    "tags": {"type": "array", "items": _TEXT, "description": "Tags of its runs."},
    "config": {"type": "object", "description": "What replaces the agent's configuration, as JSON."},
    "metadata": {"type": "object", "description": "Labels of your own, as JSON."},
}
_SCHEDULE: Mapping[str, object] = {"type": "object", "required": ["agent"]}
NEW = Page(path="/schedule", view=blank_form, template="schedule_form.html", title="Create a schedule")
EDIT = Page(path="/schedules/{schedule}/edit", view=edit_form, template="schedule_form.html", title="Change a schedule")
PAGES = (
    Page(path="/schedules", view=list_schedules, template="schedules.html", title="Schedules", nav="Schedules"),
    NEW,
    EDIT,
    Page(path="/schedules/{schedule}", view=show_schedule, template="schedule.html", title="Schedule"),
)
ACTIONS = (
    Action(path=NEW.path, act=create),
    Action(path=EDIT.path, act=change),
    Action(path="/schedules/{schedule}/pause", act=pause),
    Action(path="/schedules/{schedule}/resume", act=resume),
    Action(path="/schedules/{schedule}/trigger", act=trigger),
    Action(path="/schedules/{schedule}/delete", act=delete),
)

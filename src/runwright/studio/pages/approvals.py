"""What waits for a person: tool calls to allow, questions to answer, and effects whose outcome nobody knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import msgspec

from runwright.core.event import NULL
from runwright.core.labels import Label, Note
from runwright.core.ports import RunFilter
from runwright.core.step import Resolved
from runwright.core.values import is_object
from runwright.errors import Conflict, InvalidRequest, NotFound
from runwright.service.approval_views import ApprovalBody, ApprovalQuery, ApprovalView, Decision
from runwright.service.views import Resolution, RunView, StepView
from runwright.studio.forms import Field, Posted, Schema, around, form, is_draft, read
from runwright.studio.page import Action, Again, Ask, Page, own_path

ON_A_PAGE = 50
UNKNOWN = 200
"""Runs with unknown outcomes whose steps are shown: the newest."""

MOST = 100_000
"""Steps of a run that are looked through for unknown outcomes."""

ANY_OBJECT: Schema = {"type": "object", "title": "Arguments"}
EDITABLE = 20_000
"""Bytes of arguments that stand in a form; longer ones are approved or denied as they are."""

SETTLE_S = 2.0
"""Seconds that a page waits for a run that goes on, before it shows it as it is."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call or a question with the form of what may be said: its arguments, or its answer."""

    approval: ApprovalView
    form: Field
    by: str = ""
    note: str = ""

    @property
    def is_editable(self) -> bool:
        """Whether what was asked for may be changed here."""
        return is_editable(self.approval)


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """A step that may or may not have acted, with the form of its result."""

    run: RunView
    step: StepView
    form: Field


class WaitingList(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that waits for a person."""

    waiting: Sequence[Waiting]
    unknown: Sequence[Unknown]
    next: str | None = None
    has_more_unknown: bool = False


class OneWaiting(msgspec.Struct, frozen=True, kw_only=True):
    """One of them, and where to go when somebody has spoken."""

    waiting: Waiting | None = None
    unknown: Unknown | None = None
    next: str = "/approvals"


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """Who speaks, and why."""

    by: Label = ""
    note: Note = ""


async def list_waiting(ask: Ask) -> WaitingList:
    """What waits for a person, that of the newest run first."""
    found = await ask.app.approvals.find(ApprovalQuery(after=ask.query.get("after"), limit=ON_A_PAGE))
    runs = await ask.app.runs.find(RunFilter(reason="unknown_effect", limit=UNKNOWN), is_brief=True)
    unknown = [each for run in runs.data for each in await unknown_of(ask, run)]
    return WaitingList(
        waiting=[waiting(each) for each in found.data],
        unknown=unknown,
        next=found.next,
        has_more_unknown=runs.has_more,
    )


async def show_waiting(ask: Ask) -> OneWaiting:
    """One of them, also when somebody has spoken of it. Raises NotFound."""
    view = await ask.app.approvals.get(ask.name("approval"))
    return OneWaiting(waiting=waiting(view), next=own_path(ask.query.get("next", ""), "/approvals"))


async def show_unknown(ask: Ask) -> OneWaiting:
    """A step whose outcome is unknown. Raises NotFound."""
    run = await ask.app.runs.get(ask.name("run"))
    found = next((each for each in await unknown_of(ask, run) if str(each.step.seq) == ask.name("step")), None)
    if found is None:
        raise NotFound("The outcome of this step is known.")
    return OneWaiting(unknown=found, next=own_path(ask.query.get("next", ""), "/approvals"))


async def decide(ask: Ask) -> str | Again:
    """Approve, deny or answer."""
    name, pairs = ask.name("approval"), await ask.form()
    view = await ask.app.approvals.get(name)
    schema, home = _schema(view)
    posted = read(schema, pairs, home=home)
    said = _said(pairs)
    follows = own_path(_first(pairs, "next"), "/approvals")

    def again(problems: Sequence[tuple[str, str]] = (), *, status: int = 422) -> Again:
        shown = form(schema, posted, problems=problems, home=home)
        typed = Waiting(approval=view, form=shown, by=said.by, note=said.note)
        return Again(page=ONE, view=OneWaiting(waiting=typed, next=follows), status=status)

    if is_draft(pairs):
        return again(status=200)
    if posted.problems and _first(pairs, "do") != "deny":
        return again()
    try:
        body = _body(view, posted, said, decision=_first(pairs, "do"))
        await ask.app.approvals.resolve(name, body)
    except InvalidRequest as error:
        return again(
            [(_placed(place, view), detail) for place, detail in error.problems] or [(_placed("", view), error.public)]
        )
    except Conflict as error:
        return again([("", error.public)], status=409)
    await ask.app.runs.wait(view.run_id, timeout_s=SETTLE_S)
    return ask.url(follows)


async def resolve_unknown(ask: Ask) -> str | Again:
    """Say what became of a step: done with a result, to be tried again, or failed."""
    run = await ask.app.runs.get(ask.name("run"))
    pairs = await ask.form()
    follows = own_path(_first(pairs, "next"), "/approvals")
    found = next((each for each in await unknown_of(ask, run) if str(each.step.seq) == ask.name("step")), None)
    if found is None:
        raise Conflict("The outcome of this step is known by now.")
    posted = read(_RESULT, pairs)
    action = _first(pairs, "do")
    if posted.problems and action == "done":
        typed = msgspec.structs.replace(found, form=form(_RESULT, posted))
        return Again(page=ONE_UNKNOWN, view=OneWaiting(unknown=typed, next=follows))
    if action not in {"done", "retry", "fail"}:
        raise InvalidRequest(f"A step is done, retry or fail, not {action!r}.")
    said = _said(pairs)
    resolution = Resolution(
        action=cast("Resolved", action),
        step=found.step.seq,
        result=_raw(posted.data.get("result")),
        by=said.by,
        note=said.note,
    )
    await ask.app.runs.resolve(run.id, resolution)
    await ask.app.runs.wait(run.id, timeout_s=SETTLE_S)
    return ask.url(follows)


def waiting(view: ApprovalView) -> Waiting:
    """What waits, with a form in which its arguments stand, or an empty one for an answer."""
    schema, home = _schema(view)
    has_field = view.kind == "approval" and is_editable(view)
    data: dict[str, object] = {"arguments": msgspec.json.decode(view.arguments)} if has_field else {}
    return Waiting(approval=view, form=form(schema, Posted(data=data), home=home))


def is_editable(view: ApprovalView) -> bool:
    """Whether the arguments are short enough for a form."""
    return len(bytes(view.arguments)) <= EDITABLE


async def unknown_of(ask: Ask, run: RunView) -> Sequence[Unknown]:
    """The steps of a run whose outcome nobody knows."""
    empty = form(_RESULT, Posted(data={}))
    found = await _unknown_steps(ask, run)
    return [Unknown(run=run, step=await ask.app.runs.step(run.id, seq), form=empty) for seq in found]


async def _unknown_steps(ask: Ask, run: RunView) -> Sequence[int]:
    """The numbers of these steps, without what was said in any."""
    if run.status != "waiting" or run.reason != "unknown_effect":
        return ()
    outline = await ask.app.outlines.get(run.id, limit=MOST)
    return [line.seq for line in outline.lines() if line.status == "unknown"]


def _schema(view: ApprovalView) -> tuple[Schema, Schema]:
    """The schema of the form, and what its references point into."""
    if view.kind == "approval":
        return around("arguments", ANY_OBJECT) if is_editable(view) else ANY_OBJECT, ANY_OBJECT
    given: object = msgspec.json.decode(view.schema)
    schema: Schema = given if is_object(given) else {"type": "string", "title": "Text"}
    return around("answer", schema), schema


def _body(view: ApprovalView, posted: Posted, said: Said, *, decision: str) -> ApprovalBody:
    if decision not in {"approve", "deny", "answer"}:
        raise InvalidRequest(f"A person can approve, deny or answer, not {decision!r}.")
    arguments = posted.data.get("arguments")
    is_other = decision == "approve" and arguments != msgspec.json.decode(view.arguments)
    return ApprovalBody(
        decision=cast("Decision", decision),
        arguments=_raw(arguments) if is_other else NULL,
        result=_raw(posted.data.get("answer")) if decision == "answer" else NULL,
        by=said.by,
        note=said.note,
    )


def _said(pairs: Mapping[str, Sequence[str]]) -> Said:
    """Raises InvalidRequest."""
    try:
        return msgspec.convert({"by": _first(pairs, "by"), "note": _first(pairs, "note")}, Said)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"Who speaks, or why, cannot be written down: {error}") from error


def _placed(place: str, view: ApprovalView) -> str:
    """The pointer into the form of a pointer into what was sent."""
    name = "/arguments" if view.kind == "approval" else "/answer"
    return place if place.startswith(name) else name + place


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _first(pairs: Mapping[str, Sequence[str]], name: Literal["do", "by", "note", "next"]) -> str:
    return pairs.get(name, [""])[0]


_RESULT: Schema = {
    "type": "object",
    "properties": {"result": {"description": "What it gave, as JSON or text, if it was done."}},
}
ONE = Page(path="/approvals/{approval}", view=show_waiting, template="approval.html", title="Approval")
ONE_UNKNOWN = Page(
    path="/approvals/unknown/{run}/{step}", view=show_unknown, template="approval.html", title="Unknown outcome"
)
PAGES = (
    Page(path="/approvals", view=list_waiting, template="approvals.html", title="Approvals", nav="Approvals"),
    ONE_UNKNOWN,
    ONE,
)
ACTIONS = (Action(path=ONE_UNKNOWN.path, act=resolve_unknown), Action(path=ONE.path, act=decide))

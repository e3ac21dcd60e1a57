"""One run: what it is, its steps, and what can be done with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from shlex import quote

import msgspec

from runwright.core.labels import LARGEST, number
from runwright.core.ports import RunFilter
from runwright.core.run import TERMINAL
from runwright.errors import NotFound
from runwright.service.approval_views import ApprovalQuery
from runwright.service.budgets import BudgetWait
from runwright.service.outline import Outline
from runwright.service.steps import StepDetail
from runwright.service.views import RunView
from runwright.studio.page import Action, Ask, Page
from runwright.studio.pages.approvals import Unknown, Waiting, unknown_of, waiting
from runwright.studio.said import Conversation, read_conversation

PLAIN_STEPS = 50
"""Steps that the page of a run lists before its island draws them all."""

ON_A_PAGE = 500
MOST = 100_000
CHILDREN = 10
"""Runs that it began on the page of a run: the newest."""

WAITS = {
    "approval": "A tool call has to be allowed by a person.",
    "input": "It asked a person a question.",
    "budget": "A budget is used up. The run goes on when that is raised, or when its next period begins.",
    "unknown_effect": "Its process died in the middle of a step that must not happen twice. Say what became of it.",
    "diverged": "It asked for something else than what was recorded, so it cannot go on from its record.",
    "child": "It waits for a run that it began.",
    "timer": "It sleeps.",
    "paused": "Somebody paused it.",
}
RESUMABLE = frozenset({"budget", "diverged", "paused"})


class StepPage(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a run, with the messages of a model step.

    `child` is the run that it began; a step that was answered by the record began none. `record` is the run with that
    record.
    """

    agent: str
    detail: StepDetail
    conversation: Conversation | None
    child: str | None = None
    record: str | None = None


class Short(msgspec.Struct, frozen=True, kw_only=True):
    """A budget that a run waits for, and how a terminal raises it: a command here, or what curl asks a server."""

    wait: BudgetWait
    command: str
    request: str


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """A run with its first steps, the newest runs that it began, and what it waits for.

    `step` is the one that is asked for with a whole page. `unknown` are those of which somebody has to say what became
    of them.
    """

    run: RunView
    outline: Outline
    is_pinned: bool
    children: Sequence[RunView]
    has_more_children: bool
    needs: Sequence[Waiting]
    unknown: Sequence[Unknown]
    step: StepPage | None
    short: Short | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing comes any more."""
        return self.run.status in TERMINAL

    @property
    def waits_for(self) -> str:
        """What a run that waits needs, in words."""
        return WAITS.get(self.run.reason or "", "")

    @property
    def is_resumable(self) -> bool:
        """Whether somebody can let it go on just like that."""
        return self.run.is_lost or (self.run.status == "waiting" and self.run.reason in RESUMABLE)


class _Begun(msgspec.Struct):
    """What is asked of a step that begins a run, as far as it is read here."""

    run: str | None = None


async def show_run(ask: Ask) -> RunPage:
    """A run. Raises NotFound."""
    run_id, runs = ask.name("run"), ask.app.runs
    run = await runs.get(run_id)
    # A step of a run below this one is named by all that lead to it, as 12.5: its island asks for it.
    seq = 0 if "." in ask.query.get("step", "") else ask.number("step", 0, most=LARGEST)
    children, pin, outline = await asyncio.gather(
        runs.find(RunFilter(parent_run_id=run_id, limit=CHILDREN), is_brief=True),
        ask.app.pins.get(run_id),
        ask.app.outlines.get(run_id, limit=PLAIN_STEPS),
    )
    is_asking = run.status == "waiting" and run.reason in {"approval", "input"}
    asked = (await ask.app.approvals.find(ApprovalQuery(run=run_id))).data if is_asking else ()
    return RunPage(
        run=run,
        outline=outline,
        is_pinned=pin.is_pinned,
        children=children.data[::-1],
        has_more_children=children.has_more,
        needs=[waiting(each) for each in asked],
        unknown=await unknown_of(ask, run),
        short=await _short(ask, run),
        step=await _step(ask, run, seq) if seq and not ask.fragment else None,
    )


async def _short(ask: Ask, run: RunView) -> Short | None:
    wait = await ask.app.budgets.wait_of(run)
    if wait is None:
        return None
    budget, enough = wait.budget, wait.enough
    body = msgspec.json.encode({"account": budget.account, budget.unit: enough}).decode()
    return Short(
        wait=wait,
        command=f"runwright budgets raise {quote(budget.account)} --{budget.unit} {enough}",
        request=f"{quote(f'{ask.origin}/api/v1/budgets/raise')} -H 'content-type: application/json' -d {quote(body)}",
    )


async def list_steps(ask: Ask) -> Outline:
    """A page of a run's steps in columns. Raises NotFound and InvalidRequest."""
    after, limit = ask.number("after", 0, most=LARGEST), ask.number("limit", ON_A_PAGE, most=MOST)
    return await ask.app.outlines.get(ask.name("run"), after=after, limit=limit)


async def show_step(ask: Ask) -> StepPage:
    """A step. Raises NotFound."""
    run_id, asked = ask.name("run"), ask.name("seq")
    seq = number(asked)
    if seq is None:
        raise NotFound(f"{run_id} has no step {asked[:40]!r}.")
    run = await ask.app.runs.get(run_id)
    return await _step(ask, run, seq)


async def _step(ask: Ask, run: RunView, seq: int) -> StepPage:
    detail = await ask.app.outlines.step(run.id, seq)
    is_model = detail.step.kind == "model"
    said = await asyncio.to_thread(read_conversation, detail.step) if is_model else None
    is_taped = detail.step.taped is not None
    has_begun = detail.step.kind == "child" and not is_taped
    child = msgspec.json.decode(detail.step.request, type=_Begun).run if has_begun else None
    record = run.replay_of if is_taped else None
    return StepPage(agent=run.agent, detail=detail, conversation=said, child=child, record=record)


async def cancel(ask: Ask) -> str:
    """Cancel a run."""
    await ask.app.runs.cancel(ask.name("run"), reason="cancelled in the studio")
    return _back(ask)


async def pause(ask: Ask) -> str:
    """Have a run wait before its next step."""
    await ask.app.runs.pause(ask.name("run"), reason="paused in the studio")
    return _back(ask)


async def resume(ask: Ask) -> str:
    """Let a run that waits go on."""
    await ask.app.runs.resume(ask.name("run"))
    return _back(ask)


async def pin(ask: Ask) -> str:
    """Keep a run whatever its age."""
    await ask.app.pins.pin(ask.name("run"))
    return _back(ask)


async def unpin(ask: Ask) -> str:
    """Let a run go when its time comes."""
    await ask.app.pins.unpin(ask.name("run"))
    return _back(ask)


def as_json(text: str) -> msgspec.Raw:
    """What somebody typed: JSON, or else a text."""
    try:
        msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeError):
        return msgspec.Raw(msgspec.json.encode(text))
    return msgspec.Raw(text.encode())


def _back(ask: Ask) -> str:
    return ask.url(f"/runs/{ask.name('run')}")


PAGES = (
    Page(path="/runs/{run}", view=show_run, template="run.html", title="Run"),
    Page(path="/runs/{run}/steps", view=list_steps, template="steps.html", title="Steps"),
    Page(path="/runs/{run}/steps/{seq}", view=show_step, template="step.html", title="Step"),
)
ACTIONS = (
    Action(path="/runs/{run}/cancel", act=cancel),
    Action(path="/runs/{run}/pause", act=pause),
    Action(path="/runs/{run}/resume", act=resume),
    Action(path="/runs/{run}/pin", act=pin),
    Action(path="/runs/{run}/unpin", act=unpin),
)

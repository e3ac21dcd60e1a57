"""The playground: talk to an agent, turn by turn, and see what each turn did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from runwright.core.ids import make_id
from runwright.core.ports import RunFilter
from runwright.core.run import RunRequest
from runwright.errors import Conflict, InvalidRequest, RunwrightError
from runwright.service.approval_views import ApprovalQuery
from runwright.service.views import AgentView, RunView, StepView
from runwright.studio.forms import Field, Posted, Schema, around, form, is_draft, read, takes_text
from runwright.studio.page import Action, Again, Ask, Page
from runwright.studio.pages.approvals import Unknown, Waiting, unknown_of, waiting

TURNS = 20
"""Turns of a thread that are shown: the newest."""

CALLS = 100
"""Steps of a turn that are looked through for calls of tools."""

PATIENCE_S = 60.0
"""Seconds that a plain form waits for its answer; after them the page shows the run as it is."""

BY_ITSELF = frozenset({"child", "timer"})
"""What a run waits for that nobody has to give."""

SHOWN = frozenset({"tool", "child", "http"})
_TEXT: Schema = {"type": "string", "title": "Message"}


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A run as a turn: `said` and `answer` are text, or None where JSON stands in the run.

    `calls` are those that need no person: the others are `waiting` or `unknown`.
    """

    run: RunView
    said: str | None
    answer: str | None
    calls: Sequence[StepView]
    waiting: Sequence[Waiting]
    unknown: Sequence[Unknown]

    @property
    def is_live(self) -> bool:
        """Whether it goes on by itself."""
        run = self.run
        return run.status in {"queued", "running"} or (run.status == "waiting" and run.reason in BY_ITSELF)


class Playground(msgspec.Struct, frozen=True, kw_only=True):
    """An agent, the thread with it, and the form of what is said next."""

    agent: AgentView
    thread: str
    turns: Sequence[Turn]
    has_earlier: bool
    is_chat: bool
    form: Field


class Agents(msgspec.Struct, frozen=True, kw_only=True):
    """The agents that can be talked to."""

    agents: Sequence[AgentView]
    next: str | None


async def list_agents(ask: Ask) -> Agents:
    """A page of agents by name."""
    page = await ask.app.agents.list(after=ask.query.get("after"), limit=100)
    return Agents(agents=page.data, next=page.next)


async def show(ask: Ask) -> Playground:
    """An agent with the thread of the query, or a fresh one; `only` is the run of the one turn to show."""
    return await _playground(ask, ask.query.get("thread") or make_id("thr"), Posted(data={}))


async def say(ask: Ask) -> str | Again:
    """Start a run. A plain form waits for its answer; what asks for a part of the page follows the run itself."""
    agent, pairs = ask.name("agent"), await ask.form()
    thread = pairs.get("thread", [""])[0] or make_id("thr")
    schema, home = await _schema(ask)
    posted = read(schema, pairs, home=home)
    if is_draft(pairs):
        return Again(page=TALK, view=await _playground(ask, thread, posted), status=200)
    if posted.problems:
        return Again(page=TALK, view=await _playground(ask, thread, posted))
    try:
        request = RunRequest(agent=agent, input=_input(posted, home), thread_id=thread, mode="stream")
        handle = await ask.app.runs.create(request)
    except InvalidRequest as error:
        found = [(place if place.startswith("/input") else f"/input{place}", why) for place, why in error.problems]
        view = await _playground(ask, thread, posted, problems=found or [("/input", error.public)])
        return Again(page=TALK, view=view, status=error.status)
    except RunwrightError as error:
        view = await _playground(ask, thread, posted, problems=[("", error.public)])
        return Again(page=TALK, view=view, status=error.status)
    if ask.fragment is None:
        await ask.app.runs.wait(handle.run_id, timeout_s=PATIENCE_S)
    return ask.url(f"/playground/{agent}", {"thread": thread})


async def cancel(ask: Ask) -> str:
    """Cancel the run of a turn."""
    pairs = await ask.form()
    run = await ask.app.runs.get(pairs.get("run", [""])[0])
    if run.agent != ask.name("agent"):
        raise Conflict(f"{run.id} is a run of {run.agent!r}.")
    await ask.app.runs.cancel(run.id, reason="cancelled in the playground")
    return ask.url(f"/playground/{run.agent}", {"thread": run.thread_id})


async def turn_of(ask: Ask, run: RunView) -> Turn:
    """A run as a turn of its thread."""
    is_asking = run.status == "waiting" and run.reason in {"approval", "input"}
    asked = (await ask.app.approvals.find(ApprovalQuery(run=run.id))).data if is_asking else ()
    unknown = await unknown_of(ask, run)
    held = {each.step for each in asked} | {each.step.seq for each in unknown}
    return Turn(
        run=run,
        said=_text(run.input),
        answer=_text(run.output),
        calls=[step for step in await _calls(ask, run) if step.seq not in held],
        waiting=[waiting(each) for each in asked],
        unknown=unknown,
    )


async def _calls(ask: Ask, run: RunView) -> Sequence[StepView]:
    """The calls of a run; what was said is read as far as the last of them, and not where there is none."""
    lines = (await ask.app.outlines.get(run.id, limit=CALLS)).lines()
    last = max((place for place, line in enumerate(lines, 1) if line.kind in SHOWN), default=0)
    steps = (await ask.app.runs.steps(run.id, limit=last)).data if last else ()
    return [step for step in steps if step.kind in SHOWN]


async def _playground(ask: Ask, thread: str, posted: Posted, *, problems: Sequence[tuple[str, str]] = ()) -> Playground:
    app, name = ask.app, ask.name("agent")
    agent = await app.agents.get(name)
    schema, home = await _schema(ask)
    found = await app.runs.find(RunFilter(agent=name, thread_id=thread, limit=TURNS))
    only = ask.query.get("only")
    runs = [run for run in reversed(found.data) if only in {None, run.id}]
    return Playground(
        agent=agent,
        thread=thread,
        turns=[await turn_of(ask, run) for run in runs],
        has_earlier=found.has_more,
        is_chat=takes_text(home),
        form=form(schema, posted, problems=problems, home=home),
    )


async def _schema(ask: Ask) -> tuple[Schema, Schema]:
    """The schema of the form, and that of what the agent takes. Raises NotFound."""
    taken: Mapping[str, object] = (await ask.app.agents.schema(ask.name("agent"))).input
    return around("input", _TEXT if takes_text(taken) else taken), taken


def _input(posted: Posted, taken: Schema) -> bytes:
    """What was typed as JSON. Raises InvalidRequest for an empty message."""
    if "input" in posted.data:
        return msgspec.json.encode(posted.data["input"])
    if takes_text(taken):
        raise InvalidRequest("Write a message.", problems=[("/input", "Write a message.")])
    return b"{}" if taken.get("type") == "object" else b"null"


def _text(raw: msgspec.Raw) -> str | None:
    value: object = msgspec.json.decode(raw)
    return value if isinstance(value, str) else None


TALK = Page(path="/playground/{agent}", view=show, template="talk.html", title="Playground")
PAGES = (
    Page(path="/playground", view=list_agents, template="playground.html", title="Playground", nav="Playground"),
    TALK,
)
ACTIONS = (Action(path=TALK.path, act=say), Action(path="/playground/{agent}/cancel", act=cancel))

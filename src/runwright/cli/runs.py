"""`runwright runs`: look at runs and act on them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import asdict

from runwright.cli.answer import needs_of, summary, waits
from runwright.cli.call import Called, Flag, Limit, Seq
from runwright.cli.contained import Contained, contained
from runwright.cli.costs import print_run
from runwright.cli.decisions import told
from runwright.cli.diffs import show as show_diff
from runwright.cli.exports import export, import_
from runwright.cli.failures import DIFFERENT, Exit
from runwright.cli.output import Output, short
from runwright.cli.pins import pin, unpin
from runwright.cli.progress import latest
from runwright.cli.progress import told as how_far
from runwright.cli.replays import fork, replay
from runwright.cli.search import print_found
from runwright.cli.tree import print_tree, runs_below, standing, subtrees, taken
from runwright.cli.words import json_result
from runwright.core.event import DELTAS, NULL, Event, GuardDecided, StepCompleted
from runwright.core.message import AssistantMessage
from runwright.core.ports import RunFilter
from runwright.core.run import RunStatus
from runwright.errors import ChildEnded, ChildFailed, InvalidRequest
from runwright.service.search_views import FoundRuns
from runwright.service.views import Page, Resolution, RunView, StepView

__all__ = [
    "cancel",
    "cost",
    "diff",
    "export",
    "fork",
    "import_",
    "ls",
    "pause",
    "pin",
    "replay",
    "resolve",
    "resume",
    "show",
    "tail",
    "unpin",
]

COLUMNS = ("run", "agent", "status", "created", "seconds", "tokens", "usd")
LINE = 160
NULL_TEXT = b"null"
PAUSES = "Noted. The run waits when the step that it is at has come to its end."
LOST = "Its process is gone. The run goes on when a server is started on this data directory."
GOES_ON = "Noted. The server of this data directory goes on with the run: at once, or when it is started."


async def ls(
    *,
    agent: str | None = None,
    status: RunStatus | None = None,
    thread: str | None = None,
    group: str | None = None,
    user: str | None = None,
    parent: str | None = None,
    tag: str | None = None,
    search: str | None = None,
    after: str | None = None,
    limit: Limit = 20,
    tree: Flag = False,
    call: Called,
) -> None:
    """List runs, newest first.

    Args:
        agent: Of this agent only.
        status: In this status only.
        thread: Of this conversation only.
        group: With this label only.
        user: For this user only.
        parent: Begun by this run only.
        tag: With this tag only.
        search: Which hold this text in what they were given, gave or failed with, in capitals or not, or are called so.
        after: The run id after which the page begins.
        limit: Runs on a page.
        tree: Below each run those that it began, and what each took with all below it: the history of a workflow.
        call: What every command is handed.
    """
    where = RunFilter(
        agent=agent,
        status=status,
        thread_id=thread,
        group=group,
        user=user,
        parent_run_id=parent,
        tag=tag,
        after=after,
        limit=limit,
    )
    async with call.open(has_agents=False, is_reading=True) as access:
        page = await access.runs.find(where) if search is None else await access.searches.find(search, where)
        trees = [await runs_below(access.runs, view) if tree else [(0, view)] for view in page.data]
    if call.out.is_json:
        call.out.json({**asdict(page), "data": [_grown(each) for each in trees]} if tree else page)
        return
    rows = [_row(part) for each in trees for part in subtrees(each)]
    if isinstance(page, FoundRuns):
        print_found(call.out, page, COLUMNS, rows)
        return
    call.out.table(COLUMNS, rows)
    if page.has_more:
        call.out.note(f"There are more: --after {page.next}")
    elif not page.data:
        settings = call.settings()
        call.out.note(f"No such run is in {settings.server or f'the data directory {str(settings.data)!r}'}.")


async def show(run: str, /, *, limit: Limit = 100, call: Called) -> None:
    """Show a run with its steps, what the guard did with them, and its output.

    Args:
        run: The run's id.
        limit: Steps to show.
        call: What every command is handed.
    """
    async with call.open(has_agents=False, is_reading=True) as access:
        view = await access.runs.get(run)
        steps = await access.runs.steps(run, limit=limit)
        below = await runs_below(access.runs, view) if any(step.kind == "child" for step in steps.data) else []
        needs = await needs_of(access, view) if view.status == "waiting" else ""
        progress = await latest(access, view)
        sandbox = await contained(access.runs, view, steps.data)
    further = {"progress": progress, "sandbox": sandbox}
    shown = {**asdict(view), **further, "steps": steps.data, "runs": [each for _, each in below[1:]]}
    call.out.show(shown, lambda: _show(call.out, view, steps, below=below, sandbox=sandbox))
    if progress is not None and not call.out.is_json:
        call.out.note(f"progress: {how_far(progress)}")
    if needs and not call.out.is_json:
        call.out.note(needs)
    if view.is_lost and not call.out.is_json:
        call.out.note(LOST)


async def cost(run: str, /, *, call: Called) -> None:
    """Show what a run cost: each step, and each line of it as quantity, price of a million, and amount.

    Args:
        run: The run's id.
        call: What every command is handed.
    """
    async with call.open(has_agents=False, is_reading=True) as access:
        found = await access.costs.run(run)
    call.out.show(found, lambda: print_run(call.out, found))


async def memory(run: str, /, *, call: Called) -> None:
    """Show what a run read from memory and wrote there, with the commits that it made.

    Args:
        run: The run's id.
        call: What every command is handed.
    """
    from runwright.cli.memory import print_run as print_memory

    async with call.open(has_agents=False, is_reading=True) as access:
        found = await access.memory.of_run(run)
    call.out.show(found, lambda: print_memory(call.out, found))


async def tail(run: str, /, *, after: Seq = 0, deltas: Flag = False, call: Called) -> None:
    """Print the events of a run as they happen, from the first one, until the run is over.

    Args:
        run: The run's id.
        after: Begin after the event with this number.
        deltas: Print the pieces of messages too.
        call: What every command is handed.
    """
    async with call.open(has_agents=False, is_reading=True) as access:
        async for group in access.runs.events(run, after=after):
            shown = group if deltas else [event for event in group if not isinstance(event.data, DELTAS)]
            for event in shown:
                _print_event(call.out, event)


async def diff(left: str, right: str, /, *, full: Flag = False, call: Called) -> None:
    """Compare two runs. The exit code is 0 when they are the same, 1 when they differ.

    Args:
        left: The id of the run to start from.
        right: The id of the run to compare it with.
        full: Show every difference, not only those of the runs and of the first step that differs.
        call: What every command is handed.
    """
    async with call.open(has_agents=False, is_reading=True) as access:
        found = await access.diffs.between(left, right)
    call.out.show(found, lambda: show_diff(call.out, found, is_full=full))
    if not found.is_same:
        raise Exit(DIFFERENT)


async def cancel(run: str, /, *, reason: str = "", call: Called) -> None:
    """Cancel a run. A run that is over stays as it is.

    Args:
        run: The run's id.
        reason: Why; it is recorded.
        call: What every command is handed.
    """
    async with call.open(has_agents=False) as access:
        view = await access.runs.cancel(run, reason=reason)
    _print_run(call.out, view, waits(view) if view.status == "waiting" else "")
    if view.status in {"queued", "running"}:
        call.out.note("Noted. The process that executes the run cancels it in a moment.")


async def pause(run: str, /, *, reason: str = "", call: Called) -> None:
    """Have a run wait before its next step, with the runs that it began. What is under way comes to its end.

    Args:
        run: The run's id.
        reason: Why; it is recorded.
        call: What every command is handed.
    """
    async with call.open(has_agents=False) as access:
        view = await access.runs.pause(run, reason=reason)
    _print_run(call.out, view, waits(view) if view.reason == "paused" else PAUSES)


async def resume(run: str, /, *, call: Called) -> None:
    """Let a run go on: one that is paused, one that waits as `diverged`, with the current code, or one whose process
    is gone.

    Args:
        run: The run's id.
        call: What every command is handed.
    """
    async with call.open(has_agents=False) as access:
        view = await access.runs.resume(run)
    _print_run(call.out, view, "" if view.ended_at else GOES_ON)


async def resolve(
    run: str,
    /,
    *,
    done: str | None = None,
    retry: Flag = False,
    fail: Flag = False,
    step: Seq | None = None,
    note: str = "",
    call: Called,
) -> None:
    """Say what became of a step whose outcome is unknown, so that its run goes on.

    Args:
        run: The run's id.
        done: The tool has acted; this JSON is its result.
        retry: The tool has not acted; call it again.
        fail: Take the step as failed, which fails the run; a code flow gets the error.
        step: The number of the step, when more than one is unknown.
        note: A remark; it is recorded.
        call: What every command is handed.
    """
    chosen = [name for name, is_given in (("done", done is not None), ("retry", retry), ("fail", fail)) if is_given]
    if len(chosen) != 1:
        raise InvalidRequest("Choose one of --done RESULT, --retry and --fail.")
    result = NULL if done is None else json_result(done)
    resolution = msgspec.convert({"action": chosen[0], "step": step, "by": "cli", "note": note}, Resolution)
    async with call.open(has_agents=False) as access:
        view = await access.runs.resolve(run, msgspec.structs.replace(resolution, result=result))
    _print_run(call.out, view, GOES_ON if view.status == "waiting" else "")


def _print_run(out: Output, view: RunView, note: str) -> None:
    out.show(view, summary(view, ""))
    if note:
        out.note(note)


def _row(tree: Sequence[tuple[int, RunView]]) -> tuple[object, ...]:
    """A run, with what it took and those below it that are given."""
    depth, view = tree[0]
    seconds = None
    if view.started_at is not None and view.ended_at is not None:
        seconds = f"{(view.ended_at - view.started_at).total_seconds():.2f}"
    created = f"{view.created_at:%Y-%m-%d %H:%M:%S}"
    return (view.id, f"{'  ' * depth}{view.agent}", standing(view), created, seconds, *taken(tree).cells)


def _grown(tree: Sequence[tuple[int, RunView]]) -> dict[str, object]:
    """A run with those below it, and what they took together."""
    total = taken(tree)
    usd = None if total.usd is None else str(total.usd)
    runs = [view for _, view in tree[1:]]
    return {**asdict(tree[0][1]), "runs": runs, "total": {"runs": len(tree), "usage": total.usage, "usd": usd}}


def _show(
    out: Output,
    view: RunView,
    steps: Page[StepView],
    *,
    below: Sequence[tuple[int, RunView]],
    sandbox: Contained | None,
) -> None:
    out.text(summary(view, ""))
    facts = {
        "agent": f"{view.agent} {view.version}",
        "thread": view.thread_id,
        "user": view.user,
        "created": view.created_at.isoformat(),
        "input": _text(view.input),
        "sandbox": sandbox,
    }
    for name, fact in facts.items():
        if fact:
            out.text(f"{name}: {fact}")
    if steps.data:
        out.text("")
        out.table(
            ("step", "kind", "name", "status", "attempt", "seconds", "tokens", "usd", "result"),
            [_step(s) for s in steps.data],
        )
    if below:
        print_tree(out, below)
    decisions = [f"step {step.seq}: {told(each)}" for step in steps.data for each in step.decisions]
    if decisions:
        out.text("\n" + "\n".join(decisions))
    if steps.has_more:
        out.note("There are more steps: --limit shows them.")
    if view.status == "completed":
        out.text("\n" + _text(view.output))
    if view.error is not None:
        out.text(f"\nerror: {view.error.code}: {view.error.message}")
        failed = [step for step in steps.data if step.kind == "child" and step.status == "failed"]
        if failed and view.error.code in (ChildFailed.code, ChildEnded.code):
            out.note(f"`runwright runs fork {view.id} --at {failed[-1].seq}` runs it again and goes on from there.")


def _step(step: StepView) -> tuple[object, ...]:
    seconds = None if step.ended_at is None else f"{(step.ended_at - step.started_at).total_seconds():.2f}"
    outcome = step.error.message if step.error is not None else _outcome(step)
    name = f"{step.lane}/{step.name}" if step.lane else step.name
    tokens = step.usage.total_tokens if step.kind == "model" else None
    usd = None if step.cost.source == "none" else step.cost.usd or "unpriced"
    return (step.seq, step.kind, name, step.status, step.attempt, seconds, tokens, usd, short(outcome, 60))


class _Answered(msgspec.Struct):
    """The result of a model step."""

    message: AssistantMessage


def _outcome(step: StepView) -> str:
    """What a step gave: a model's text or the tools it calls, else JSON; nothing while it runs."""
    raw = bytes(step.result)
    if step.kind != "model" or raw == NULL_TEXT:
        return "" if raw == NULL_TEXT else raw.decode()
    message = msgspec.json.decode(raw, type=_Answered).message
    calls = ", ".join(f"{call.name} {call.arguments}" for call in message.tool_calls)
    return message.content or f"calls {calls}"


def _print_event(out: Output, event: Event) -> None:
    if out.is_json:
        line = {"seq": event.seq, "ts": event.ts, "type": event.type, "step": event.step, "data": event.data}
        out.text(msgspec.json.encode(line).decode())
        return
    body = {name: value for name, value in asdict(event.data).items() if value not in (None, "", (), NULL)}
    if isinstance(event.data, StepCompleted):
        body.pop("usage", None)
    text = told(event.data) if isinstance(event.data, GuardDecided) else short(msgspec.json.encode(body).decode(), LINE)
    step = "" if event.step is None else f" step {event.step}"
    out.text(f"{event.seq} {event.ts:%H:%M:%S.%f} {event.type}{step} {text}")


def _text(raw: msgspec.Raw) -> str:
    value: object = msgspec.json.decode(raw)
    return value if isinstance(value, str) else bytes(raw).decode()

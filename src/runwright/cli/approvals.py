"""`runwright approvals`: what waits for a person, and what the person says."""

from __future__ import annotations

from runwright.cli.answer import LINE, needed
from runwright.cli.call import Call, Called, Limit
from runwright.cli.output import short
from runwright.cli.words import json_result
from runwright.core.event import NULL
from runwright.service.approval_views import ApprovalBody, ApprovalQuery, ApprovalView

COLUMNS = ("approval", "agent", "what", "since", "until")
GOES_ON = "Noted. The run goes on where a server of its data directory runs: now, when it can, or at the next start."


async def ls(
    *,
    agent: str | None = None,
    user: str | None = None,
    after: str | None = None,
    limit: Limit = 20,
    call: Called,
) -> None:
    """List the tool calls and questions that wait for a person, those of the newest run first.

    Args:
        agent: Of this agent only.
        user: For this user only.
        after: The id after which the page begins.
        limit: How many on a page.
        call: What every command is handed.
    """
    where = ApprovalQuery(agent=agent, user=user, after=after, limit=limit)
    async with call.open(has_agents=False, is_reading=True) as access:
        page = await access.approvals.find(where)
    if call.out.is_json:
        call.out.json(page)
        return
    call.out.table(COLUMNS, [_row(view) for view in page.data])
    if page.has_more:
        call.out.note(f"There are more: --after {page.next}")


async def show(approval: str, /, *, call: Called) -> None:
    """Show a tool call or a question that needs a person, also when somebody has spoken of it.

    Args:
        approval: Its id, as `runwright approvals ls` shows it.
        call: What every command is handed.
    """
    async with call.open(has_agents=False, is_reading=True) as access:
        view = await access.approvals.get(approval)
    _print(call, view)
    if view.status == "waiting" and not call.out.is_json:
        call.out.note(needed(view))


async def approve(
    approval: str, /, *, arguments: str | None = None, by: str = "cli", note: str = "", call: Called
) -> None:
    """Let a tool be called; its run goes on.

    Args:
        approval: The id of the call.
        arguments: Others than those that were asked for, as JSON.
        by: Who says so.
        note: A remark; it is recorded.
        call: What every command is handed.
    """
    changed = NULL if arguments is None else json_result(arguments)
    await _say(call, approval, ApprovalBody(decision="approve", arguments=changed, by=by, note=note))


async def deny(approval: str, /, *, by: str = "cli", note: str = "", call: Called) -> None:
    """Do not let a tool be called, or decline a question. The model or the flow is told why.

    Args:
        approval: The id of the call or the question.
        by: Who says so.
        note: Why.
        call: What every command is handed.
    """
    await _say(call, approval, ApprovalBody(decision="deny", by=by, note=note))


async def answer(approval: str, result: str, /, *, by: str = "cli", note: str = "", call: Called) -> None:
    """Answer a question; its run goes on.

    Args:
        approval: The id of the question.
        result: The answer as JSON, which fits the schema of the question.
        by: Who says so.
        note: A remark; it is recorded.
        call: What every command is handed.
    """
    await _say(call, approval, ApprovalBody(decision="answer", result=json_result(result), by=by, note=note))


async def _say(call: Call, approval: str, body: ApprovalBody) -> None:
    # The arguments that somebody changed are checked against the agent's tool.
    async with call.open(has_agents=body.arguments != NULL) as access:
        view = await access.approvals.resolve(approval, body)
    _print(call, view)
    if view.status == "waiting":
        call.out.note(GOES_ON)


def _print(call: Call, view: ApprovalView) -> None:
    facts = {
        "agent": view.agent,
        "call": None if view.name is None else _what(view),
        "question": view.question,
        "schema": bytes(view.schema).decode() if view.schema != NULL else None,
        "since": f"{view.since:%Y-%m-%d %H:%M:%S}",
        "until": None if view.until is None else f"{view.until:%Y-%m-%d %H:%M:%S}",
        "by": view.by,
        "note": view.note,
    }
    lines = [f"{view.id} {view.status}", *(f"{name}: {fact}" for name, fact in facts.items() if fact)]
    call.out.show(view, "\n".join(lines))


def _what(view: ApprovalView) -> str:
    if view.question is not None:
        return short(view.question, LINE)
    return f"{view.name} {short(bytes(view.arguments).decode(), LINE)}"


def _row(view: ApprovalView) -> tuple[object, ...]:
    until = None if view.until is None else f"{view.until:%Y-%m-%d %H:%M:%S}"
    return (view.id, view.agent, _what(view), f"{view.since:%Y-%m-%d %H:%M:%S}", until)

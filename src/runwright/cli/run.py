"""`runwright run`: one run, its answer on stdout."""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter

from runwright.cli.access import Access
from runwright.cli.answer import Answer, needs_of, summary
from runwright.cli.call import Call, Called, Flag, Texts
from runwright.cli.failures import RUN_FAILED, Exit
from runwright.cli.person import Person, present
from runwright.cli.tree import runs_below, taken
from runwright.cli.words import encoded, given
from runwright.core.run import TERMINAL, RunRequest
from runwright.service.views import RunView


async def run(
    name: str,
    input: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    as_json: Flag = False,
    thread: str | None = None,
    version: str | None = None,
    model: str | None = None,
    user: str | None = None,
    group: str | None = None,
    tag: Texts = (),
    budget_usd: str | None = None,
    no_input: Flag = False,
    call: Called,
) -> None:
    """Run an agent once and print its answer.

    The answer goes to stdout as it is written; run id, tokens, cost and model go to stderr. Ctrl-C cancels the run.
    Where it waits for a person, the terminal asks; elsewhere it ends and says what to run.

    Args:
        name: The agent.
        input: The input as text; `-`, or nothing when stdin is not a terminal, reads it from stdin. What stands
            in its place is the input also where it looks like an option; without it, options stand before the name.
        as_json: The input is JSON, not text.
        thread: The conversation the run belongs to.
        version: A version of the agent other than the current one.
        model: A model other than the agent's own, as provider:name.
        user: Who the run is for.
        group: A label that ties runs together.
        tag: A tag; may be given more than once.
        budget_usd: What the run may cost at the most, as 0.05; a call that could cost more is not made.
        no_input: Ask nobody, as where there is no terminal.
        call: What every command is handed.
    """
    request = RunRequest(
        agent=name,
        input=encoded(given(input), is_json=as_json),
        version=version,
        thread_id=thread,
        mode="wait" if call.out.is_json else "stream",
        user=user,
        group=group,
        tags=tag,
        config=_config(model, budget_usd),
    )
    await perform_alone(request, call, is_asking=not no_input)


async def perform_alone(request: RunRequest, call: Call, *, is_asking: bool = True) -> None:
    """Open what the options name, run there, and end as the run did."""
    async with call.open() as access:
        view = await perform(access, request, call, person=present(call.out) if is_asking else None)
    if call.out.is_json:
        call.out.json(view)
    if view.status != "completed":
        raise Exit(RUN_FAILED)


def _config(model: str | None, budget_usd: str | None) -> dict[str, object]:
    config: dict[str, object] = {} if model is None else {"model": model}
    return config if budget_usd is None else {**config, "guard": {"budget": {"usd": budget_usd}}}


async def perform(access: Access, request: RunRequest, call: Call, *, person: Person | None = None) -> RunView:
    """Run, show what happens and tell how it ended. Cancels the run when it is interrupted.

    `person` is asked what the run needs of one.
    """
    handle = await access.runs.create(request)
    answer = Answer(call.out)
    try:
        if not call.out.is_json:
            await answer.follow(handle.events())
        view = await handle.wait()
        if person is not None:
            view = await _attended(access, view, answer, person=person)
    except asyncio.CancelledError:
        await access.runs.cancel(handle.run_id, reason="interrupted")
        call.out.note(f"{handle.run_id} cancelled")
        raise
    if not call.out.is_json:
        call.out.note(summary(view, answer.model))
        await _note_below(access, view, call)
    if view.error is not None:
        call.out.note(f"error: {view.error.code}: {view.error.message}")
    if view.status == "waiting":
        call.out.note(await needs_of(access, view))
    return view


async def _note_below(access: Access, view: RunView, call: Call) -> None:
    """What the run took with those that it began: its own figures leave them out."""
    found = await runs_below(access.runs, view)
    if len(found) > 1:
        call.out.note(f"with the runs below it ({len(found) - 1}): {taken(found).words}")


async def _attended(access: Access, view: RunView, answer: Answer, *, person: Person) -> RunView:
    """The run when it is over, or waits for what the person does not say now."""
    while await person.lets_go_on(access, view):
        await answer.follow(access.runs.events(view.id, after=answer.seq))
        view = await access.runs.get(view.id)
    return view if view.status in TERMINAL else await access.runs.get(view.id)

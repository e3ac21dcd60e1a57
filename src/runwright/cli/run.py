"""`runwright run`: one run, its answer on stdout."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import msgspec
from cyclopts import Parameter

from runwright.cli.access import Access
from runwright.cli.answer import Answer, needs_of, summary
from runwright.cli.call import Call, Called, Flag, Texts
from runwright.cli.failures import RUN_FAILED, Exit
from runwright.core.run import RunRequest
from runwright.errors import InvalidRequest
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
    call: Called,
) -> None:
    """Run an agent once and print its answer.

    The answer goes to stdout as it is written; run id, tokens, cost and model go to stderr. Ctrl-C cancels the run.

    Args:
        name: The agent.
        input: The input as text; `-`, or nothing when stdin is not a terminal, reads it from stdin.
        as_json: The input is JSON, not text.
        thread: The conversation the run belongs to.
        version: A version of the agent other than the current one.
        model: A model other than the agent's own, as provider:name.
        user: Who the run is for.
        group: A label that ties runs together.
        tag: A tag; may be given more than once.
        budget_usd: What the run may cost at the most, as 0.05; a call that could cost more is not made.
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
    await perform_alone(request, call)


async def perform_alone(request: RunRequest, call: Call) -> None:
    """Open what the options name, run there, and end as the run did."""
    async with call.open() as access:
        view = await perform(access, request, call)
    if call.out.is_json:
        call.out.json(view)
    if view.status != "completed":
        raise Exit(RUN_FAILED)


def _config(model: str | None, budget_usd: str | None) -> dict[str, object]:
    config: dict[str, object] = {} if model is None else {"model": model}
    return config if budget_usd is None else {**config, "guard": {"budget": {"usd": budget_usd}}}


async def perform(access: Access, request: RunRequest, call: Call) -> RunView:
    """Run, show what happens and tell how it ended. Cancels the run when it is interrupted."""
    handle = await access.runs.create(request)
    answer = Answer(call.out)
    try:
        if not call.out.is_json:
            await answer.follow(handle.events())
        view = await handle.wait()
    except asyncio.CancelledError:
        await access.runs.cancel(handle.run_id, reason="interrupted")
        call.out.note(f"{handle.run_id} cancelled")
        raise
    if not call.out.is_json:
        call.out.note(summary(view, answer.model))
    if view.error is not None:
        call.out.note(f"error: {view.error.code}: {view.error.message}")
    if view.status == "waiting":
        call.out.note(await needs_of(access, view))
    return view


def encoded(text: str, *, is_json: bool) -> bytes:
    """The input of a run as JSON text. Raises InvalidRequest when it should be JSON and is not."""
    check_text(text)
    if not is_json:
        return msgspec.json.encode(text)
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"The input is not JSON: {error}. Leave out --as-json for text.") from error
    return text.encode()


def json_result(text: str, *, before: str = "") -> msgspec.Raw:
    """The result of a step, which is JSON; `before` is what it follows in its option. Raises InvalidRequest."""
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        example = msgspec.json.encode(text).decode()
        raise InvalidRequest(f"A result is JSON: {error}. Text needs quotes: '{before}{example}'.") from error
    return msgspec.Raw(text.encode())


def check_text(text: str) -> None:
    """Raises InvalidRequest for a word of the command line that is no text."""
    if not text.isprintable() and any("\ud800" <= each <= "\udfff" for each in text):
        raise InvalidRequest(f"{text!r} is not UTF-8 text.")


def given(input: str | None) -> str:
    """The input of a command line, or what stands on stdin. Raises InvalidRequest where there is none."""
    if input is not None and input != "-":
        return input
    missing = InvalidRequest('Say what to send: `runwright run NAME "input"`, or `-` to read it from stdin.')
    if input is None and sys.stdin.isatty():
        raise missing
    try:
        text = sys.stdin.buffer.read().decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise InvalidRequest("The input on stdin is not UTF-8 text.") from error
    if input is None and not text:
        raise missing
    return text

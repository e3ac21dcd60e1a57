"""One step of a task: what it does, how long it may take, and whether it is done again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec

from runwright import plugins
from runwright.agents.forms import Form
from runwright.agents.functions import FlowFunction
from runwright.agents.mapping import filled, in_text
from runwright.core.context import Context
from runwright.core.message import Message, UserMessage
from runwright.core.model import ModelOptions, ModelSettings
from runwright.core.run import ErrorInfo, error_info
from runwright.core.step import Effect
from runwright.errors import (
    AgentError,
    ChildEnded,
    ChildFailed,
    DeadlineExceeded,
    LimitExceeded,
    NotSent,
    OutputInvalid,
    RunwrightError,
    StepTimeout,
    StorageError,
    ToolFailed,
)

LONGEST_S = 60.0
"""The longest pause between two attempts."""

OF_RUN = (StorageError, LimitExceeded, DeadlineExceeded)
"""Errors that end the run, whatever the step is worth to it."""

AGAIN = (ToolFailed, ChildFailed, AgentError, OutputInvalid)
"""Errors that a step may be done again after, beside those that are `retryable`: another attempt may go otherwise."""

Scope = Mapping[str, Any]
Work = Callable[[Context, Scope], Awaitable[Any]]
MayRepeat = Callable[[RunwrightError, Context], bool]
Status = Literal["completed", "failed", "skipped"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a step ended: `output` is plain JSON data, null where it came to none."""

    status: Status
    output: Any = None
    attempts: int = 0
    error: ErrorInfo | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A step that is ready to run. `work` does it once; `may_repeat` says after which errors that is right again, in
    a context that knows whether it has acted.
    """

    name: str
    needs: frozenset[str]
    work: Work
    is_taken: Callable[[Scope], bool]
    may_repeat: MayRepeat
    timeout_s: float | None = None
    retries: int = 0
    backoff_s: float = 1.0


async def attempted(part: Part, context: Context, scope: Scope) -> Outcome:
    """Do a step, again where that is declared and right. Raises what ends the run."""
    number = 0
    while True:
        number += 1
        try:
            output = await _in_time(part, context, scope)
        except OF_RUN:
            raise
        except RunwrightError as error:
            if number > part.retries or not _may_pass(error) or not part.may_repeat(error, context):
                return Outcome(status="failed", attempts=number, error=error_info(error))
        else:
            return Outcome(status="completed", output=output, attempts=number)
        await _pause(context, part.backoff_s, failures=number)


def _may_pass(error: RunwrightError) -> bool:
    return error.retryable or (isinstance(error, AGAIN) and not isinstance(error, ChildEnded))


async def _in_time(part: Part, context: Context, scope: Scope) -> Any:  # noqa: ANN401 - any JSON
    try:
        async with asyncio.timeout(part.timeout_s):
            return await part.work(context, scope)
    except TimeoutError:
        raise StepTimeout(f"it took longer than {part.timeout_s:g} s") from None


async def _pause(context: Context, base_s: float, *, failures: int) -> None:
    """Exponential back-off with full jitter; both are steps, so that a replay repeats and does not wait."""
    longest = min(LONGEST_S, base_s * 2 ** (failures - 1))
    if longest > 0:
        await context.sleep(longest * await context.random())


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is asked. `retries` is how often it may repair an answer that does not fit."""

    text: object
    model: str | None
    instructions: str
    settings: ModelSettings
    form: Form
    retries: int


def by_model(prompt: Prompt) -> Work:
    """Ask a model."""
    instructions = "\n\n".join(filter(None, (prompt.instructions, prompt.form.instructions)))
    options = ModelOptions(output=prompt.form.spec, settings=prompt.settings)

    async def work(context: Context, scope: Scope) -> Any:  # noqa: ANN401 - any JSON
        messages: tuple[Message, ...] = (UserMessage(content=in_text(filled(prompt.text, scope))),)
        left = prompt.retries
        while True:
            response = await context.model(
                messages,
                model=prompt.model,
                instructions=instructions,
                options=options,
            )
            try:
                return prompt.form.read(response.message.content or "")
            except OutputInvalid as error:
                if left == 0:
                    raise
                left -= 1
                told = f"That answer does not fit: {error.message}\nAnswer again, and only so."
                messages = (*messages, response.message, UserMessage(content=told))

    return work


def by_tool(name: str, arguments: Mapping[str, object], form: Form) -> Work:
    """Call a tool."""

    async def work(context: Context, scope: Scope) -> Any:  # noqa: ANN401 - any JSON
        return form.shaped(await context.tool(name, **filled(arguments, scope)))

    return work


def by_agent(name: str, version: str | None, *, input: object, form: Form) -> Work:
    """Have another agent run."""

    async def work(context: Context, scope: Scope) -> Any:  # noqa: ANN401 - any JSON
        return form.shaped(await context.run(name, filled(input, scope), version=version))

    return work


def by_function(called: FlowFunction, *, input: object, form: Form) -> Work:
    """Call an async function."""

    async def work(context: Context, scope: Scope) -> Any:  # noqa: ANN401 - any JSON
        given = called.read_input(msgspec.json.encode(filled(input, scope)))
        output = await plugins.awaited(called.function(context, given))
        return form.shaped(msgspec.json.decode(called.write_output(output)))

    return work


def always(error: RunwrightError, context: Context) -> bool:
    """Whatever went wrong, nothing but the record has changed by it."""
    return True


def unless_ended(error: RunwrightError, context: Context) -> bool:
    """An agent that took too long was cancelled, and what it was doing may have taken effect."""
    return not isinstance(error, StepTimeout)


def unless_acted(error: RunwrightError, context: Context) -> bool:
    """A function calls all of its tools again, under other idempotency keys."""
    return not context.has_acted


def for_effect(effect: Effect) -> MayRepeat:
    """A tool that acts is called again only if nothing was sent: another call has another idempotency key."""
    return always if effect == "read" else _is_unsent


def _is_unsent(error: RunwrightError, context: Context) -> bool:
    return isinstance(error, NotSent)

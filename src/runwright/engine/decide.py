"""What a loop does next. Pure: a function of the conversation and the definition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from runwright.core.agent import Closing, Loop, MemoryBlock, Tool, bound_of, kind_of
from runwright.core.budget import Shortage
from runwright.core.event import HistoryCut
from runwright.core.history import SUMMARY_LANE, Summary
from runwright.core.message import Message, Said, SystemMessage, ToolCall, chain_digest, digest, said
from runwright.core.model import ModelRequest
from runwright.core.need import OF_PERSON, Need, NeedsApproval, NeedsInput, NeedsRun, NeedsTime, reason_of
from runwright.core.run import ErrorInfo, WaitReason
from runwright.core.step import StepKey, StepKind, may_have_acted
from runwright.engine import shorten
from runwright.engine.fold import Conversation, OpenStep, SummedUp, result_text
from runwright.engine.shorten import Overlong, dropped, overlong, summarised
from runwright.errors import InvalidRequest, OutputInvalid
from runwright.guard.budget import exceeded, over_limit

_deterministic = msgspec.json.Encoder(order="deterministic")
_plain = msgspec.json.Encoder()


class Recall(msgspec.Struct, frozen=True, kw_only=True):
    """Read the blocks of memory that the model is shown. `again` is an unfinished step that this repeats."""

    arguments: str
    match: StepKey
    again: OpenStep | None = None


class ModelCall(msgspec.Struct, frozen=True, kw_only=True):
    """Ask the model. `base` is the earlier model step whose messages the request repeats, `fresh` the new ones.

    `again` is an unfinished step that this call repeats as a new attempt.
    """

    request: ModelRequest
    match: StepKey
    base: int | None
    fresh: tuple[Said, ...]
    again: OpenStep | None = None


class Cut(msgspec.Struct, frozen=True):
    """Leave messages out; `step` summed them up, if one did."""

    cut: HistoryCut
    step: int | None = None


class PlannedTool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool call to perform, with arguments that were checked. `call` is the model's, if it is one of the model."""

    call: ToolCall | None = None
    tool: Tool
    arguments: Mapping[str, object]
    match: StepKey
    again: OpenStep | None = None


class Aside(msgspec.Struct, frozen=True):
    """Perform a call that is the loop's own: its opening or its closing."""

    planned: PlannedTool


class ToolCalls(msgspec.Struct, frozen=True, kw_only=True):
    """Perform these tool calls, `at_once` of them side by side, and tell the model why others are refused.

    One that is held keeps its place: the others get what is left.
    """

    planned: tuple[PlannedTool, ...] = ()
    rejected: tuple[tuple[ToolCall, str], ...] = ()
    at_once: int | None = None


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """These steps were in flight when the process died and may have acted: their outcome is unknown."""

    steps: tuple[OpenStep, ...]


class Supersede(msgspec.Struct, frozen=True, kw_only=True):
    """This model step was in flight when the process died, and its request would be another one now."""

    step: OpenStep


class RejectOutput(msgspec.Struct, frozen=True, kw_only=True):
    """The answer does not fit the schema; the model is told the reason."""

    reason: str


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """The run is complete; `output` is JSON text, `finish_reason` that of the answer it was.

    `left` is the conversation for the next run of its thread, where model calls do not tell that.
    """

    output: bytes
    finish_reason: str = ""
    left: tuple[Message, ...] | None = None


class Fail(msgspec.Struct, frozen=True, kw_only=True):
    """The run fails."""

    error: ErrorInfo


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """The run waits for somebody."""

    reason: WaitReason
    detail: str
    shortage: Shortage | None = None
    needs: tuple[Need, ...] = ()


def short(shortage: Shortage) -> Wait:
    """The run waits for a budget."""
    return Wait(reason="budget", detail=exceeded(shortage), shortage=shortage)


def held(needs: Mapping[Need, str]) -> Wait:
    """The run waits for what its steps need; their names are told. Where one needs a person, that is the reason."""
    first = next((need for need in needs if isinstance(need, OF_PERSON)), next(iter(needs)))
    told = ", ".join(f"{name!r} (step {need.step}) {_said(need)}" for need, name in needs.items())
    return Wait(reason=reason_of(first), detail=f"{told}.", needs=tuple(needs))


PAUSABLE: Final[frozenset[WaitReason]] = frozenset({"approval", "input", "budget", "child", "timer"})
"""Reasons of waits that end by themselves, or with an answer."""


def paused(reason: str, wait: Wait | None = None) -> Wait:
    """The wait of a run that is paused; `wait` is what it would have come to without."""
    told = f"Paused: {reason}." if reason else "Paused."
    if wait is None:
        return Wait(reason="paused", detail=told)
    return replace(wait, reason="paused", detail=f"{told} {wait.detail}")


def _said(need: Need) -> str:
    match need:
        case NeedsApproval():
            return "needs an approval"
        case NeedsInput():
            return "needs an answer"
        case NeedsRun():
            return f"waits for {need.run}"
        case NeedsTime():
            return "waits for its time"


Decision = Recall | Aside | Cut | ModelCall | ToolCalls | Lost | Supersede | RejectOutput | Finish | Fail | Wait


def decide(
    state: Conversation, loop: Loop, *, model: str, summary_model: str = "", is_streamed: bool = False
) -> Decision:
    """The next thing to do; `model` is what the loop's model resolved to, `summary_model` the one that sums up."""
    if state.failure is not None:
        return Fail(error=state.failure)
    if state.unknown:
        return _wait(state)
    if state.calls:
        return _tools(state, loop)
    if state.final is not None:
        return _finish(state, loop, state.final)
    if loop.opening is not None and state.opened is None:
        return _aside(state, loop, loop.opening.tool, given=loop.opening.ask(state.input))
    if loop.memory and state.memory is None:
        return _recall(state, loop)
    over = _limit(state, loop) or _shorten(state, loop, model=summary_model or model)
    return over or _ask(state, loop, model=model, is_streamed=is_streamed)


def model_key(request: ModelRequest, head: bytes) -> str:
    """The key of a model request: everything that can change its answer. `head` is the digest of its messages."""
    output = b"" if request.output is None else _deterministic.encode(request.output.schema)
    parts = (request.model, request.tool_choice, request.settings)
    return digest(head + digest(request.tools_raw) + digest(output) + _deterministic.encode(parts)).hex()


def tool_key(name: str, arguments: str) -> str:
    """The key of a tool call: its name and canonical arguments; text that is no JSON stands for itself."""
    try:
        value: object = msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        value = arguments
    return digest(name.encode() + b"\0" + _deterministic.encode(value)).hex()


def _recall(state: Conversation, loop: Loop) -> Recall:
    again = next((step for step in state.open_steps.values() if step.kind == "memory"), None)
    asked = {"do": "recall", "blocks": [(block.scope, block.name) for block in loop.memory]}
    arguments = _plain.encode(asked).decode()
    first = StepKey("", "memory", tool_key("recall", arguments), 0)
    match = replace(first, nth=state.seen.get(first, 0)) if again is None else again.match
    return Recall(arguments=arguments, match=match, again=again)


def _aside(state: Conversation, loop: Loop, tool: Tool, *, given: Mapping[str, object]) -> Aside | Lost | Fail | Wait:
    again = next((step for step in state.open_steps.values() if step.kind == "tool"), None)
    if again is not None and again.need is not None:
        return held({again.need: again.name})
    if again is not None and _is_lost(state, again):
        return Lost(steps=(again,))
    over = _over(state, loop, 1)
    if over is not None:
        return over
    arguments = {**given, **_bound(state, loop, tool)}
    first = StepKey("", "tool", tool_key(tool.spec.name, _plain.encode(arguments).decode()), 0)
    match = replace(first, nth=state.seen.get(first, 0)) if again is None else again.match
    return Aside(PlannedTool(tool=tool, arguments=arguments, match=match, again=again))


def _bound(state: Conversation, loop: Loop, tool: Tool) -> dict[str, object]:
    """The arguments of a tool that the opening gives."""
    names = bound_of(tool)
    if not names or loop.opening is None or state.opened is None:
        return {}
    return {name: value for name, value in loop.opening.bind(state.opened).items() if name in names}


def _wait(state: Conversation) -> Wait:
    names = ", ".join(f"{step.name!r} (step {step.seq})" for step in state.unknown.values())
    detail = f"It is not known whether {names} took effect; resolve it as done, retry or fail."
    return Wait(reason="unknown_effect", detail=detail)


def _tools(state: Conversation, loop: Loop) -> Decision:
    opened = {step.call_id: step for step in state.open_steps.values()}
    lost = tuple(step for step in opened.values() if _is_lost(state, step))
    if lost:
        return Lost(steps=lost)
    planned: list[PlannedTool] = []
    rejected: list[tuple[ToolCall, str]] = []
    counts: dict[StepKey, int] = {}
    for call in state.calls:
        if call.id in state.answers or _is_held(opened.get(call.id)):
            continue
        outcome = _plan(state, loop, call, again=opened.get(call.id), counts=counts)
        if isinstance(outcome, str):
            rejected.append((call, outcome))
        else:
            planned.append(outcome)
    needs = {step.need: step.name for step in state.open_steps.values() if step.need is not None}
    at_once = None if loop.at_once is None else max(0, loop.at_once - len(needs))
    if at_once == 0:
        planned = []
    if not planned and not rejected:
        return held(needs)
    over = _over(state, loop, len(planned))
    if over is not None:
        return over
    return ToolCalls(planned=tuple(planned), rejected=tuple(rejected), at_once=at_once)


def checked(tool: Tool, kind: StepKind, asked: str, *, again: bytes | None) -> Mapping[str, object]:
    """The arguments of a step that was asked for with these. Raises InvalidRequest.

    If it is begun `again`, a child has the run that it had, and others have the arguments that a person gave them.
    """
    if again is None:
        return tool.check(asked)
    if kind == "child":
        return {**tool.check(asked), "run": msgspec.json.decode(again, type=dict[str, object])["run"]}
    return tool.check(again.decode())


def _is_lost(state: Conversation, step: OpenStep) -> bool:
    return may_have_acted(step.effect, step.attempt) and step.seq not in state.granted


def _is_held(step: OpenStep | None) -> bool:
    return step is not None and step.need is not None


def _plan(
    state: Conversation, loop: Loop, call: ToolCall, *, again: OpenStep | None, counts: dict[StepKey, int]
) -> PlannedTool | str:
    tool = loop.tools.get(call.name)
    if tool is None:
        known = ", ".join(sorted(loop.tools)) or "none"
        return f"There is no tool {call.name!r}. Known tools: {known}."
    try:
        given = None if again is None else again.arguments
        arguments = checked(tool, kind_of(tool), call.arguments, again=given)
    except InvalidRequest as error:
        return error.message
    bound = _bound(state, loop, tool)
    arguments = {**arguments, **bound}
    if again is not None:
        return PlannedTool(call=call, tool=tool, arguments=arguments, match=again.match, again=again)
    asked = _plain.encode(arguments).decode() if bound else call.arguments
    first = StepKey("", kind_of(tool), tool_key(call.name, asked), 0)
    if first.kind == "child" and (told := _childless(state, loop, counts)):
        return told
    nth = state.seen.get(first, 0) + counts.get(first, 0)
    counts[first] = counts.get(first, 0) + 1
    return PlannedTool(call=call, tool=tool, arguments=arguments, match=replace(first, nth=nth))


def _childless(state: Conversation, loop: Loop, counts: Mapping[StepKey, int]) -> str:
    """Why no further run may be begun; empty where one may. `counts` are those that are planned."""
    most = loop.limits.children
    begun = sum(count for each in (state.seen, counts) for key, count in each.items() if key.kind == "child")
    return "" if most is None or begun < most else too_many_children(most)


def too_many_children(most: int) -> str:
    """That a run has begun as many runs as it may."""
    return f"This run may begin {most} runs and has begun them (limits.children); go on without another one."


def _finish(state: Conversation, loop: Loop, text: str) -> Decision:
    if loop.closing is not None:
        return _close(state, loop, loop.closing, text=text)
    if loop.output is None:
        return Finish(output=_plain.encode(text), finish_reason=state.finish_reason)
    try:
        return Finish(output=loop.output.check(text), finish_reason=state.finish_reason)
    except OutputInvalid as error:
        return _reject(state, loop, error.message)


def _close(state: Conversation, loop: Loop, closing: Closing, *, text: str) -> Decision:
    if state.closed is not None:
        return Finish(output=state.closed, finish_reason=state.finish_reason)
    if state.refused is not None:
        return _reject(state, loop, state.refused)
    return _aside(state, loop, closing.tool, given=closing.ask(text))


def _reject(state: Conversation, loop: Loop, reason: str) -> Fail | RejectOutput:
    if state.rejections >= loop.limits.output_retries:
        return Fail(error=ErrorInfo(code=OutputInvalid.code, message=reason))
    return RejectOutput(reason=reason)


def _limit(state: Conversation, loop: Loop) -> Fail | None:
    over = _over(state, loop, 0 if state.open_steps else 1)
    if over is not None:
        return over
    # The guard reserves tokens before they are used, and does not know what a recording answered.
    limit = loop.limits.tokens
    if limit is not None and state.usage.total_tokens >= limit:
        return _exceeded(over_limit(limit, used=state.usage.total_tokens))
    return None


def _over(state: Conversation, loop: Loop, more: int) -> Fail | None:
    fresh = max(0, more - len(state.open_steps))
    if state.steps + fresh <= loop.limits.steps:
        return None
    return _exceeded(f"The run would take more than {loop.limits.steps} steps; raise limits.steps.")


def _exceeded(message: str) -> Fail:
    return Fail(error=ErrorInfo(code="limit_exceeded", message=message))


def _shorten(state: Conversation, loop: Loop, *, model: str) -> Cut | ModelCall | Supersede | Fail | None:
    """What is done before the model is asked, where the conversation is too long for it."""
    history = loop.history
    again = _opened(state, SUMMARY_LANE)
    found = None if history is None else overlong(state, history)
    if history is None or found is None:
        return None if again is None else Supersede(step=again)
    if history.summary is None:
        return Cut(dropped(state, found))
    asked = shorten.request(state, found, history.summary, model=model)
    key = model_key(asked, chain_digest(asked.messages))
    if state.summed_up is not None and state.summed_up.key == key:
        return _summed_up(state, found, history.summary, summed_up=state.summed_up)
    if again is not None and again.match.key != key:
        return Supersede(step=again)
    first = StepKey(SUMMARY_LANE, "model", key, 0)
    match = replace(first, nth=state.seen.get(first, 0)) if again is None else again.match
    return ModelCall(request=asked, match=match, base=None, fresh=asked.messages, again=again)


def _summed_up(state: Conversation, found: Overlong, summary: Summary, *, summed_up: SummedUp) -> Cut | Fail:
    failure = shorten.failure(summed_up)
    if failure is None:
        return Cut(summarised(state, found, summary, text=summed_up.text), summed_up.step)
    if summary.on_failure == "fail":
        return Fail(error=failure)
    return Cut(dropped(state, found, reason=failure.message), summed_up.step)


def _opened(state: Conversation, lane: str) -> OpenStep | None:
    """The model step of a lane that has no end."""
    return next((step for step in state.open_steps.values() if step.kind == "model" and step.match.lane == lane), None)


def _ask(state: Conversation, loop: Loop, *, model: str, is_streamed: bool) -> ModelCall | Supersede:
    again = _opened(state, "")
    opened = "" if loop.opening is None or state.opened is None else loop.opening.tell(state.opened)
    told = "\n\n".join(filter(None, (loop.instructions, opened, _remembered(loop, state.memory))))
    system = (said(SystemMessage(content=told)),) if told else ()
    request = ModelRequest(
        model=model,
        messages=system + state.messages,
        tools=tuple(tool.spec for tool in loop.tools.values()),
        tools_raw=loop.tools_raw,
        output=None if loop.output is None else loop.output.spec,
        settings=loop.settings,
        is_streamed=is_streamed,
    )
    head = digest(b"".join(entry.digest for entry in system) + state.head)
    first = StepKey("", "model", model_key(request, head), 0)
    nth = state.seen.get(first, 0)
    if again is not None and again.match.key != first.key:
        return Supersede(step=again)
    if again is not None:
        return ModelCall(request=request, match=again.match, base=None, fresh=(), again=again)
    # After a change of code the whole request is recorded again: what was sent is what stands there.
    is_same = state.system == tuple(entry.raw for entry in system) and state.tools == (loop.tools_raw or b"null")
    base = state.base if is_same else None
    fresh = state.messages[state.base_count :] if base is not None else request.messages
    return ModelCall(request=request, match=StepKey("", "model", first.key, nth), base=base, fresh=fresh)


def _remembered(loop: Loop, memory: bytes | None) -> str:
    """The blocks of memory as the model is told of them; empty where there are none."""
    if not loop.memory or memory is None:
        return ""
    held = msgspec.json.decode(memory, type=dict[str, msgspec.Raw])
    blocks = (_block(block, held.get(block.name)) for block in loop.memory)
    return "\n".join(("Your memory, as it stood when this run began:", "<memory>", *blocks, "</memory>"))


def _block(block: MemoryBlock, value: msgspec.Raw | None) -> str:
    text = "" if value is None else result_text(bytes(value))
    about = f' description="{block.description}"' if block.description else ""
    return f'<{block.name}{about} characters="{len(text)}" limit="{block.limit}">\n{text}\n</{block.name}>'

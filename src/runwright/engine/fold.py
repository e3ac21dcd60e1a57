"""The loop's state as a fold over the journal. Pure: the same events give the same conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

import msgspec
from msgspec.structs import replace

from runwright.core.event import (
    Event,
    HistoryCut,
    MessageCompleted,
    OutputRejected,
    RunQueued,
    RunResumed,
    RunStarted,
    StepCompleted,
    StepFailed,
    StepHeld,
    StepResolved,
    StepRestarted,
    StepStarted,
    ToolRejected,
)
from runwright.core.history import NO_RECAP, SUMMARY_LANE, Recap
from runwright.core.message import (
    AssistantMessage,
    Message,
    Said,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
    chain_digest,
    said,
    said_raw,
)
from runwright.core.need import OF_PERSON, Need
from runwright.core.run import ErrorInfo
from runwright.core.step import SUPERSEDED, Effect, StepKey, StepKind, first_attempt, held_attempt
from runwright.core.usage import NO_USAGE, Usage
from runwright.errors import BudgetExceeded

LOOP_VERSION = 2
"""Stored in `run.started`; a change of the steps that a run asks for is a new number, and old numbers keep working.

From 2 on, code in a sandbox asks for the lock of its packages.
"""


class OpenStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that began and has not ended well or badly.

    `need` is what holds it. `is_approved` says that a person allowed it; `arguments` are those that it is begun again
    with, where they are others than were asked for.
    """

    seq: int
    kind: StepKind
    name: str
    match: StepKey
    effect: Effect
    call_id: str | None
    attempt: int = 1
    need: Need | None = None
    is_approved: bool = False
    arguments: bytes | None = None


class SummedUp(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request for a summary: the key of its step, and a text or an error."""

    step: int
    key: str
    text: str = ""
    error: ErrorInfo | None = None


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a loop stands.

    `head` is the rolling digest of `messages`. `calls` are the tool calls of the last assistant message until all of
    them are answered; `answers` maps call ids to result texts. `final` is the text of an answer without tool calls.
    `granted` are open steps that a person allowed to run again. `memory` are the blocks that the model is shown, as a
    JSON object, once they were recalled. `input` is the run's own, `opened` the result of its opening, `closed` that
    of its closing, and `refused` why that would not take the answer.
    `base` and `base_count` say which model step was last and how many messages it was sent; `system` and `tools` are
    what stood before and beside them, as recorded. `recap` is what was left out of the messages before, `summed_up` a
    summary that stands nowhere yet, and `is_cutting` says that more is to be left out.
    """

    messages: tuple[Said, ...] = ()
    head: bytes = b""
    calls: tuple[ToolCall, ...] = ()
    answers: Mapping[str, str] = {}
    open_steps: Mapping[int, OpenStep] = {}
    unknown: Mapping[int, OpenStep] = {}
    granted: frozenset[int] = frozenset()
    seen: Mapping[StepKey, int] = {}
    final: str | None = None
    finish_reason: str = ""
    failure: ErrorInfo | None = None
    rejections: int = 0
    steps: int = 0
    usage: Usage = NO_USAGE
    memory: bytes | None = None
    input: bytes = b"null"
    opened: bytes | None = None
    closed: bytes | None = None
    refused: str | None = None
    base: int | None = None
    base_count: int = 0
    system: tuple[bytes, ...] = ()
    tools: bytes = b""
    recap: Recap = NO_RECAP
    summed_up: SummedUp | None = None
    is_cutting: bool = False


ReadInput = Callable[[bytes], tuple[Message, ...]]


def start(history: tuple[Said, ...] = ()) -> Conversation:
    """A conversation that goes on from the history of its thread."""
    return Conversation(messages=history, head=chain_digest(history))


def fold(conversation: Conversation, events: Iterable[Event], read_input: ReadInput) -> Conversation:
    """The conversation after these events."""
    for event in events:
        conversation = apply(conversation, event, read_input)
    return conversation


def apply(state: Conversation, event: Event, read_input: ReadInput) -> Conversation:
    """The conversation after one event; events that say nothing about it leave it as it is."""
    match event.data:
        case RunQueued() as data:
            state = replace(state, input=bytes(data.input))
            return _say(state, *(said(message) for message in read_input(state.input)))
        case RunStarted() as data:
            return state if data.recap is None else replace(state, recap=data.recap)
        case HistoryCut() as data:
            return _cut(state, data, run=event.run_id, step=event.step)
        case StepStarted() as data:
            return _begin(state, event.seq, data)
        case MessageCompleted() as data:
            return _answered_by_model(state, _number(event), bytes(data.message))
        case RunResumed():
            return _resume(state)
        case ToolRejected() as data:
            return _answer(state, data.call_id, f"Error: {data.reason}")
        case OutputRejected() as data:
            told = said(UserMessage(content=f"That answer does not fit: {data.reason}\nAnswer again, and only so."))
            return replace(_say(state, told), rejections=state.rejections + 1, final=None, refused=None)
        case _:
            return _apply_to_step(state, event)


def _apply_to_step(state: Conversation, event: Event) -> Conversation:
    match event.data:
        case StepRestarted() as data:
            return _restart(state, _number(event), data.attempt)
        case StepHeld() as data:
            return _hold(state, _number(event), data.need)
        case StepCompleted() as data:
            return _complete(state, _number(event), data)
        case StepFailed() as data:
            return _fail(state, _number(event), data)
        case StepResolved() as data:
            return _resolve(state, _number(event), data)
        case _:
            return state


def _number(event: Event) -> int:
    if event.step is None:
        raise ValueError(f"{event.type} of {event.run_id} at {event.seq} names no step")
    return event.step


def _say(state: Conversation, *messages: Said) -> Conversation:
    return replace(state, messages=(*state.messages, *messages), head=chain_digest(messages, state.head))


def _begin(state: Conversation, seq: int, data: StepStarted) -> Conversation:
    match = StepKey(data.lane, data.kind, data.key, data.nth)
    step = OpenStep(
        seq=seq,
        kind=data.kind,
        name=data.name,
        match=match,
        effect=data.effect,
        call_id=data.call_id,
        attempt=first_attempt(data.effect, is_held=data.is_held),
        # They name the run that was begun.
        arguments=bytes(data.request) if data.kind == "child" else None,
    )
    counted = StepKey(data.lane, data.kind, data.key, 0)
    state = replace(
        state,
        open_steps={**state.open_steps, seq: step},
        seen={**state.seen, counted: state.seen.get(counted, 0) + 1},
        # Memory is recalled at no cost.
        steps=state.steps + (data.kind != "memory"),
    )
    if data.kind != "model" or data.lane == SUMMARY_LANE:
        return state
    if data.base is None:
        count = len(data.messages) - len(state.messages)
        system = tuple(bytes(message) for message in data.messages[:count])
        state = replace(state, system=system, tools=bytes(data.tools))
    return replace(state, base=seq, base_count=len(state.messages))


def _restart(state: Conversation, seq: int, attempt: int) -> Conversation:
    step = state.open_steps.get(seq) or state.unknown[seq]
    unknown = {number: other for number, other in state.unknown.items() if number != seq}
    opened = {**state.open_steps, seq: replace(step, attempt=attempt, need=None)}
    return replace(state, open_steps=opened, unknown=unknown, granted=state.granted - {seq})


def _hold(state: Conversation, seq: int, need: Need | None) -> Conversation:
    step = state.open_steps[seq]
    held = replace(step, attempt=held_attempt(step.effect, step.attempt), need=need)
    return replace(state, open_steps={**state.open_steps, seq: held})


def _resume(state: Conversation) -> Conversation:
    """What nobody has to answer is looked at again."""
    if all(step.need is None or isinstance(step.need, OF_PERSON) for step in state.open_steps.values()):
        return state
    opened = {
        seq: step if isinstance(step.need, OF_PERSON) else replace(step, need=None)
        for seq, step in state.open_steps.items()
    }
    return replace(state, open_steps=opened)


def _answered_by_model(state: Conversation, seq: int, raw: bytes) -> Conversation:
    entry = said_raw(raw)
    message = entry.message
    if not isinstance(message, AssistantMessage):
        raise TypeError(f"a model's answer is an assistant message, not {message!r}")
    if (step := state.open_steps[seq]).match.lane == SUMMARY_LANE:
        return replace(state, summed_up=SummedUp(step=seq, key=step.match.key, text=message.content or ""))
    final = None if message.tool_calls else (message.content or "")
    return replace(_say(state, entry), calls=message.tool_calls, answers={}, final=final)


def _complete(state: Conversation, seq: int, data: StepCompleted) -> Conversation:
    step = state.open_steps.get(seq) or state.unknown[seq]
    state = replace(_close(state, seq), usage=state.usage + data.usage)
    if step.kind == "model":
        return replace(state, finish_reason=data.finish_reason)
    if step.kind == "memory":
        return replace(state, memory=bytes(data.result))
    if step.call_id is None:
        result = bytes(data.result)
        return replace(state, opened=result) if state.final is None else replace(state, closed=result)
    return _answer(state, step.call_id, result_text(bytes(data.result)))


def _fail(state: Conversation, seq: int, data: StepFailed) -> Conversation:
    step = state.open_steps.get(seq) or state.unknown[seq]
    state = replace(_close(state, seq), usage=state.usage + data.usage)
    if data.is_unknown:
        return replace(state, unknown={**state.unknown, seq: step})
    if step.kind == "memory":
        return replace(state, failure=data.error)
    if step.kind == "model":
        # One that was superseded does not count: the run stays within the limits that it was within.
        is_superseded = data.error.code == SUPERSEDED
        if is_superseded:
            return replace(state, steps=state.steps - 1)
        if step.match.lane == SUMMARY_LANE:
            return replace(state, summed_up=SummedUp(step=seq, key=step.match.key, error=data.error))
        return replace(state, failure=data.error)
    if data.error.code == BudgetExceeded.code:
        # The model cannot help it, and to tell it would cost.
        return replace(state, failure=data.error)
    if step.call_id is None:
        is_closing = state.final is not None
        return replace(state, refused=data.error.message) if is_closing else replace(state, failure=data.error)
    return _answer(state, step.call_id, f"Error: {data.error.message}")


def _resolve(state: Conversation, seq: int, data: StepResolved) -> Conversation:
    if data.action == "approve":
        return _approve(state, seq, data)
    if data.action in ("done", "deny", "answer"):
        # What came of it follows.
        return state
    # Who said to try it again may think better of it before it is.
    step = state.unknown.get(seq) or state.open_steps[seq]
    if data.action == "retry":
        opened = {**state.open_steps, seq: step}
        return replace(_close(state, seq), open_steps=opened, granted=state.granted | {seq})
    error = ErrorInfo(code="outcome_unknown", message=f"{step.name!r} was resolved as failed.", step=seq)
    return replace(_close(state, seq), failure=error)


def _approve(state: Conversation, seq: int, data: StepResolved) -> Conversation:
    given = bytes(data.arguments)
    allowed = replace(state.open_steps[seq], need=None, is_approved=True, arguments=None if given == b"null" else given)
    return replace(state, open_steps={**state.open_steps, seq: allowed})


def _cut(state: Conversation, data: HistoryCut, *, run: str, step: int | None) -> Conversation:
    """Nothing of what was sent before is repeated by the next request, so that is recorded whole."""
    messages, recap = list(state.messages), data.recap
    for first, after in reversed(data.left_out):
        del messages[first:after]
    if recap.at is not None and (summary := bytes(data.summary)) != b"null":
        messages.insert(place(messages, recap.at), said_raw(summary))
        recap = replace(recap, run=run, step=step)
    return replace(
        state,
        messages=tuple(messages),
        head=chain_digest(messages),
        recap=recap,
        base=None,
        summed_up=None,
        is_cutting=data.has_more,
    )


def place(messages: Sequence[Said], number: int) -> int:
    """The index of the message with this number, in which instructions do not count."""
    counted = (index for index, entry in enumerate(messages) if not isinstance(entry.message, SystemMessage))
    return next(islice(counted, number, None), len(messages))


def _close(state: Conversation, seq: int) -> Conversation:
    opened = {number: step for number, step in state.open_steps.items() if number != seq}
    unknown = {number: step for number, step in state.unknown.items() if number != seq} if state.unknown else {}
    return replace(state, open_steps=opened, unknown=unknown)


def _answer(state: Conversation, call_id: str | None, text: str) -> Conversation:
    """Results join the conversation together and in the order of the calls, whenever they arrived."""
    if call_id is None:
        return state
    answers = {**state.answers, call_id: text}
    if any(call.id not in answers for call in state.calls):
        return replace(state, answers=answers)
    told = [said(ToolMessage(tool_call_id=call.id, content=answers[call.id])) for call in state.calls]
    return replace(_say(state, *told), calls=(), answers={})


def result_text(result: bytes) -> str:
    """A tool's result as the model reads it: text as it is, anything else as JSON."""
    if result[:1] == b'"':
        return msgspec.json.decode(result, type=str)
    return result.decode()

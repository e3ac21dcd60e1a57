"""What of a conversation a model is not sent any more. Pure: it is a part of what `decide` decides.

What is sent begins with a question, and an answer with tool calls stands together with their results: messages are cut
where a user or the model begins to speak. Where that is the model, the question that it works on stays as well, beside
instructions and the first messages that are pinned. It is cut to half of what may be sent, so that it is seldom cut.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec.structs import replace

from runwright.core.event import NULL, HistoryCut
from runwright.core.history import OPENING, History, Summary
from runwright.core.message import (
    AssistantMessage,
    Message,
    Said,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
    said,
    text_of,
)
from runwright.core.model import ModelRequest, ModelSettings
from runwright.core.run import ErrorInfo
from runwright.engine.estimate import BYTES_PER_TOKEN, tokens, weight
from runwright.engine.fold import Conversation, SummedUp, place
from runwright.errors import OutputInvalid

LINE = 4000
"""Characters of one message that a summary is made of."""

LONGEST = 8
"""Characters for each token that a summary may have, for models that say more than they were asked for."""

_CLOSING = "\n</summary>"


class Overlong(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation that is too long: the messages to leave out, in order, and those that stay before them or between.

    The first `pinned` are pinned, and `at` is the summary of what was left out before.
    """

    left_out: tuple[int, ...]
    pinned: int
    kept: tuple[int, ...]
    at: int | None


def overlong(state: Conversation, history: History) -> Overlong | None:
    """What is to be left out of a conversation; None where it is not too long, or nothing more can be."""
    messages, recap = state.messages, state.recap
    at = None if recap.at is None else place(messages, recap.at)
    pinned = _pinned(messages, history.pin, at=at)
    begin = max(pinned, place(messages, recap.first))
    if not state.is_cutting and _fits(messages[begin:], history.messages, history.tokens):
        return None
    cut = _place(messages, begin, history)
    question = _question(messages, cut, pinned=pinned, at=at)
    kept = tuple(
        index for index in range(cut) if index < pinned or index in (question, at) or not _counts(messages[index])
    )
    left_out = tuple(sorted({*range(cut)} - {*kept}))
    return Overlong(left_out=left_out, pinned=pinned, kept=kept, at=at) if left_out else None


def request(state: Conversation, found: Overlong, summary: Summary, *, model: str) -> ModelRequest:
    """What is asked of the model that sums up: the summary so far, and what comes next of what is left out."""
    lines = "\n".join(_line(state.messages[index].message) for index in _piece(state, found, summary))
    before = "" if found.at is None else _told(state.messages[found.at])
    text = f"The summary so far:\n{before}\n\nWhat was said since:\n{lines}" if before else f"What was said:\n{lines}"
    return ModelRequest(
        model=model,
        messages=(said(SystemMessage(content=summary.instructions)), said(UserMessage(content=text))),
        settings=ModelSettings(max_tokens=summary.max_tokens),
    )


def failure(summed_up: SummedUp) -> ErrorInfo | None:
    """Why there is no summary, where there is none."""
    if summed_up.error is not None or summed_up.text.strip():
        return summed_up.error
    return ErrorInfo(code=OutputInvalid.code, message="The model said nothing.", step=summed_up.step)


def dropped(state: Conversation, found: Overlong, *, reason: str = "") -> HistoryCut:
    """All that is to be left out is left out; a summary of what was left out before stays."""
    return _cut(state, found, found.left_out, reason=reason)


def summarised(state: Conversation, found: Overlong, summary: Summary, *, text: str) -> HistoryCut:
    """What was summed up is left out, and the summary stands in its place."""
    piece = _piece(state, found, summary)
    text = text.strip()[: summary.max_tokens * LONGEST]
    message = said(UserMessage(content=f"{OPENING}{text}{_CLOSING}"))
    return _cut(state, found, piece, summary=msgspec.Raw(message.raw))


def _cut(
    state: Conversation,
    found: Overlong,
    left_out: Sequence[int],
    *,
    summary: msgspec.Raw = NULL,
    reason: str = "",
) -> HistoryCut:
    has_more = len(left_out) < len(found.left_out)
    gone, at = {*left_out}, found.at
    recap = replace(state.recap, messages=state.recap.messages + len(gone))
    if summary is not NULL:
        # It stands behind what is pinned, where the one before stood too.
        gone |= set() if at is None else {at}
        at, recap = found.pinned, replace(recap, run="", step=None)
    stays = [index for index, entry in enumerate(state.messages) if index not in gone and _counts(entry)]
    at = None if at is None else bisect_left(stays, at)
    kept = sum(index in found.kept for index in stays) + (summary is not NULL)
    first = at + 1 if has_more and at is not None else kept
    return HistoryCut(
        left_out=tuple(_ranges(sorted(gone))),
        recap=replace(recap, at=at, first=first),
        summary=summary,
        reason=reason,
        has_more=has_more,
    )


def _counts(entry: Said) -> bool:
    return not isinstance(entry.message, SystemMessage)


def _ranges(indexes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Indexes in order, as pairs of the first and the one after."""
    first = after = indexes[0]
    for index in indexes:
        if index != after:
            yield first, after
            first = index
        after = index + 1
    yield first, after


def _pinned(messages: Sequence[Said], pin: int, *, at: int | None) -> int:
    """Where the first messages end, with the results of tools that belong to them."""
    counted = 0
    for index, entry in enumerate(messages):
        is_result = isinstance(entry.message, ToolMessage)
        if counted >= pin and not (pin and is_result):
            return index
        counted += _counts(entry) and index != at
    return len(messages)


def _fits(messages: Iterable[Said], most: int | None, most_tokens: int | None) -> bool:
    count = read = 0
    for entry in messages:
        if _counts(entry):
            count, read = count + 1, read + weight(entry)
    return (most is None or count <= most) and (most_tokens is None or tokens(read) <= most_tokens)


def _place(messages: Sequence[Said], begin: int, history: History) -> int:
    """Where what stays begins: as early as half of what may be sent allows, and not behind the last that was said."""
    most = None if history.messages is None else max(1, history.messages // 2)
    most_tokens = None if history.tokens is None else max(1, history.tokens // 2)
    found: int | None = None
    count = read = 0
    for index in range(len(messages) - 1, begin - 1, -1):
        entry = messages[index]
        if not _counts(entry):
            continue
        count, read = count + 1, read + weight(entry)
        if isinstance(entry.message, ToolMessage):
            continue
        fits = (most is None or count <= most) and (most_tokens is None or tokens(read) <= most_tokens)
        if not fits:
            return index if found is None else found
        found = index
    return begin if found is None else found


def _question(messages: Sequence[Said], cut: int, *, pinned: int, at: int | None) -> int | None:
    """What the first answer that stays is about."""
    if not isinstance(messages[cut].message, AssistantMessage):
        return None
    before = (index for index in range(cut - 1, pinned - 1, -1) if index != at)
    return next((index for index in before if isinstance(messages[index].message, UserMessage)), None)


def _piece(state: Conversation, found: Overlong, summary: Summary) -> Sequence[int]:
    """So much of what is to be left out as one step sums up: all that belongs together."""
    room = summary.reads * BYTES_PER_TOKEN
    for count, index in enumerate(found.left_out):
        message = state.messages[index].message
        if count and room <= 0 and not isinstance(message, ToolMessage):
            return found.left_out[:count]
        room -= len(_line(message))
    return found.left_out


def _told(summary: Said) -> str:
    return text_of(summary.message).removeprefix(OPENING).removesuffix(_CLOSING)


def _line(message: Message) -> str:
    """A message as a line of a record."""
    match message:
        case ToolMessage(content=content):
            return f"Tool: {_short(content)}"
        case AssistantMessage(tool_calls=calls):
            called = (f"[calls {call.name} with {_short(call.arguments)}]" for call in calls)
            return "Assistant: " + " ".join(filter(None, (_short(text_of(message)), *called)))
        case SystemMessage(content=content):
            return f"System: {_short(content)}"
        case UserMessage():
            parts = () if isinstance(message.content, str) else message.content
            media = (f"[{part.__struct_config__.tag}]" for part in parts if not isinstance(part, TextPart))
            return "User: " + " ".join(filter(None, (_short(text_of(message)), *media)))


def _short(text: str) -> str:
    return text if len(text) <= LINE else f"{text[:LINE]} [{len(text) - LINE} characters more]"

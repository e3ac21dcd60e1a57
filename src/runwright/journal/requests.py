"""Model requests as they were sent: each step records only the messages that are new since its base."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from runwright.core.event import ConversationLeft, Event, HistoryCut, MessageCompleted, RunStarted, StepStarted
from runwright.core.history import OPENING, Recap
from runwright.core.message import Said, SystemMessage, said_raw, text_of


def sent_messages(events: Iterable[Event]) -> Mapping[int, tuple[msgspec.Raw, ...]]:
    """The whole messages of every model step, by step."""
    sent: dict[int, tuple[msgspec.Raw, ...]] = {}
    for event in events:
        data = event.data
        if isinstance(data, StepStarted) and data.kind == "model":
            before = sent.get(data.base, ()) if data.base is not None else ()
            sent[event.seq] = before + data.messages
    return sent


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """What a run leaves to the next one of its thread: what was sent and answered, or as it says, and what was left
    out of that.
    """

    messages: tuple[Said, ...] = ()
    recap: Recap | None = None


def handover(events: Iterable[Event]) -> Handover:
    """What a run with these events leaves behind."""
    asked: dict[int, StepStarted] = {}
    answers: dict[int, msgspec.Raw] = {}
    left: tuple[msgspec.Raw, ...] | None = None
    recap: Recap | None = None
    for event in events:
        match event.data:
            case StepStarted(kind="model", lane=""):
                asked[event.seq] = event.data
            case MessageCompleted() if event.step is not None:
                answers[event.step] = event.data.message
            case ConversationLeft():
                left = event.data.messages
            case RunStarted():
                recap = event.data.recap
            case HistoryCut():
                recap = _recap(event, event.data)
            case _:
                pass
    if left is None:
        left = _said(asked, answers)
    entries = (said_raw(bytes(raw)) for raw in left)
    messages = tuple(entry for entry in entries if not isinstance(entry.message, SystemMessage))
    # Code of a framework may leave something else than it was handed.
    return Handover(messages=messages, recap=recap if recap is not None and _is_of(recap, messages) else None)


def _is_of(recap: Recap, messages: Sequence[Said]) -> bool:
    if recap.first > len(messages):
        return False
    if recap.at is None:
        return True
    return recap.at < len(messages) and text_of(messages[recap.at].message).startswith(OPENING)


def _said(asked: Mapping[int, StepStarted], answers: Mapping[int, msgspec.Raw]) -> tuple[msgspec.Raw, ...]:
    """All messages of the last step, and its answer if it has one."""
    if not asked:
        return ()
    last = max(asked)
    return (*_sent(asked, last), *((answers[last],) if last in answers else ()))


def _recap(event: Event, data: HistoryCut) -> Recap:
    is_own = bytes(data.summary) != b"null"
    return replace(data.recap, run=event.run_id, step=event.step) if is_own else data.recap


def _sent(asked: Mapping[int, StepStarted], last: int) -> Iterator[msgspec.Raw]:
    """The whole messages of one step."""
    chain = [asked[last]]
    while (base := chain[-1].base) is not None:
        chain.append(asked[base])
    for step in reversed(chain):
        yield from step.messages

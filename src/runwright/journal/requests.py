"""Model requests as they were sent: each step records only the messages that are new since its base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from runwright.core.event import ConversationLeft, Event, MessageCompleted, StepStarted
from runwright.core.message import Said, SystemMessage, said_raw


def sent_messages(events: Iterable[Event]) -> Mapping[int, tuple[msgspec.Raw, ...]]:
    """The whole messages of every model step, by step."""
    sent: dict[int, tuple[msgspec.Raw, ...]] = {}
    for event in events:
        data = event.data
        if isinstance(data, StepStarted) and data.kind == "model":
            before = sent.get(data.base, ()) if data.base is not None else ()
            sent[event.seq] = before + data.messages
    return sent


def history(events: Iterable[Event]) -> tuple[Said, ...]:
    """The conversation a run leaves behind for the next one of its thread: sent and answered, or as it says."""
    kept = list(events)
    sent = sent_messages(kept)
    answers: dict[int, msgspec.Raw] = {}
    last: int | None = None
    left: tuple[msgspec.Raw, ...] | None = None
    for event in kept:
        if isinstance(event.data, StepStarted) and event.data.kind == "model" and not event.data.lane:
            last = event.seq
        elif isinstance(event.data, MessageCompleted) and event.step is not None:
            answers[event.step] = event.data.message
        elif isinstance(event.data, ConversationLeft):
            left = event.data.messages
    if left is None:
        if last is None:
            return ()
        left = (*sent[last], answers[last]) if last in answers else sent[last]
    entries = (said_raw(bytes(raw)) for raw in left)
    return tuple(entry for entry in entries if not isinstance(entry.message, SystemMessage))

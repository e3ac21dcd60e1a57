"""Model requests as they were sent: each step records only the messages that are new since its base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from runwright.core.event import Event, MessageCompleted, StepStarted
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
    """The conversation a run leaves behind for the next one of its thread: sent and answered."""
    kept = list(events)
    sent = sent_messages(kept)
    answers: dict[int, msgspec.Raw] = {}
    last: int | None = None
    for event in kept:
        if isinstance(event.data, StepStarted) and event.data.kind == "model" and not event.data.lane:
            last = event.seq
        elif isinstance(event.data, MessageCompleted) and event.step is not None:
            answers[event.step] = event.data.message
    if last is None:
        return ()
    raws = (*sent[last], answers[last]) if last in answers else sent[last]
    entries = (said_raw(bytes(raw)) for raw in raws)
    return tuple(entry for entry in entries if not isinstance(entry.message, SystemMessage))


def readable(step: StepStarted, messages: Sequence[bytes]) -> list[str]:
    """A step's request in lines, for people and for differences; `messages` are the whole ones of a model step."""
    lines = _pretty(f"{step.kind} {step.name}", bytes(step.request))
    for raw in messages:
        message = msgspec.json.decode(raw, type=dict[str, object])
        role, content = message.pop("role"), message.pop("content", None)
        lines.append(f"{role}:")
        lines += (content if isinstance(content, str) else _formatted(content)).splitlines()
        if message:
            lines += _formatted(message).splitlines()
    return lines


def _pretty(title: str, value: bytes) -> list[str]:
    return [title, *msgspec.json.format(value, indent=2).decode().splitlines()]


def _formatted(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() if value is not None else ""

"""Memory as events tell of it: the commits that they make, what a run sees, and who wrote which line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher

import msgspec

from runwright.core.event import Event, MemoryWritten
from runwright.core.memory import Change, Draft, Entry, value_after
from runwright.journal.wording import json_text

COMPARED = 400
"""Lines that two versions of a text differ in, beyond which all of them count as written anew: difflib is quadratic."""


def memory_drafts(events: Iterable[Event]) -> tuple[Draft, ...]:
    """The commits that events make. What a replay repeats makes none: it is written already."""
    # This looks at every event that is stored, and most runs have none.
    written = [(event, event.data) for event in events if type(event.data) is MemoryWritten]
    return tuple(_draft(event, data) for event, data in written if data.taped is None) if written else ()


def _draft(event: Event, data: MemoryWritten) -> Draft:
    return Draft(
        owner=data.owner,
        changes=(change_of(data),),
        created_at=event.ts,
        run_id=event.run_id,
        step=event.step,
        seq=event.seq,
        base=data.base,
    )


def change_of(data: MemoryWritten) -> Change:
    """What an event says that became of a block."""
    return Change(data.name, data.action, bytes(data.value))


def changed(held: Mapping[str, bytes], changes: Iterable[Change]) -> dict[str, bytes]:
    """Blocks after changes, by name."""
    blocks = dict(held)
    for change in changes:
        value = value_after(blocks.get(change.name), change)
        if value is None:
            blocks.pop(change.name, None)
        else:
            blocks[change.name] = value
    return blocks


class BlamedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a block, and the commit that wrote it."""

    text: str
    entry: Entry


def blame(history: Iterable[Entry]) -> Sequence[BlamedLine]:
    """The lines of a block as the last of these entries left it, each with the entry that wrote it.

    `history` is all of the block from the first commit on. A value that is no text is taken as it is shown.
    """
    lines: list[BlamedLine] = []
    for entry in history:
        texts = () if entry.value is None else _lines(json_text(entry.value))
        lines = list(_blamed(lines, texts, entry))
    return lines


def _lines(text: str) -> Sequence[str]:
    return text.removesuffix("\n").split("\n") if text else ()


def _blamed(before: Sequence[BlamedLine], texts: Sequence[str], entry: Entry) -> Iterable[BlamedLine]:
    """The lines of the next version: those that were there keep who wrote them."""
    old = [line.text for line in before]
    shorter = min(len(old), len(texts))
    first = next((at for at in range(shorter) if old[at] != texts[at]), shorter)
    rest = shorter - first
    last = next((at for at in range(rest) if old[-1 - at] != texts[-1 - at]), rest)
    yield from before[:first]
    yield from _between(before[first : len(before) - last], texts[first : len(texts) - last], entry)
    yield from before[len(before) - last :]


def _between(before: Sequence[BlamedLine], texts: Sequence[str], entry: Entry) -> Iterable[BlamedLine]:
    fresh = [BlamedLine(text=text, entry=entry) for text in texts]
    if not before or not texts or max(len(before), len(texts)) > COMPARED:
        yield from fresh
        return
    matcher = SequenceMatcher(None, [line.text for line in before], texts, autojunk=False)
    for tag, low, high, right_low, right_high in matcher.get_opcodes():
        yield from before[low:high] if tag == "equal" else fresh[right_low:right_high]

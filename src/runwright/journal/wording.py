"""What was said and given, as text for people, and what differs between two texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import cast

import msgspec

from runwright.core.message import AssistantMessage, Message, SystemMessage, TextPart, ToolCall, ToolMessage, said_raw

CONTEXT = 3
"""Lines around a difference."""

LINES = 200
"""Lines of a side that are compared beyond what both begin and end with: difflib takes quadratic time."""

SHORT = 60
"""JSON with more characters is shown in lines."""

LONG = 120
"""Lines with more characters are broken at the ends of sentences, and after `LONGEST` anywhere."""

LONGEST = 200

SENTENCE = re.compile(r"(?<=[.!?;]) (?=\S)")
HEADING = re.compile(r"\S.*:")


class Passage(msgspec.Struct, frozen=True, gc=False):
    """A message as text: who says it, and what. Ids of tool calls are left out: providers make them up."""

    heading: str
    text: str

    @property
    def is_instruction(self) -> bool:
        """Whether it is a system message."""
        return self.heading == "system"


def passages(raws: Iterable[msgspec.Raw], named: dict[str, str]) -> tuple[Passage, ...]:
    """Messages as text. `named` holds the tools of calls by id, and takes up those of these messages."""
    found: list[Passage] = []
    for raw in raws:
        message = said_raw(bytes(raw)).message
        if isinstance(message, AssistantMessage):
            named.update((call.id, call.name) for call in message.tool_calls)
        found.append(Passage(_heading(message, named), _said(message)))
    return tuple(found)


def _heading(message: Message, named: dict[str, str]) -> str:
    if isinstance(message, SystemMessage):
        return "system"
    if isinstance(message, ToolMessage):
        return f"tool {named.get(message.tool_call_id, '')}".rstrip()
    return "assistant" if isinstance(message, AssistantMessage) else "user"


def _said(message: Message) -> str:
    content = message.content
    if not isinstance(content, str):
        parts = (part.text if isinstance(part, TextPart) else _json(part) for part in content or ())
        content = "\n".join(parts)
    if not isinstance(message, AssistantMessage):
        return content
    return "\n".join([*([content] if content else []), *(_call(call) for call in message.tool_calls)])


def _call(call: ToolCall) -> str:
    return f"-> {call.name} {_formatted(call.arguments)}"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def conversation(said: Iterable[Passage]) -> str:
    """Passages as one text, each under its heading."""
    return "\n".join(f"{each.heading}:\n" + _indented(each.text) for each in said)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))


def json_text(raw: bytes) -> str:
    """JSON as text: a string as what it says, anything else in lines where it is long."""
    text = raw.decode(errors="replace")
    try:
        value = msgspec.json.decode(raw, type=str) if raw[:1] == b'"' else None
    except msgspec.DecodeError:
        return text
    if value is None:
        return _formatted(text)
    return text if _is_json(value) else value


def leaves(raw: bytes) -> Iterator[str]:
    """The texts, the names and the numbers in JSON, in order; what cannot be taken apart is one text."""
    try:
        left: list[object] = [msgspec.json.decode(raw)]
    except (msgspec.DecodeError, RecursionError):
        yield raw.decode(errors="replace")
        return
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            left += reversed([part for pair in cast("dict[str, object]", value).items() for part in pair])
        elif isinstance(value, list):
            left += reversed(cast("list[object]", value))
        elif value is not None:
            yield msgspec.json.encode(value).decode()


def _formatted(text: str) -> str:
    """JSON on one line, or on several when it is long; text that is no JSON as it is."""
    try:
        return msgspec.json.format(text, indent=2 if len(text) > SHORT else 0)
    except (msgspec.DecodeError, RecursionError):
        return text


def _is_json(text: str) -> bool:
    """Whether a text could be taken for another JSON value, and so needs its quotes."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def unified(left: str, right: str, *, room: int) -> tuple[str, int]:
    """A unified diff of two texts, without the names of files, and how many characters of them were left out.

    Long lines are broken, at the ends of sentences where there are any. A hunk's header names its message.
    """
    before, after = _lines(left), _lines(right)
    if before == after:
        before, after = left.split("\n"), right.split("\n")
    first, last = _border(before, after)
    old, cut_old = _capped(before[first : len(before) - last], room // 2)
    young, cut_young = _capped(after[first : len(after) - last], room // 2)
    headings = before[: first + len(old)]
    return "\n".join(_hunks(old, young, first, headings=headings)), cut_old + cut_young


def _lines(text: str) -> list[str]:
    return [piece for line in text.split("\n") for piece in _pieces(line)] if text else []


def _pieces(line: str) -> Iterable[str]:
    if len(line) <= LONG:
        return (line,)
    margin = line[: len(line) - len(line.lstrip(" "))][: LONG // 2]
    sentences = SENTENCE.split(line[len(margin) :])
    return (margin + part[at : at + LONGEST] for part in sentences for at in range(0, max(1, len(part)), LONGEST))


def _border(before: Sequence[str], after: Sequence[str]) -> tuple[int, int]:
    """How many lines both begin with, and end with, beyond the context."""
    shorter = min(len(before), len(after))
    first = next((at for at in range(shorter) if before[at] != after[at]), shorter)
    rest = shorter - first
    last = next((at for at in range(rest) if before[-1 - at] != after[-1 - at]), rest)
    return max(0, first - CONTEXT), max(0, last - CONTEXT)


def _capped(lines: Sequence[str], room: int) -> tuple[Sequence[str], int]:
    # What differs first is told in any case.
    kept, used = 0, 0
    while kept < min(len(lines), LINES) and (kept <= CONTEXT or used + len(lines[kept]) <= room):
        used += len(lines[kept]) + 1
        kept += 1
    return lines[:kept], sum(len(line) + 1 for line in lines[kept:])


def _hunks(before: Sequence[str], after: Sequence[str], first: int, *, headings: Sequence[str]) -> Iterator[str]:
    for group in SequenceMatcher(None, before, after).get_grouped_opcodes(CONTEXT):
        (_, a, _, b, _), (_, _, a_end, _, b_end) = group[0], group[-1]
        yield f"@@ -{first + a + 1},{a_end - a} +{first + b + 1},{b_end - b} @@{_section(headings, first + a)}"
        for tag, low, high, right_low, right_high in group:
            if tag == "equal":
                yield from (" " + line for line in before[low:high])
                continue
            yield from ("-" + line for line in before[low:high])
            yield from ("+" + line for line in after[right_low:right_high])


def _section(lines: Sequence[str], at: int) -> str:
    """The heading that the line stands under."""
    above = (lines[place] for place in range(min(at, len(lines)) - 1, -1, -1))
    heading = next((line for line in above if HEADING.fullmatch(line)), "")
    return f" {heading[:-1]}" if heading else ""

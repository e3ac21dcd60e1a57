"""Places in files that an answer names: `[src/app.py:12]` or `[src/app.py:12-20]`."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

CITED_AT_MOST = 100

_MARKED = re.compile(r"\[([^\[\]\n]{1,4096})\]|`([^`\n]{1,4096})`")
_PLACE = re.compile(r"(?P<path>[^\s:][^:]*):L?(?P<line>\d{1,7})(?:-L?(?P<last>\d{1,7}))?")


class Cited(msgspec.Struct, frozen=True):
    """A file, and the lines of it from the first to the last."""

    path: str
    line: int
    last: int


def cited(answer: str) -> tuple[Cited, ...]:
    """The places that a text names in brackets or as code, each once, in order."""
    return tuple(dict.fromkeys(_places(answer)))[:CITED_AT_MOST]


def _places(answer: str) -> Iterator[Cited]:
    for marked in _MARKED.finditer(answer):
        found = [_PLACE.fullmatch(each.strip().strip("`")) for each in re.split(r"[,;]", marked[1] or marked[2])]
        for place in found:
            if place is not None and "//" not in place["path"]:
                first = int(place["line"])
                yield Cited(place["path"], first, int(place["last"] or first))

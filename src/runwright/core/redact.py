"""Known secrets, blacked out of what tools and agents say before it is recorded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

import msgspec

REDACTED = "[redacted]"
SHORTEST_SECRET = 4
"""Shorter values are left alone: they would black out ordinary text."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


class KnownSecrets:
    """Values that are made unreadable wherever they stand, also as they stand in addresses (percent-encoded)."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        long = [value for value in values if len(value) >= SHORTEST_SECRET]
        forms = {form for value in long for form in (value, quote(value, safe=""), quote_plus(value))}
        # A secret may begin with another one.
        known = sorted(forms, key=lambda form: (-len(form), form))
        self._known = re.compile("|".join(map(re.escape, known))) if known else None
        self._forms = tuple(known)
        self._written = tuple(msgspec.json.encode(form)[1:-1] for form in known)

    def __bool__(self) -> bool:
        return self._known is not None

    def text(self, text: str) -> str:
        """The text without secrets."""
        # Most texts hold none, and a search for each of a few words is ten times as fast as one for any of them.
        if self._known is None or not any(form in text for form in self._forms):
            return text
        return self._known.sub(REDACTED, text)

    def json(self, data: bytes) -> bytes:
        """JSON text without secrets in its texts and names; numbers stay, and so does everything else as it is."""
        return _STRING.sub(self._string, data) if self._may_stand_in(data) else data

    def _may_stand_in(self, data: bytes) -> bool:
        """Whether a secret may stand in JSON text: as it is written, or in the escapes that JSON leaves to choice."""
        if any(form in data for form in self._written):
            return True
        return self._known is not None and (b"\\u" in data or b"\\/" in data)

    def _string(self, found: re.Match[bytes]) -> bytes:
        said = msgspec.json.decode(found[0], type=str)
        told = self.text(said)
        return found[0] if told == said else msgspec.json.encode(told)

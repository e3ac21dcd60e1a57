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

    def __bool__(self) -> bool:
        return self._known is not None

    def text(self, text: str) -> str:
        """The text without secrets."""
        return text if self._known is None else self._known.sub(REDACTED, text)

    def json(self, data: bytes) -> bytes:
        """JSON text without secrets in its texts and names; numbers stay, and so does everything else as it is."""
        return data if self._known is None else _STRING.sub(self._string, data)

    def _string(self, found: re.Match[bytes]) -> bytes:
        said = msgspec.json.decode(found[0], type=str)
        told = self.text(said)
        return found[0] if told == said else msgspec.json.encode(told)

"""Sessions of browsers: a cookie that says until when, links that log in once, and patience with wrong keys.

Nothing is stored: a cookie is signed with the API key, so that another key ends every session.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256

from runwright.core.clock import SystemClock
from runwright.core.ports import Clock

LIFE_S = 7 * 86_400
"""Seconds that a session lasts."""

LINK_S = 600
"""Seconds for which a login link is good."""

LINKS = 20
"""Login links that are kept; the oldest go."""

STEP_S = 0.25
LONGEST_S = 5.0
"""A wrong key is answered so long after the one before it, and at the latest so long after it came."""


class Sessions:
    """Who may come in with a browser. Kept in the process: links and wrong keys are forgotten with it."""

    def __init__(self, key: str, *, clock: Clock | None = None) -> None:
        self._key = key.encode()
        self._signing = _signed(self._key, "session")
        self._clock = clock or SystemClock()
        self._links: dict[bytes, float] = {}
        self._free = 0.0
        # Browsers send a cookie to every port of a host: servers with keys of their own do not share one.
        self.cookie = f"runwright_{_signed(self._signing, 'cookie').hex()[:8]}"

    def is_key(self, given: bytes) -> bool:
        """Whether this is the API key."""
        return hmac.compare_digest(given, self._key)

    def begin(self) -> str:
        """The value of a cookie that is good from now on."""
        until = str(int(self._clock.now().timestamp()) + LIFE_S)
        return f"{until}.{_signed(self._signing, until).hex()}"

    def is_good(self, value: str) -> bool:
        """Whether this is a cookie of ours, and not over."""
        until, _, signature = value.partition(".")
        is_ours = hmac.compare_digest(signature.encode(), _signed(self._signing, until).hex().encode())
        return is_ours and self._clock.now().timestamp() < int(until)

    def link(self) -> str:
        """A token that logs in once, within some minutes."""
        token = secrets.token_urlsafe(24)
        self._links[sha256(token.encode()).digest()] = self._clock.monotonic() + LINK_S
        while len(self._links) > LINKS:
            del self._links[next(iter(self._links))]
        return token

    def redeem(self, token: str) -> bool:
        """Whether a token may log in; afterwards it may not."""
        until = self._links.pop(sha256(token.encode("utf-8", "replace")).digest(), None)
        return until is not None and self._clock.monotonic() < until

    async def refuse(self) -> None:
        """Let whoever tried a wrong key wait, the longer the more tried."""
        now = self._clock.monotonic()
        self._free = min(max(now, self._free) + STEP_S, now + LONGEST_S)
        await self._clock.sleep(self._free - now)


def _signed(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode("utf-8", "replace"), "sha256")

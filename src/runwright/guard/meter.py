"""What may be sent to a target now: the limits that were set for it, and what its provider lets pass."""

from __future__ import annotations

import asyncio
from typing import Protocol

from runwright.core.model import Quota
from runwright.core.policy import Limit
from runwright.guard.gcra import SOON_S, Gcra
from runwright.guard.heard import Heard
from runwright.guard.line import Figures


class Meter(Protocol):
    """The count of one target under one limit. One that is shared by many processes implements this.

    What is told (`settle`, `seen`, `refused`) does not suspend, so that it is told when a call is cancelled too. Each
    call that `reserve` let pass is settled once, with the permit that it got: 0, or less where that tells more.
    """

    async def reserve(self, tokens: int) -> float:
        """Take a request of so many tokens and give a permit; or take nothing and give the seconds until it could."""
        ...

    async def wait_s(self, requests: int, tokens: int) -> float:
        """In how many seconds so many requests with so many tokens together could have passed."""
        ...

    def settle(self, reserved: int, used: int | None, permit: float, /) -> None:
        """Put the tokens that were used in the place of those that were reserved; None, it was not sent, all back."""
        ...

    def seen(self, quota: Quota, reserved: int) -> None:
        """The provider said this in its answer to a call that had reserved so many tokens."""
        ...

    def refused(self, pause_s: float | None, sent_s: float) -> None:
        """The provider answered 429 to what was sent so many seconds ago, and asked for a pause or did not."""
        ...

    def figures(self) -> Figures:
        """What is left, for the record."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost if it were forgotten."""
        ...


class LocalMeter:
    """The count of this process. `heard` is None where what the provider says is not followed."""

    def __init__(self, policy: Limit, heard: Heard | None) -> None:
        self._requests = _gcra(policy.requests, policy)
        self._tokens = _gcra(policy.tokens, policy)
        self._heard = heard

    async def reserve(self, tokens: int) -> float:
        """Take a request of so many tokens and give 0; or take nothing and give the seconds until it could pass."""
        now, wait_s = asyncio.get_running_loop().time(), 0.0
        heard, of_requests, of_tokens = self._heard, self._requests, self._tokens
        if heard is not None and not heard.is_quiet:
            wait_s = heard.wait_s(1, tokens, now)
        if of_requests is not None:
            wait_s = max(wait_s, of_requests.wait_s(1, now))
        if of_tokens is not None:
            wait_s = max(wait_s, of_tokens.wait_s(tokens, now))
        if wait_s > SOON_S:
            return wait_s
        if of_requests is not None:
            of_requests.charge(1, now)
        if of_tokens is not None and tokens > 0:
            of_tokens.charge(tokens, now)
        if heard is not None:
            heard.add(tokens, now)
        return 0.0

    async def wait_s(self, requests: int, tokens: int) -> float:
        """In how many seconds so many requests with so many tokens together could have passed."""
        now = asyncio.get_running_loop().time()
        wait_s = 0.0 if self._heard is None else self._heard.wait_s(requests, tokens, now)
        for gcra, amount in ((self._requests, requests), (self._tokens, tokens)):
            if gcra is not None:
                beyond = max(0.0, amount - gcra.burst)
                wait_s = max(wait_s, gcra.wait_s(amount, now) + beyond / gcra.rate)
        return wait_s

    def settle(self, reserved: int, used: int | None, _permit: float = 0.0, /) -> None:
        """Put the tokens that were used in the place of those that were reserved; None, it was not sent, all back."""
        if used is None:
            self._undo(reserved, asyncio.get_running_loop().time())
            return
        if self._heard is not None:
            self._heard.ended(reserved)
        if self._tokens is not None and used != reserved:
            self._tokens.settle(reserved, used, asyncio.get_running_loop().time())

    def seen(self, quota: Quota, reserved: int) -> None:
        """The provider said this in its answer to a call that had reserved so many tokens."""
        if self._heard is not None:
            self._heard.seen(quota, reserved, asyncio.get_running_loop().time())

    def refused(self, pause_s: float | None, sent_s: float) -> None:
        """The provider answered 429 to what was sent so many seconds ago, and asked for a pause or did not."""
        if self._heard is not None:
            now = asyncio.get_running_loop().time()
            self._heard.refused(pause_s, sent_at=now - sent_s, now=now)

    def figures(self) -> Figures:
        """What is left, for the record."""
        now = asyncio.get_running_loop().time()
        found: Figures = {}
        for name, gcra in (("requests_left", self._requests), ("tokens_left", self._tokens)):
            if gcra is not None:
                found[name] = round(gcra.left(now), 3)
        return found if self._heard is None else found | self._heard.figures(now)

    @property
    def is_idle(self) -> bool:
        """Whether all that was taken is there again."""
        now = asyncio.get_running_loop().time()
        return all(gcra is None or gcra.tat <= now for gcra in (self._requests, self._tokens))

    def _undo(self, reserved: int, now: float) -> None:
        if self._requests is not None:
            self._requests.refund(1, now)
        if self._tokens is not None:
            self._tokens.refund(reserved, now)
        if self._heard is not None:
            self._heard.undo(reserved, now)


def _gcra(amount: int | None, policy: Limit) -> Gcra | None:
    return None if amount is None else Gcra(amount / policy.per_s, max(1.0, amount * policy.burst))

"""How much may pass and when: the generic cell rate algorithm, with amounts (ITU-T I.371, virtual scheduling)."""

from __future__ import annotations

SOON_S = 1e-6
"""A wait so short is none: it comes from rounding, and a clock may not even see it."""


class Gcra:
    """Lets `rate` a second pass, and up to `burst` of it at once. Times are seconds of any one clock.

    It is one number: the time at which all that has passed is paid for, and the whole burst is there again. Over every
    stretch of w seconds at most `burst + rate * w` passes. An amount above the burst passes when the whole burst is
    there, and what follows pays for it.
    """

    __slots__ = ("burst", "rate", "tat")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self.tat = float("-inf")
        """The theoretical arrival time."""

    def wait_s(self, amount: float, now: float) -> float:
        """How long until the amount could pass, if nothing else did. Nothing can always pass."""
        if amount <= 0:
            return 0.0
        wait_s = max(self.tat, now) + (min(amount, self.burst) - self.burst) / self.rate - now
        return wait_s if wait_s > SOON_S else 0.0

    def charge(self, amount: float, now: float) -> None:
        """Count an amount that has passed, whether it could or not."""
        self.tat = max(self.tat, now) + amount / self.rate

    def refund(self, amount: float, now: float) -> None:
        """Give back an amount that was taken and not used. There is never more than the whole burst."""
        self.tat = max(self.tat - amount / self.rate, min(self.tat, now))

    def settle(self, reserved: float, used: float, now: float) -> None:
        """Put what was used in the place of what was taken for it."""
        if used > reserved:
            self.charge(used - reserved, now)
        elif used < reserved:
            self.refund(reserved - used, now)

    def left(self, now: float) -> float:
        """How much could pass now; below zero when more was used than was there."""
        return self.burst - max(0.0, self.tat - now) * self.rate

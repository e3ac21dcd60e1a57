"""What a provider told about its limits: in headers, by refusing with 429, and by when to come back."""

from __future__ import annotations

from collections import deque

from runwright.core.model import Quota
from runwright.core.policy import Limit

LONGEST_S = 600.0
"""A pause is no longer, whatever was said; then one call asks again."""
SHORTEST_S = 1.0
SPAN_S = 10
RECOVER_S = 60.0
SLOWEST_PER_S = 0.5
"""Who sends less is held back by its own resends, which wait longer each time and by chance: a pace of its own would
only bring all such callers back together."""
LAG_S = 2
"""A provider has counted what was sent longer ago, even where it has not answered yet."""
UNSAID_PERIOD_S = 60.0


class Said:
    """So much is left of one unit, and so much comes back a second until all is back."""

    __slots__ = ("at", "left", "rate", "until")

    def __init__(self, left: float, *, rate: float, reset_s: float, now: float) -> None:
        self.left = left
        self.rate = rate
        self.at = now
        self.until = now + min(max(reset_s, SHORTEST_S), LONGEST_S)

    def has(self, now: float) -> float:
        """How much is left by now."""
        return self.left + self.rate * (now - self.at)

    def wait_s(self, amount: float, now: float) -> float:
        """How long until there is so much; at the reset everything may pass."""
        if now >= self.until or amount <= 0:
            return 0.0
        missing = amount - self.has(now)
        if missing <= 0:
            return 0.0
        reset_s = self.until - now
        return min(missing / self.rate, reset_s) if self.rate > 0 else reset_s


class Recent:
    """What was sent in the last seconds."""

    __slots__ = ("_cells", "_last")

    def __init__(self) -> None:
        self._last = [-1, 0, 0]
        self._cells: deque[list[int]] = deque(maxlen=SPAN_S)

    def add(self, requests: int, tokens: int, now: float) -> None:
        """Count; what was refused is counted off again."""
        second, last = int(now), self._last
        if last[0] == second:
            last[1] += requests
            last[2] += tokens
        else:
            self._last = [second, requests, tokens]
            self._cells.append(self._last)

    def since(self, moment: float) -> tuple[int, int]:
        """Requests and tokens since then, by whole seconds."""
        second = int(moment)
        cells = [cell for cell in self._cells if cell[0] >= second]
        return sum(cell[1] for cell in cells), sum(cell[2] for cell in cells)

    def per_s(self, now: float) -> float:
        """Requests a second that were not refused."""
        first = next((cell[0] for cell in self._cells if cell[0] > now - SPAN_S), int(now))
        return max(0, self.since(now - SPAN_S + 1)[0]) / max(1.0, now - first)


class Aimd:
    """A pace in requests a second: halved by a refusal, added back in even steps (AIMD; Chiu and Jain, 1989).

    There is none until the first refusal, and none again when nothing was refused for long.
    """

    __slots__ = ("_ceiling", "_halved_at", "_next", "_since")

    def __init__(self) -> None:
        self._ceiling = 0.0
        self._halved_at = 0.0
        self._since = 0.0
        self._next = 0.0

    def at(self, now: float) -> float | None:
        """The pace of this moment. It is what it was at the refusal after RECOVER_S, and is forgotten at twice that."""
        if not self._ceiling:
            return None
        pace = self._ceiling * (0.5 + 0.5 * max(0.0, now - self._since) / RECOVER_S)
        if pace >= 2 * self._ceiling:
            self._ceiling = 0.0
            return None
        return pace

    def refused(self, passed_per_s: float, *, sent_at: float, now: float, resumes_at: float) -> None:
        """Halve what passed until now. Those who were sent before that are of the same crowd: they halve it once."""
        pace, passed = self.at(now), max(passed_per_s, 2 * SLOWEST_PER_S)
        if pace is None and passed_per_s < passed:
            return
        ceiling = passed if pace is None else min(self._ceiling if sent_at < self._halved_at else pace, passed)
        if pace is None or sent_at >= self._halved_at:
            self._halved_at = now
        self._ceiling = max(ceiling, 2 * SLOWEST_PER_S)
        self._since = max(now, resumes_at)
        # The first after it keeps its distance too.
        self._next = max(self._next, now + 2 / self._ceiling) if pace is None else self._next

    def wait_s(self, requests: int, now: float) -> float:
        """How long until the last of so many may go."""
        pace = self.at(now)
        if pace is None:
            return 0.0
        return max(0.0, self._next - now) + (requests - 1) / pace

    def add(self, requests: int, now: float) -> None:
        """Count one that goes, or one that did not."""
        pace = self.at(now)
        if pace is not None:
            self._next = max(self._next, now) + requests / pace


class Heard:
    """Everything that was heard of one target. All who call it share this, whatever limits they set themselves."""

    def __init__(self, _target: str = "", _policy: Limit | None = None) -> None:
        self.is_quiet = True
        """Whether nothing was heard that could hold anybody back."""
        self.paused_until = 0.0
        self.pace = Aimd()
        self.requests: Said | None = None
        self.tokens: Said | None = None
        self._recent = Recent()
        self._open_requests = 0
        self._open_tokens = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing was heard yet, and nothing is under way."""
        return self.is_quiet and not self._open_requests

    def wait_s(self, requests: int, tokens: int, now: float) -> float:
        """How long until so much may be sent."""
        wait_s = max(0.0, self.paused_until - now) if self.paused_until else 0.0
        if self.requests is not None:
            wait_s = max(wait_s, self.requests.wait_s(requests, now))
        if self.tokens is not None:
            wait_s = max(wait_s, self.tokens.wait_s(tokens, now))
        return max(wait_s, self.pace.wait_s(requests, now))

    def add(self, tokens: int, now: float) -> None:
        """Count a call that is sent."""
        self._open_requests += 1
        self._open_tokens += tokens
        self._recent.add(1, tokens, now)
        if not self.is_quiet:
            self._charge(1, tokens, now)

    def ended(self, tokens: int) -> None:
        """A call that was sent has come to its end."""
        self._open_requests -= 1
        self._open_tokens -= tokens

    def undo(self, tokens: int, now: float) -> None:
        """A call was not sent after all."""
        self.ended(tokens)
        self._recent.add(-1, -tokens, now)
        if not self.is_quiet:
            self._charge(-1, -tokens, now)

    def figures(self, now: float) -> dict[str, int | float | str]:
        """What was heard, for the record."""
        found: dict[str, int | float | str] = {}
        for name, said in (("provider_requests_left", self.requests), ("provider_tokens_left", self.tokens)):
            if said is not None and now < said.until:
                found[name] = round(said.has(now), 3)
        pace = self.pace.at(now)
        if pace is not None:
            found["pace_per_s"] = round(pace, 3)
        if self.paused_until > now:
            found["paused_s"] = round(self.paused_until - now, 3)
        return found

    def _charge(self, requests: int, tokens: int, now: float) -> None:
        self.pace.add(requests, now)
        if self.requests is not None:
            self.requests.left -= requests
        if self.tokens is not None:
            self.tokens.left -= tokens

    def refused(self, pause_s: float | None, *, sent_at: float, now: float) -> None:
        """A call was refused with 429, and it was told when to come back, or not."""
        self.is_quiet = False
        if pause_s is not None:
            self.paused_until = max(self.paused_until, now + min(pause_s, LONGEST_S))
        self._recent.add(-1, 0, now)
        self.pace.refused(self._recent.per_s(now), sent_at=sent_at, now=now, resumes_at=self.paused_until)

    def seen(self, quota: Quota, tokens: int, now: float) -> None:
        """What the answer to a call of so many tokens said is left; those that are on their way may not be in it."""
        self.is_quiet = False
        requests_since, tokens_since = self._recent.since(now - LAG_S + 1)
        if quota.requests_left is not None:
            unheard = max(0, min(self._open_requests, requests_since) - 1)
            self.requests = _said(
                quota.requests_left, quota.requests, quota.requests_reset_s, is_window=quota.is_window, now=now
            )
            self.requests.left -= unheard
        if quota.tokens_left is not None:
            unheard = max(0, min(self._open_tokens, tokens_since) - tokens)
            self.tokens = _said(
                quota.tokens_left, quota.tokens, quota.tokens_reset_s, is_window=quota.is_window, now=now
            )
            self.tokens.left -= unheard


def _said(left: int, limit: int | None, reset_s: float | None, *, is_window: bool, now: float) -> Said:
    rate = 0.0
    if reset_s is None:
        # Nobody said when: as most providers count by the minute, what a minute gives.
        rate = (limit or 0) / UNSAID_PERIOD_S
        reset_s = UNSAID_PERIOD_S if limit else SHORTEST_S
    elif limit is not None and reset_s > 0 and not is_window:
        rate = max(0, limit - left) / reset_s
    return Said(left, rate=rate, reset_s=reset_s, now=now)

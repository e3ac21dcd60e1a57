"""What models and tools would have answered: as it was recorded where that is known, else drawn from a model of it.

The model is fitted to the record of each target. An attempt fails as those around it did; how near in time that has to
be is what explains the record best (leave-one-out likelihood), so that an outage is an interval, and faults that come
one by one are a rate; then it does not matter when an attempt is made.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import inf, log
from operator import attrgetter
from random import Random

import msgspec
from msgspec.structs import replace

from runwright.engine.recorded import CUT, Attempted, RecordedCall

KNOWN_WITHIN_S = 2.0
"""Where faults come in stretches, an attempt is answered as it was recorded when it is made within so many seconds of
that, or within this part of the reach."""
_KNOWN_PART = 0.1

REACHES_S = (0.0, 1.0, 5.0, 20.0, 60.0, 300.0, 1800.0)
"""How far evidence may reach. 0: no moment tells anything about another."""

NEIGHBOURS = 8
"""Attempts before a moment, and after it, that are evidence."""

_NEAREST = 20
_PRIOR = 0.05
_FITTED = 2000
_SUREST = 0.005


class Drawn(msgspec.Struct, frozen=True, gc=False):
    """What an attempt comes to. `is_assumed` says that nothing at all is known of its target."""

    attempt: Attempted
    is_drawn: bool = False
    is_assumed: bool = False


class Evidence:
    """What the record says of one target. `reach_s` is how far a moment tells something about another."""

    def __init__(self, attempts: Iterable[Attempted]) -> None:
        # One that was cut tells no outcome.
        seen = sorted((each for each in attempts if each.error != CUT), key=attrgetter("at"))
        self._seen = seen
        self._times = [each.at for each in seen]
        self._failures = [each for each in seen if each.error]
        self._failed_at = [each.at for each in self._failures]
        self._answers = [each for each in seen if not each.error]
        self._answered_at = [each.at for each in self._answers]
        self.failure_rate = len(self._failures) / len(seen) if seen else 0.0
        self.reach_s = self._fitted()
        self.known_within_s = max(KNOWN_WITHIN_S, self.reach_s * _KNOWN_PART) if self.reach_s else inf

    def failure_chance(self, at: float) -> float:
        """How likely an attempt at a moment fails."""
        return self._chance(at, self.reach_s, without=-1)

    def failure(self, at: float, *, random: Random) -> Attempted:
        """One of the failures nearest to a moment."""
        return _near(self._failures, self._failed_at, at, random=random)

    def answer(self, at: float, *, random: Random, longer_than_s: float = 0.0) -> Attempted | None:
        """One of the answers nearest to a moment, None where there is none."""
        if not self._answers:
            return None
        found = _near(self._answers, self._answered_at, at, random=random)
        if found.took_s > longer_than_s:
            return found
        longer = [each for each in self._answers if each.took_s > longer_than_s]
        return random.choice(longer) if longer else replace(found, took_s=longer_than_s + found.took_s)

    def _chance(self, at: float, reach_s: float, *, without: int) -> float:
        rate, weights, failed = self.failure_rate, 0.0, 0.0
        if reach_s and 0 < rate < 1:
            place = bisect_left(self._times, at)
            for index in range(max(0, place - NEIGHBOURS), min(len(self._seen), place + NEIGHBOURS + 1)):
                weight = 1 - abs(self._times[index] - at) / reach_s
                if weight > 0 and index != without:
                    weights += weight
                    failed += weight * bool(self._seen[index].error)
        return (failed + _PRIOR * rate) / (weights + _PRIOR)

    def _fitted(self) -> float:
        """The reach under which what happened is the least surprising."""
        if not 0 < self.failure_rate < 1:
            return 0.0
        step = max(1, len(self._seen) // _FITTED)
        places = range(0, len(self._seen), step)
        return max(REACHES_S, key=lambda reach_s: self._likelihood(reach_s, places))

    def _likelihood(self, reach_s: float, places: Sequence[int]) -> float:
        total = 0.0
        for place in places:
            chance = self._chance(self._times[place], reach_s, without=place)
            bounded = min(1 - _SUREST, max(_SUREST, chance))
            total += log(bounded if self._seen[place].error else 1 - bounded)
        return total


class Upstream:
    """All targets of a record."""

    def __init__(self, calls: Iterable[RecordedCall]) -> None:
        found: dict[str, list[Attempted]] = defaultdict(list)
        for call in calls:
            for attempt in call.attempts:
                found[attempt.target].append(attempt)
        self._evidence = {target: Evidence(attempts) for target, attempts in found.items()}
        self._nothing = Evidence(())

    def reply(self, call: RecordedCall, target: str, *, nth: int, at: float, random: Callable[[], Random]) -> Drawn:
        """What the attempt of a call comes to that is its `nth` one, from 0, to a target.

        `random` is called where something has to be drawn.
        """
        own = [each for each in call.attempts if each.target == target]
        known = own[nth] if nth < len(own) else None
        if known is not None and known.error != CUT and abs(known.at - at) <= self._evidence[target].known_within_s:
            return Drawn(known)
        lasted_s = known.took_s if known is not None and known.error == CUT else 0.0
        return self._draw(call, target, at=at, lasted_s=lasted_s, random=random())

    def _draw(self, call: RecordedCall, target: str, *, at: float, lasted_s: float, random: Random) -> Drawn:
        evidence = self._evidence.get(target)
        if evidence is None:
            return Drawn(self._assumed(call, target, at=at, random=random), is_drawn=True, is_assumed=True)
        if random.random() < evidence.failure_chance(at):
            return Drawn(evidence.failure(at, random=random), is_drawn=True)
        own = [each for each in call.attempts if each.target == target]
        # What was asked decides how long an answer takes, more than the moment.
        answer = next((each for each in own if not each.error and each.took_s > lasted_s), None)
        answer = answer or evidence.answer(at, random=random, longer_than_s=lasted_s)
        return Drawn(answer or self._assumed(call, target, at=at, random=random), is_drawn=True)

    def _assumed(self, call: RecordedCall, target: str, *, at: float, random: Random) -> Attempted:
        """An answer of a target that the record has none of: as slow as one of the target that was asked first."""
        own = next((each for each in call.attempts if not each.error), None)
        like = own or self._evidence.get(call.target, self._nothing).answer(at, random=random)
        return Attempted(target=target, at=at, took_s=1.0 if like is None else like.took_s)


def _near(attempts: Sequence[Attempted], times: Sequence[float], at: float, *, random: Random) -> Attempted:
    place = bisect_left(times, at)
    first = max(0, min(place - _NEAREST // 2, len(attempts) - _NEAREST))
    return attempts[random.randrange(first, min(len(attempts), first + _NEAREST))]

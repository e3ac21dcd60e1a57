"""Asking another model when one fails or rests. Each target is called through a chain of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, TypeVar

from msgspec.structs import replace

from runwright.core.event import GuardDecided
from runwright.core.policy import Fallback
from runwright.errors import GuardError, RunwrightError
from runwright.guard.call import Call, Proceed
from runwright.guard.verdict import is_of_target, told

T = TypeVar("T")

Failed = tuple[str, Exception]
"""A target, and what it came to."""


class Switching:
    """The layer over targets. `others` are the ways to them, in order."""

    def __init__(self, policy: Fallback, others: Mapping[str, Proceed[Any]]) -> None:
        self._policy = policy
        self._others = others

    async def __call__(self, call: Call[T], proceed: Proceed[T]) -> T:
        """Call the target, and where that fails for its own reasons, the others in turn."""
        try:
            return await proceed(call)
        except Exception as error:
            if not self._is_worth(call, error):
                raise
            failed: list[Failed] = [(call.target, error)]
        for target, way in self._others.items():
            if target == call.target:
                continue
            self._switch(call, target, failed[-1])
            try:
                estimate = call.estimate if call.quote is None else call.quote(target)
                return await way(replace(call, target=target, attempt=1, estimate=estimate))
            except Exception as error:
                if not self._is_worth(call, error):
                    raise
                failed.append((target, error))
        error = most_telling(failed)
        raise error from error.__cause__

    def _is_worth(self, call: Call[Any], error: Exception) -> bool:
        if not is_of_target(error):
            return False
        if call.trail.is_begun and not self._policy.mid_stream:
            why = f"{told(error)}; a part of the answer was shown already"
            _note(call, "gave_up", target=call.trail.target, reason=why)
            return False
        return True

    def _switch(self, call: Call[Any], target: str, failed: Failed) -> None:
        trail = call.trail
        again = "; the answer, of which a part was shown, begins again" if trail.is_begun else ""
        trail.is_begun = False
        trail.cause = "fallback"
        _note(call, "switched", target=target, reason=f"{told(failed[1])}{again}", source=failed[0])


def most_telling(failed: Sequence[Failed]) -> Exception:
    """Of what targets came to, what explains most: what one of them said before what the guard said of it.

    It names the others that were tried.
    """
    target, error = next((each for each in failed if not isinstance(each[1], GuardError)), failed[0])
    rest = "; ".join(f"{name!r}: {told(each)}" for name, each in failed if each is not error)
    if not rest:
        return error
    also = f"{target!r} failed, and so did {rest}"
    if not isinstance(error, RunwrightError):
        error.add_note(also)
        return error
    # Whoever raised it may raise it again, without these words.
    named = copy(error).with_traceback(error.__traceback__)
    named.message = f"{error.message} ({also})"
    named.args = (named.message,)
    return named


def _note(call: Call[Any], action: str, *, target: str, reason: str, source: str = "") -> None:
    figures: dict[str, int | float | str] = {"from": source} if source else {}
    call.note(GuardDecided(layer="fallback", action=action, target=target, reason=reason, figures=figures))

"""Waiting in a line for something that takes a while to take, as over a network. In virtual time."""

import asyncio
from typing import Any

import pytest

from runwright.core.policy import Limit
from runwright.errors import CallShed
from runwright.guard.call import Call
from runwright.guard.line import Line
from runwright.guard.virtual import run_virtual
from tests.unit.guard.calls import Notes, Upstream, call_of


class Slow:
    """Something that there is plenty of, and that takes so long to take."""

    def __init__(self, takes_s: float) -> None:
        self._takes_s = takes_s
        self.taken = 0

    async def take(self) -> float:
        """Take one."""
        await asyncio.sleep(self._takes_s)
        self.taken += 1
        return 0.0

    def give(self) -> None:
        """Give it back."""
        self.taken -= 1


def calling(notes: Notes, **changes: Any) -> Call[Any]:
    """A call that waits."""
    return call_of(Upstream("yes").send, note=notes, **changes)


def test_put_out_while_it_takes() -> None:
    """Who loses its place while it is taking is refused, and what it took goes back."""

    async def main() -> None:
        line, slow, notes = Line("rate", Limit(queue=1)), Slow(2), Notes()
        background = asyncio.create_task(line.wait(calling(notes, priority="background"), slow))
        await asyncio.sleep(1)
        await line.wait(calling(notes), slow)
        with pytest.raises(CallShed, match="calls wait for 'x' already"):
            await background
        assert (slow.taken, line.waiting) == (1, 0)
        assert sorted(notes.actions) == ["rate refused", "rate waited"]

    run_virtual(main())


@pytest.mark.parametrize(
    ("policy", "deadline", "told"),
    [
        (Limit(queue_s=1.5), None, "calls wait at most 1.5 s here"),
        (Limit(), 1.5, "the run has no time for that"),
    ],
    ids=["queue_s", "deadline"],
)
def test_late_while_it_takes(policy: Limit, deadline: float | None, told: str) -> None:
    """Whose time is over while it is taking is refused, and what it took goes back."""

    async def main() -> None:
        line, slow, notes = Line("rate", policy), Slow(2), Notes()
        with pytest.raises(CallShed, match=told):
            await line.wait(calling(notes, deadline=deadline), slow)
        assert (slow.taken, line.waiting, notes.actions) == (0, 0, ["rate refused"])

    run_virtual(main())

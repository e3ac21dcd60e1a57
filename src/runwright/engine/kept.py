"""The agents of runs that wait, as they were when those began, so that an edit meanwhile changes nothing for them."""

from __future__ import annotations

from collections import OrderedDict

from runwright.core.agent import BuiltAgent

RUNS = 10_000
"""Waiting runs whose agents are kept; the longest without a word goes on as after a restart."""


class Kept:
    """Built agents by the runs that wait with them, in this process."""

    def __init__(self, limit: int = RUNS) -> None:
        self._agents: OrderedDict[str, BuiltAgent] = OrderedDict()
        self._limit = limit

    def keep(self, run_id: str, agent: BuiltAgent) -> None:
        """Remember what a run goes on with."""
        self._agents[run_id] = agent
        self._agents.move_to_end(run_id)
        if len(self._agents) > self._limit:
            self._agents.popitem(last=False)

    def __contains__(self, run_id: str) -> bool:
        """Whether a run that is not over began or went on here."""
        return run_id in self._agents

    def __len__(self) -> int:
        """How many runs there are."""
        return len(self._agents)

    def get(self, run_id: str) -> BuiltAgent | None:
        """What a run goes on with, if it began or went on here."""
        return self._agents.get(run_id)

    def drop(self, run_id: str) -> None:
        """The run is over."""
        self._agents.pop(run_id, None)

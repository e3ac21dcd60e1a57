"""A replay: how one run is answered by what another one recorded."""

from __future__ import annotations

import msgspec


class Replay(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run replays, and what is different.

    `of` is the recorded run. Nothing is live unless `live` names it: a kind of step, `all`, or `tool:NAME`; tools
    with effects are live only by name, runs that were begun as `child` or `child:NAME`. `at` is the number of a
    recorded step: what came before it is taken over as it is, and everything from it on is live (a fork); runs are
    begun there where those of the record came to no result. `results` are JSON results by the number of the recorded
    step, given in place of the recorded ones.
    """

    of: str
    at: int | None = None
    live: tuple[str, ...] = ()
    results: dict[int, msgspec.Raw] = {}

    @property
    def is_strict(self) -> bool:
        """Whether nothing at all is live, so that every key must match."""
        return not self.live and self.at is None

    def is_live(self, kind: str, name: str, *, effect: str) -> bool:
        """Whether a step of this kind, name and effect goes to the world."""
        if f"{kind}:{name}" in self.live or (kind == "child" and kind in self.live):
            return True
        return effect == "read" and (self.at is not None or kind in self.live or "all" in self.live)

"""The shapes of simulations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runwright.core.labels import Label


class NamedPolicies(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Policies under a name of one's own, written as under `guard:` in a definition. They take the agent's place."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    guard: dict[str, object]


class SimulationQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose calls: those of an agent's runs that began in the `last` days (7d, 12h, 2w) or since a time.

    Each of the `policies` is simulated with so many `seeds`, counted from `seed`; as many as seem worth it where none
    are given.
    """

    agent: Label
    policies: Annotated[tuple[NamedPolicies, ...], Meta(max_length=20)] = ()
    last: str = "7d"
    seed: Annotated[int, Meta(ge=0)] = 0
    seeds: Annotated[int, Meta(ge=1, le=1000)] | None = None


class Durations(msgspec.Struct, frozen=True, kw_only=True):
    """What half, 19 of 20, and 99 of 100 stayed within, in seconds; None where there were none."""

    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A figure over all seeds: its mean, and how low and how high it came."""

    mean: float
    lowest: float
    highest: float


class SimulationFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How calls and runs fare under one set of policies; means over all seeds.

    `upstream` is how many attempts reached models and tools, `peak_per_s` the most of them in one second, `drawn` the
    share of them whose outcome is not in the record. `usd` is what answers cost, `unpriced` how many have no price.
    `waited_s` is what a call waited on average for limits and resends, `decisions` and `errors` count by name.
    Of the runs that failed in the record, `cut_short` get over that here, and what they would do next is not known.
    """

    name: str
    calls: float
    success: Spread | None
    latency: Durations
    usd: str
    unpriced: float
    upstream: float
    upstream_per_call: Spread | None
    peak_per_s: float
    waited_s: float
    runs: float
    run_success: Spread | None
    run_latency: Durations
    cut_short: float
    drawn: float
    decisions: Mapping[str, float]
    errors: Mapping[str, float]


class SimulationReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded, and what other policies would have made of it: today's first, then those that were given.

    `left_out` calls are in none of them: they were cancelled, or began again in another process. `assumed` are targets
    that the record knows nothing of, which are taken to answer always.
    """

    object: Literal["guard_simulation"] = "guard_simulation"
    agent: str
    since: datetime
    until: datetime
    runs: int
    calls: int
    left_out: int
    seed: int
    seeds: int
    assumed: Sequence[str]
    recorded: SimulationFigures
    data: Sequence[SimulationFigures]

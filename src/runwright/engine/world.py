"""What the runs of an engine reach out through, and within what one of them has to stay."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from runwright.core.agent import Approval, Limits
from runwright.core.ports import MemoryStore, Models, Secrets
from runwright.core.redact import KnownSecrets
from runwright.core.run import Bound
from runwright.engine.child import NOBODY_RUNS, Runner
from runwright.engine.reports import Price
from runwright.guard import Guards, Own
from runwright.tools.deeds import Deeds


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What steps reach out through: the same for every run of an engine."""

    models: Models
    secrets: Secrets
    guards: Guards
    price: Price
    state: Mapping[str, Any]
    room: Callable[[], Awaitable[None]]
    known: KnownSecrets = KnownSecrets()
    deeds: Deeds
    memory: MemoryStore
    runner: Runner = NOBODY_RUNS


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Within what a run has to stay: `deadline` is a time of the loop's clock.

    `own` are the policies of the run and of its agent, `approvals` the tools that a person has to allow, `within` what
    the runs above allow.
    """

    limits: Limits
    deadline: float | None
    own: Own = Own()
    approvals: Mapping[str, Approval] = {}
    within: tuple[Bound, ...] = ()

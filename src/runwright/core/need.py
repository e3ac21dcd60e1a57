"""What a step that is held needs from outside before it can go on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from runwright.core.run import WaitReason


class _Need(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """`step` is the number of the step that needs it."""

    step: int


class NeedsApproval(_Need, frozen=True, kw_only=True, tag="approval"):
    """A person has to allow a tool call, until the time `until`; afterwards it counts as denied."""

    until: datetime | None = None


class NeedsInput(_Need, frozen=True, kw_only=True, tag="input"):
    """A person has to answer a question, until the time `until`; afterwards the step fails."""

    until: datetime | None = None


class NeedsRun(_Need, frozen=True, kw_only=True, tag="child"):
    """Another run has to come to its end."""

    run: str


class NeedsTime(_Need, frozen=True, kw_only=True, tag="timer"):
    """A time has to come."""

    at: datetime


Need = NeedsApproval | NeedsInput | NeedsRun | NeedsTime

OF_PERSON = (NeedsApproval, NeedsInput)
"""What a person answers; the others are met by themselves, and looked at again when the run goes on."""

_REASONS: Mapping[type, WaitReason] = {
    NeedsApproval: "approval",
    NeedsInput: "input",
    NeedsRun: "child",
    NeedsTime: "timer",
}


def reason_of(need: Need) -> WaitReason:
    """Why a run waits that has a step with this need."""
    return _REASONS[type(need)]

"""A run: one execution of an agent."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from runwright.core.money import NO_COST, Cost
from runwright.core.replay import Replay
from runwright.core.usage import NO_USAGE, Usage
from runwright.errors import RunwrightError

RunStatus = Literal["queued", "running", "waiting", "completed", "failed", "cancelled"]
WaitReason = Literal["approval", "input", "budget", "unknown_effect", "diverged", "child", "timer", "paused"]
RunMode = Literal["wait", "stream", "background"]
Multitask = Literal["enqueue", "reject", "interrupt"]

TERMINAL: frozenset[str] = frozenset({"completed", "failed", "cancelled"})


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as it is recorded and shown. `step` is the number of the step it came from."""

    code: str
    message: str
    retryable: bool = False
    step: int | None = None


def error_info(error: RunwrightError, *, step: int | None = None) -> ErrorInfo:
    """The record of an error."""
    return ErrorInfo(code=error.code, message=printable(error.public), retryable=error.retryable, step=step)


def printable(text: str) -> str:
    """The text without what is no Unicode (PEP 383 lets it into file names), so that it can be stored and sent."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


class Bound(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run allows to those below it, where it says so: how many runs deep they may go on, and what all of them
    together with it may spend and use.
    """

    run: str
    agent: str
    depth: int | None = None
    usd: str | None = None
    tokens: int | None = None


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks for. `input` is JSON text; None for `version` means the agent's current one.

    `is_ephemeral` runs belong to a caller that will send again: cancelled when it leaves, not resumed after a crash.
    `id` is that of the run to be, where its caller has one already. A `replay` takes agent and input, where they are
    empty, from the recorded run; `config` changes the recorded one. `within` is what the runs above allow.
    """

    agent: str
    input: bytes
    version: str | None = None
    thread_id: str | None = None
    mode: RunMode = "wait"
    multitask: Multitask = "enqueue"
    group: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    config: dict[str, object] = {}
    parent_run_id: str | None = None
    root_run_id: str | None = None
    is_ephemeral: bool = False
    replay: Replay | None = None
    id: str | None = None
    within: tuple[Bound, ...] = ()


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The row of a run. Input and output stand in its events; `last_seq` names the newest stored one.

    `epoch` counts the owners a run has had; `seq_limit` is the highest event number that may have been shown.
    `replay_of` is the run that this one replays; `tainted` says why this one cannot be replayed itself.
    """

    id: str
    agent: str
    version: str
    fingerprint: str
    status: RunStatus
    created_at: datetime
    mode: RunMode = "wait"
    reason: WaitReason | None = None
    owner: str | None = None
    epoch: int = 0
    seq_limit: int = 0
    last_seq: int = 0
    thread_id: str | None = None
    parent_run_id: str | None = None
    root_run_id: str | None = None
    group: str | None = None
    user: str | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    replay_of: str | None = None
    is_ephemeral: bool = False
    multitask: Multitask = "enqueue"
    adoptions: int = 0
    error: ErrorInfo | None = None
    usage: Usage = NO_USAGE
    cost: Cost = NO_COST
    started_at: datetime | None = None
    ended_at: datetime | None = None
    tainted: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether the status is final."""
        return self.status in TERMINAL

"""Events: what happened in a run, numbered, append-only.

Each class is one event type; its docstring is its reference entry and its tag the name on the wire.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Literal, get_args

import msgspec

from runwright.core.budget import Shortage, Spend
from runwright.core.history import Recap
from runwright.core.memory import Action
from runwright.core.money import NO_COST, Cost
from runwright.core.need import Need
from runwright.core.replay import Replay
from runwright.core.run import Bound, ErrorInfo, RunStatus, WaitReason
from runwright.core.step import Effect, Resolved, StepKind
from runwright.core.usage import NO_USAGE, Usage

SHAPE = 2
"""The number of the stored shape of event bodies; a new shape adds a converter in `journal/shapes.py`."""

NULL = msgspec.Raw(b"null")

RestartCause = Literal["crash", "retry", "fallback", "resolved", "storage", "budget", "child", "timer"]
"""Why a step begins again."""

GuardLayer = Literal[
    "deadline",
    "plugin",
    "cache",
    "flight",
    "admission",
    "fallback",
    "retry",
    "breaker",
    "rate",
    "bulkhead",
    "budget",
    "hedge",
    "timeout",
]
"""The parts of the guard, from the outside in."""

StoppedBy = Literal["cancel", "time"]
"""What stopped the code of a run."""


class EventData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """The body of an event. `bulky` names fields whose large values are stored once, as blobs."""

    bulky: ClassVar[tuple[str, ...]] = ()


class RunQueued(EventData, frozen=True, kw_only=True, tag="run.queued"):
    """A run was created, with the caller's input and the configuration it overrides.

    `replay` says which recorded run answers it, if one does, and `within` what the runs above it allow.
    """

    bulky: ClassVar[tuple[str, ...]] = ("input", "config")
    agent: str
    version: str
    input: msgspec.Raw
    config: msgspec.Raw = NULL
    replay: Replay | None = None
    within: tuple[Bound, ...] = ()


class RunStarted(EventData, frozen=True, kw_only=True, tag="run.started"):
    """A run began to execute, by the version `loop` of the agent loop.

    `thread_head` is the newest completed run of its thread at that moment: its conversation is this run's history.
    `code_changed` names what differs from the code that it was created for, if it waited for its turn so long.
    The run sees memory as it stood when this was stored; a replay as it stood at the event at position `memory`.
    `recap` is what was left out of the history before.
    """

    loop: int
    thread_head: str | None = None
    code_changed: tuple[str, ...] = ()
    memory: int | None = None
    recap: Recap | None = None


class RunResumed(EventData, frozen=True, kw_only=True, tag="run.resumed"):
    """A run goes on. `code_changed` names what differs from the code that began it."""

    cause: Literal["crash", "resolved", "input", "storage", "budget", "child", "timer", "pause"]
    epoch: int = 0
    code_changed: tuple[str, ...] = ()


class RunWaiting(EventData, frozen=True, kw_only=True, tag="run.waiting"):
    """A run cannot go on by itself; `detail` says what it needs in words.

    `shortage` is the budget that is spent, `needs` are those of its steps that are held.
    """

    reason: WaitReason
    detail: str = ""
    shortage: Shortage | None = None
    needs: tuple[Need, ...] = ()


class RunCompleted(EventData, frozen=True, kw_only=True, tag="run.completed"):
    """A run ended with an output: JSON text or a JSON value.

    `finish_reason` is that of the model answer which is the output; a code flow's output is its own.
    """

    bulky: ClassVar[tuple[str, ...]] = ("output",)
    output: msgspec.Raw
    finish_reason: str = ""
    usage: Usage = NO_USAGE
    cost: Cost = NO_COST


class RunFailed(EventData, frozen=True, kw_only=True, tag="run.failed"):
    """A run ended with an error."""

    error: ErrorInfo
    usage: Usage = NO_USAGE
    cost: Cost = NO_COST


class RunCancelled(EventData, frozen=True, kw_only=True, tag="run.cancelled"):
    """A run was cancelled."""

    reason: str = ""
    usage: Usage = NO_USAGE
    cost: Cost = NO_COST


class RunInterrupted(EventData, frozen=True, kw_only=True, tag="run.interrupted"):
    """The code of a flow was stopped, by who cancelled the run or by its time limit. It may still do something.

    `reason` is what was said of the cancellation.
    """

    by: StoppedBy
    reason: str = ""


class TimerFired(EventData, frozen=True, kw_only=True, tag="timer.fired"):
    """A timer that the code of a flow had set went off: of a sleep or a time-out of its own. `nth` counts them from 0.

    A run that goes on after a crash or a wait sets its timers again, and counts on after those that went off before.
    """

    nth: int


class StepStarted(EventData, frozen=True, kw_only=True, tag="step.started"):
    """A step began: the intent, written before the effect. The event's number names the step.

    A model step's request holds the messages that are new since the step `base` of the same lane; a tool step's
    request is its arguments. `call_id` ties a tool step to the model's tool call. `reserves` is what a step with
    budgets may use: it counts towards them while nobody knows what became of the step. `is_held` says that nothing is
    sent before a person allows it: a `step.held` follows.
    """

    bulky: ClassVar[tuple[str, ...]] = ("request", "messages", "tools")
    kind: StepKind
    name: str
    key: str
    lane: str = ""
    nth: int = 0
    effect: Effect = "read"
    call_id: str | None = None
    request: msgspec.Raw = NULL
    base: int | None = None
    messages: tuple[msgspec.Raw, ...] = ()
    tools: msgspec.Raw = NULL
    reserves: Spend | None = None
    is_held: bool = False


class StepRestarted(EventData, frozen=True, kw_only=True, tag="step.restarted"):
    """A step begins again as a new attempt; deltas before it are void."""

    attempt: int
    cause: RestartCause = "crash"


class StepHeld(EventData, frozen=True, kw_only=True, tag="step.held"):
    """A step cannot be done now, so nothing was sent: a budget does not allow it, or it has a `need`.

    It begins again when its run goes on, unless a person says what came of it.
    """

    need: Need | None = None


class StepCompleted(EventData, frozen=True, kw_only=True, tag="step.completed"):
    """A step ended well. `result` is a tool's result; a model's answer stands in `message.completed`.

    `taped` is the number of the recorded step that gave the answer in a replay; `is_drifted` says that that was asked
    something else. Usage and cost are those of the recorded step, and were not spent again.
    """

    bulky: ClassVar[tuple[str, ...]] = ("result",)
    result: msgspec.Raw = NULL
    model: str = ""
    provider: str = ""
    finish_reason: str = ""
    response_id: str = ""
    usage: Usage = NO_USAGE
    cost: Cost = NO_COST
    taped: int | None = None
    is_drifted: bool = False


class StepCharged(EventData, frozen=True, kw_only=True, tag="step.charged"):
    """A tool said what it spent: how much of each unit of `ref`, priced at once. It counts when the step ends.

    What an attempt of an `idempotent` tool spent is void when the step begins again.
    """

    ref: str
    used: dict[str, int | Decimal]
    cost: Cost


class StepFailed(EventData, frozen=True, kw_only=True, tag="step.failed"):
    """A step ended with an error. `is_unknown` says that its effect may or may not have happened.

    `taped` is the number of the recorded step that gave the error in a replay, and `cost` what that had cost.
    """

    error: ErrorInfo
    is_unknown: bool = False
    usage: Usage = NO_USAGE
    cost: Cost = NO_COST
    taped: int | None = None


class StepResolved(EventData, frozen=True, kw_only=True, tag="step.resolved"):
    """A person said what became of a step whose outcome was unknown, or what is to become of one that was held.

    `approve` lets a tool be called, with other `arguments` if they are given; `deny` does not; `answer` is an input.
    """

    bulky: ClassVar[tuple[str, ...]] = ("arguments",)
    action: Resolved
    by: str = ""
    note: str = ""
    arguments: msgspec.Raw = NULL


class MessageDelta(EventData, frozen=True, kw_only=True, tag="message.delta"):
    """A piece of the answer's text, dropped from the record when the message is complete."""

    text: str


class ReasoningDelta(EventData, frozen=True, kw_only=True, tag="reasoning.delta"):
    """A piece of the model's reasoning."""

    text: str


class ToolArgsDelta(EventData, frozen=True, kw_only=True, tag="tool.args.delta"):
    """A piece of a tool call's arguments. The first piece of an index carries call id and name."""

    index: int
    call_id: str = ""
    name: str = ""
    arguments: str = ""


class MessageCompleted(EventData, frozen=True, kw_only=True, tag="message.completed"):
    """A model's whole answer: the message, its reasoning beside it, and what only another library can read of it."""

    bulky: ClassVar[tuple[str, ...]] = ("message", "original")
    message: msgspec.Raw
    reasoning: str | None = None
    original: msgspec.Raw = NULL


class ToolRejected(EventData, frozen=True, kw_only=True, tag="tool.rejected"):
    """A tool call was not executed: unknown tool, or arguments that do not fit. The model is told the reason."""

    call_id: str
    name: str
    reason: str


class OutputRejected(EventData, frozen=True, kw_only=True, tag="output.rejected"):
    """An answer did not fit the output schema. The model is told the reason."""

    reason: str


class HistoryCut(EventData, frozen=True, kw_only=True, tag="history.cut"):
    """Models are not sent these messages of the conversation any more: each pair is the first and the one after.

    `summary` is the message that stands for them, which the step that this is about was asked for. `recap` is what is
    left out by now. `reason` says why there is no summary where there should be one. `has_more` says that the rest of
    what is to be left out follows.
    """

    bulky: ClassVar[tuple[str, ...]] = ("summary",)
    left_out: tuple[tuple[int, int], ...]
    recap: Recap
    summary: msgspec.Raw = NULL
    reason: str = ""
    has_more: bool = False


class GuardDecided(EventData, frozen=True, kw_only=True, tag="guard.decided"):
    """The guard did something with a call beside sending it: it waited, sent it again, answered or refused it.

    `layer` says which part of the guard, `action` what it did, and `reason` why, in words. `attempt` counts from 1,
    `wait_s` is how long the call waited or is going to. `figures` are what the decision was made from.
    """

    layer: GuardLayer
    action: str
    target: str = ""
    attempt: int = 1
    wait_s: float = 0.0
    reason: str = ""
    figures: dict[str, int | float | str] = {}


class ReplayDiverged(EventData, frozen=True, kw_only=True, tag="replay.diverged"):
    """A replay asked for something that was not recorded, or came to its end without asking for what was.

    `taped` is the nearest recorded step, `difference` a unified diff from what was recorded to what was asked.
    """

    detail: str
    taped: int | None = None
    difference: str = ""


class RunTainted(EventData, frozen=True, kw_only=True, tag="run.tainted"):
    """The run did something that is no step, so it cannot be replayed; `reason` says what."""

    reason: str


class MemoryWritten(EventData, frozen=True, kw_only=True, tag="memory.written"):
    """A step wrote a block of memory, as it completed. `owner` is `agent:NAME` or `thread:ID`.

    `value` is what was set, or the text that was appended. It makes a commit, but not where `taped` names the step of
    the replayed run that wrote it. `base` is the position of the event at which a replay sees memory.
    """

    bulky: ClassVar[tuple[str, ...]] = ("value",)
    owner: str
    name: str
    action: Action
    value: msgspec.Raw = NULL
    taped: int | None = None
    base: int | None = None


class ProgressReported(EventData, frozen=True, kw_only=True, tag="progress.reported"):
    """A tool or flow said how far it is, or one lane of a flow: `fraction` from 0 to 1."""

    message: str = ""
    fraction: float | None = None
    lane: str = ""


class ConversationLeft(EventData, frozen=True, kw_only=True, tag="conversation.left"):
    """What a code flow leaves to the next run of its thread, in place of its last model call; comes before its end."""

    bulky: ClassVar[tuple[str, ...]] = ("messages",)
    messages: tuple[msgspec.Raw, ...] = ()


class CustomEmitted(EventData, frozen=True, kw_only=True, tag="custom.emitted"):
    """An event of a tool's or flow's own."""

    bulky: ClassVar[tuple[str, ...]] = ("value",)
    name: str
    value: msgspec.Raw = NULL


Data = (
    RunQueued
    | RunStarted
    | RunResumed
    | RunWaiting
    | RunCompleted
    | RunFailed
    | RunCancelled
    | RunInterrupted
    | TimerFired
    | StepStarted
    | StepRestarted
    | StepHeld
    | StepCharged
    | StepCompleted
    | StepFailed
    | StepResolved
    | MessageDelta
    | ReasoningDelta
    | ToolArgsDelta
    | MessageCompleted
    | ToolRejected
    | OutputRejected
    | HistoryCut
    | GuardDecided
    | ReplayDiverged
    | RunTainted
    | MemoryWritten
    | ProgressReported
    | ConversationLeft
    | CustomEmitted
)
Delta = MessageDelta | ReasoningDelta | ToolArgsDelta
DELTAS = (MessageDelta, ReasoningDelta, ToolArgsDelta)
TERMINAL_STATUS: dict[type[EventData], RunStatus] = {
    RunCompleted: "completed",
    RunFailed: "failed",
    RunCancelled: "cancelled",
}


class Event(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened. `seq` rises within the run, with gaps; `step` is the number of the step it is about.

    `position` rises over the whole store and is 0 until the event is stored.
    """

    run_id: str
    seq: int
    ts: datetime
    data: Data
    step: int | None = None
    position: int = 0

    @property
    def type(self) -> str:
        """The name of the event, for example `step.completed`."""
        return TYPES[type(self.data)]

    @property
    def is_terminal(self) -> bool:
        """Whether the run is over after this event."""
        return type(self.data) in TERMINAL_STATUS


def _tag(kind: type[EventData]) -> str:
    tag = kind.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


TYPES: dict[type[EventData], str] = {kind: _tag(kind) for kind in get_args(Data)}
"""The wire name of every event class."""

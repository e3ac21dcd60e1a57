"""The ports: what the inside asks of the outside. Each has at most seven methods.

Store ports are synchronous and thread-safe; callers on the event loop go through a thread.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from runwright.core.agent import Definition, Tool
from runwright.core.cost import CallFilter, ChargedCall, CostBy, CostCall, CostFilter, CostRow
from runwright.core.event import Event
from runwright.core.memory import Commit, CommitFilter, Draft, Entry, Owner
from runwright.core.message import Message
from runwright.core.model import ModelEvent, ModelOptions, ModelRequest, ModelResponse
from runwright.core.run import Run, RunStatus, WaitReason
from runwright.core.schedule import Advance
from runwright.core.sizes import KeyValueSize
from runwright.core.spending import Quantities
from runwright.core.stats import CallerBy, CallerRows, FailedRuns, OutcomeRow, StatBy, StatFilter, StatRow
from runwright.core.step import Step, StepKind
from runwright.core.thread import Thread


class Clock(Protocol):
    """Time."""

    def now(self) -> datetime:
        """The present time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    async def sleep(self, duration_s: float) -> None:
        """Wait for that many seconds."""
        ...


class Secrets(Protocol):
    """Secrets by name. Their values are taken out of what calls give and raise before it is recorded."""

    def get(self, name: str) -> str:
        """The value. Raises ConfigError when it is not set."""
        ...


class Model(Protocol):
    """A model that can be called. `ref` is its reference as `provider:name`."""

    @property
    def ref(self) -> str:
        """The reference, for example `openai:gpt-5-mini`."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Ask. Deltas come only when `request.is_streamed`; ResponseCompleted is always the last event.

        Raises ModelError. Closing the iterator or cancelling aborts the call at once.
        """
        ...


class Models(Protocol):
    """Finds models by reference."""

    def ref(self, ref: str | None) -> str:
        """The full reference of a model, or of the default one for None. Needs no key. Raises ConfigError."""
        ...

    def resolve(self, ref: str | None) -> Model:
        """The model of a reference, or the default one for None. Raises ConfigError that says what to do."""
        ...


class Gateway(Protocol):
    """The one place where a step is guarded, journaled or answered from the tape."""

    async def model(
        self,
        messages: str | Sequence[Message],
        *,
        model: str | Model | None,
        instructions: str,
        options: ModelOptions,
        lane: str,
    ) -> ModelResponse:
        """Perform a model call as a step."""
        ...

    async def tool(self, tool: str | Tool, arguments: str, *, lane: str) -> bytes:
        """Perform a tool call as a step and give its result as JSON text."""
        ...

    async def act(self, kind: StepKind, arguments: str, *, lane: str) -> bytes:
        """Do as a step what neither a model nor a tool does, and give its result as JSON text."""
        ...

    def progress(self, message: str, *, fraction: float | None, step: int | None, lane: str) -> None:
        """Record how far the work is. Safe from any thread."""
        ...

    def emit(self, name: str, value: bytes, *, step: int | None) -> None:
        """Record a custom event; `value` is JSON text. Safe from any thread."""
        ...

    def spent(self, ref: str, used: Quantities, *, step: int) -> None:
        """Record what a tool spent. Safe from any thread."""
        ...

    def has_acted(self, lane: str) -> bool:
        """Whether a step of a lane, or of one below it, was asked for that does more than read."""
        ...


DELTA_ROW = "deltas"
"""The type of rows that hold deltas, which go when their message is complete."""


class Stored(msgspec.Struct, frozen=True, gc=False):
    """A row of events that were appended together; `journal/shapes.py` says what its body holds.

    `seq`, `ts`, `type` and `step` are those of the first one, but `type` is `run.started` where that is among them;
    `last_seq` is that of the last, if there are more.
    """

    run_id: str
    seq: int
    ts: datetime
    type: str
    step: int | None
    body: bytes
    shape: int
    position: int = 0
    last_seq: int = 0


class Blob(msgspec.Struct, frozen=True, gc=False):
    """Content under the hash of its bytes: `hash` is BLAKE2b-128 in hex."""

    hash: str
    data: bytes


class RunRow(msgspec.Struct, frozen=True, gc=False):
    """A run row to write. A new run is inserted; an old one is updated only if `epoch` still stands in the store.

    What the caller asked for (agent, input, thread, group, user, tags, metadata, parents) is written once.
    """

    run: Run
    is_first: bool


class Reader(Protocol):
    """Something that reads events as they are stored, in the journal's thread, each of them once."""

    def record(self, run: Run, events: Sequence[Event]) -> None:
        """Take note of newly committed events of a run; `run` is the row after them."""
        ...


class IdempotencyKey(msgspec.Struct, frozen=True, gc=False):
    """The claim of an Idempotency-Key within a scope (caller and route); `body_hash` is of the request's body."""

    scope: str
    key: str
    body_hash: str
    run_id: str
    created_at: datetime


Claimed = IdempotencyKey | Advance
"""What a new run takes for itself: who comes second writes nothing."""


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Rows of one run that are written together.

    `voided` are (run id, step) pairs whose deltas in earlier batches go; `thread_head` is (thread id, run id).
    """

    run: RunRow
    steps: tuple[Step, ...] = ()
    events: tuple[Stored, ...] = ()
    blobs: tuple[Blob, ...] = ()
    voided: tuple[tuple[str, int], ...] = ()
    consumed: tuple[str, ...] = ()
    claim: Claimed | None = None
    thread_head: tuple[str, str] | None = None
    memory: tuple[Draft, ...] = ()
    is_end: bool = False


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list, newest first; `after` is the id of the last run of the page before.

    `is_root` leaves those out that other runs began. `reason` is what a run waits for,
    `ids` are those of the runs themselves.
    """

    ids: Sequence[str] | None = None
    agent: str | None = None
    status: RunStatus | None = None
    reason: WaitReason | None = None
    thread_id: str | None = None
    group: str | None = None
    user: str | None = None
    parent_run_id: str | None = None
    tag: str | None = None
    is_root: bool = False
    after: str | None = None
    limit: int = 50


class Writes(Protocol):
    """What the journal's writer thread needs."""

    def append(self, batches: Sequence[Batch]) -> Sequence[Exception | None]:
        """Write all batches in one transaction; what is committed survives the death of the process.

        A batch whose run has another epoch in the store, whose claim is taken, or which rejects a busy thread, is left
        out and its place holds OwnershipLost or Conflict. Raises StorageError if nothing was written.
        """
        ...

    def probe(self) -> None:
        """Try to write and roll back. Raises StorageError."""
        ...


class RunStore(Protocol):
    """Runs and what happened in them."""

    def get(self, run_id: str) -> Run | None:
        """One run."""
        ...

    def find(self, where: RunFilter) -> Sequence[Run]:
        """A page of runs, newest first."""
        ...

    def steps(self, run_id: str, *, after: int = 0, limit: int = 1000) -> Sequence[Step]:
        """The steps of a run in order."""
        ...

    def events(self, run_id: str, *, after: int = 0, limit: int = 1000) -> Sequence[Stored]:
        """The stored events of a run with numbers above `after`, in order. Rows that end above it count."""
        ...

    def owned(self, statuses: Sequence[RunStatus]) -> Sequence[Run]:
        """All runs in these statuses, oldest first."""
        ...

    def adopt(self, run_id: str, *, epoch: int, owner: str) -> Run | None:
        """Take a run whose epoch is still `epoch`: raises the epoch by one and counts the adoption. None if lost."""
        ...

    def idempotent(self, scope: str, key: str) -> IdempotencyKey | None:
        """The claim of an idempotency key."""
        ...


class StoryStore(Protocol):
    """What many runs did, together."""

    def story(self, group: str, *, since: str, limit: int) -> Sequence[Step]:
        """The first steps of the runs with this label, from the run `since` on, in the order of time."""
        ...

    def edges(self, run_ids: Sequence[str]) -> Sequence[Stored]:
        """The first and the last stored row of each of these runs, the newest run first."""
        ...

    def parents(self, run_ids: Sequence[str]) -> frozenset[str]:
        """Those of these runs that began others."""
        ...


SignalKind = Literal["cancel", "resolve", "resume", "pause"]


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A message from anyone to the owner of a run. `body` is JSON text."""

    id: str
    run_id: str
    kind: SignalKind
    body: bytes
    created_at: datetime


class SignalStore(Protocol):
    """Messages to the owners of runs."""

    def put(self, signal: Signal) -> None:
        """Leave a message."""
        ...

    def pending(self, runs: Sequence[str] | None = None) -> Sequence[Signal]:
        """Messages that no owner has consumed, oldest first; those to these `runs` alone, where they are named."""
        ...

    def drop(self, signal_id: str) -> None:
        """Forget a message that nobody needs any more."""
        ...


class CostStore(Protocol):
    """What calls cost."""

    def totals(self, by: CostBy, where: CostFilter) -> Sequence[CostRow]:
        """Sums by key, in the order of keys."""
        ...

    def calls(self, by: CostBy, where: CostFilter) -> Iterator[CostCall]:
        """Every call, in no order."""
        ...

    def find(self, where: CallFilter) -> Sequence[ChargedCall]:
        """A page of calls, the dearest or newest first; those without a price are the cheapest."""
        ...


class StatStore(Protocol):
    """What happened, counted by the hour."""

    def totals(self, by: StatBy, where: StatFilter) -> Sequence[StatRow]:
        """Counts, sums and histograms by key, in the order of keys."""
        ...

    def callers(self, by: CallerBy, where: StatFilter, *, limit: int) -> CallerRows:
        """Runs that began in the span and are over, by who asked for them, from the newest `limit` rows of runs.

        Neither those that replay others count, nor those from files.
        """
        ...

    def failed(self, where: StatFilter, *, limit: int) -> FailedRuns:
        """Runs that began in the span and failed, of the newest `limit` of all agents; those that `callers` counts."""
        ...

    def outcomes(self, since: datetime | None, target: str | None = None) -> Sequence[OutcomeRow]:
        """How calls ended from the hour of `since` on, by kind and target; without those that a recording answered."""
        ...


class MemoryStore(Protocol):
    """Named blocks of agents and threads with all their commits. What runs write comes with their batches."""

    def owners(self, *, after: str | None = None, limit: int = 50) -> Sequence[Owner]:
        """A page of those who have memory, by name."""
        ...

    def began(self, run_id: str) -> int:
        """The position of the event with which a run started; 0 when it has not."""
        ...

    def head(self, owner: str, *, before: int | None = None) -> int:
        """The newest commit, or the one that stood before the event at a position; 0 when there was none."""
        ...

    def blocks(self, owner: str, at: int) -> Sequence[Entry]:
        """The blocks as they stood at a commit, by name."""
        ...

    def commits(self, where: CommitFilter) -> Sequence[Commit]:
        """A page of commits, newest first."""
        ...

    def history(self, owner: str, name: str, *, after: int = 0, limit: int = 100) -> Sequence[Entry]:
        """What each commit made of a block, the oldest first."""
        ...

    def commit(self, draft: Draft, *, expect: int | None = None) -> int:
        """Write what is no run's; the number of the commit, or the newest one where nothing changed.

        Raises Conflict where a changed block was not left as it is by the commit `expect`; 0 expects none.
        """
        ...


class Blobs(Protocol):
    """Content-addressed bytes."""

    def get(self, hashes: Sequence[str]) -> Mapping[str, bytes]:
        """The bytes of those hashes that are stored."""
        ...


class KeyValue(Protocol):
    """Bytes under keys of a namespace, for a time. Anything may be gone at any moment: nothing here is a record."""

    async def get(self, space: str, key: bytes) -> bytes | None:
        """What is held under a key, until its time is over. Raises StorageError."""
        ...

    async def set(self, space: str, key: bytes, value: bytes, *, ttl_s: float) -> None:
        """Hold it for that many seconds. What is too large is not held. It may be written a little later."""
        ...

    async def clear(self, space: str | None = None) -> int:
        """Forget all of a namespace, or of all; how many entries that were. Raises StorageError."""
        ...

    async def size(self) -> KeyValueSize:
        """How much is held, what is past its time and still there included. Raises StorageError."""
        ...

    async def close(self) -> None:
        """Write what is to be written."""
        ...


class AgentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A stored version of an agent. `source` is code, file or api; only api definitions are loaded from the store."""

    name: str
    version: str
    definition: Definition
    fingerprint: str
    source: str
    created_at: datetime
    is_active: bool = True


class AgentStore(Protocol):
    """Definitions and their versions."""

    def put(self, record: AgentRecord) -> None:
        """Store a version and make it the active one. The same definition and fingerprint change nothing."""
        ...

    def get(self, name: str, version: str | None = None) -> AgentRecord | None:
        """A version, or the active one."""
        ...

    def all(self) -> Sequence[AgentRecord]:
        """The active version of every agent, by name."""
        ...

    def versions(self, name: str) -> Sequence[AgentRecord]:
        """All versions of an agent, newest first."""
        ...

    def delete(self, name: str) -> bool:
        """Make an agent unknown; its runs stay. False when there was none."""
        ...


class ThreadStore(Protocol):
    """Conversations."""

    def put(self, thread: Thread) -> None:
        """Create a thread, or change its title and metadata."""
        ...

    def get(self, thread_id: str) -> Thread | None:
        """One thread."""
        ...

    def find(self, *, user: str | None = None, after: str | None = None, limit: int = 50) -> Sequence[Thread]:
        """A page of threads, newest first."""
        ...

    def delete(self, thread_id: str) -> bool:
        """Remove a thread whose runs are over; they stay. False when nothing was removed."""
        ...

    def active_runs(self, thread_id: str) -> Sequence[str]:
        """The ids of the runs of the thread that are not over, oldest first."""
        ...

    def is_interrupted(self, thread_id: str, run_id: str) -> bool:
        """Whether the thread has a later run that interrupts those before it."""
        ...

    def take(self, thread_id: str, run_id: str) -> Thread | None:
        """Give the run its turn: if it is the oldest one not over and no other has the turn. None if it must wait.

        A run keeps its turn until it is over.
        """
        ...

"""The one writer of events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from runwright.core.event import (
    CustomEmitted,
    Event,
    GuardDecided,
    MessageCompleted,
    MessageDelta,
    ProgressReported,
    RunCompleted,
    StepCompleted,
    StepFailed,
    StepRestarted,
    StepStarted,
)
from runwright.core.ports import IdempotencyKey
from runwright.core.run import ErrorInfo, Run
from runwright.errors import Conflict, OwnershipLost, StorageError, StorageFull, Unavailable
from runwright.journal.project import CANCELLED
from runwright.journal.write import DELTA_FLUSH_COUNT, ROOM, SEQ_BLOCK, SEQ_MARGIN, RunLog
from tests.unit.engine.harness import until
from tests.unit.journal.scene import MODEL, QUEUED, STARTED, Scene, large, say, scene, seqs, types

pytestmark = pytest.mark.anyio

ANSWER = (MessageCompleted(message=msgspec.Raw(b'{"role":"assistant"}')), StepCompleted())


async def _asking(at: Scene, log: RunLog) -> int:
    """A run with an open model step, all of it committed."""
    step = log.append(QUEUED, STARTED, MODEL)[-1].seq
    await log.durable()
    return step


async def test_events_are_numbered_in_order_and_stored() -> None:
    """What is appended gets the next numbers, and stands in the store as one row once it is durable."""
    async with scene() as at:
        log = at.new()
        events = log.append(QUEUED, STARTED)
        assert seqs(events) == [1, 2]
        await log.durable()
        stored = await at.stored(log.run.id)
        assert types(stored) == ["run.queued", "run.started"]
        assert [event.position for event in stored] == [1, 1]
        run = await at.run(log.run.id)
        assert (run.status, run.last_seq, run.seq_limit) == ("running", 2, 2 + SEQ_BLOCK)


async def test_a_step_is_named_by_its_first_event() -> None:
    """The number of `step.started` names the step in its later events."""
    async with scene() as at:
        log = at.new()
        step = await _asking(at, log)
        assert step == 3
        assert log.is_open(step)
        log.append(*((data, step) for data in ANSWER))
        assert not log.is_open(step)
        await log.durable()
        assert [event.step for event in await at.stored(log.run.id)] == [None, None, 3, 3, 3]


async def test_an_event_of_a_closed_step_is_a_mistake() -> None:
    """Only an open step can end."""
    async with scene() as at:
        log = at.new()
        log.append(QUEUED)
        with pytest.raises(ValueError, match="not open"):
            log.append((StepCompleted(), 7))


async def test_deltas_use_numbers_up() -> None:
    """Numbers rise with gaps: those of deltas are not given to other events."""
    async with scene() as at:
        log = at.new()
        step = await _asking(at, log)
        say(log, step, "a", "b", "c")
        assert seqs(log.append(*((data, step) for data in ANSWER))) == [7, 8]
        await log.durable()
        assert seqs(await at.stored(log.run.id)) == [1, 2, 3, 7, 8]
        assert seqs(at.shown) == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_numbers_jump_after_a_new_owner() -> None:
    """Another owner goes on at the reserved limit, so that no number that a client saw is used again."""
    async with scene() as at:
        log = at.new()
        step = await _asking(at, log)
        say(log, step, *"abcdef")
        seen = at.shown[-1].seq
        taken = await at.taken(log.run.id)
        event = taken.append((StepRestarted(attempt=2), step))[0]
        assert event.seq == 3 + SEQ_BLOCK + 1 > seen
        await taken.durable()
        assert (await at.run(log.run.id)).seq_limit == event.seq + SEQ_BLOCK


async def test_a_block_is_reserved_before_it_is_shown() -> None:
    """Deltas beyond what is reserved in the store are not shown before the reservation is committed."""
    async with scene() as at:
        log = at.new()
        step = await _asking(at, log)
        limit = log.run.seq_limit
        with at.gate.held():
            for _ in range(SEQ_BLOCK + 10):
                say(log, step, "x")
            assert at.shown[-1].seq == limit
        await log.durable()
        assert at.shown[-1].seq == limit + 10
        assert (await at.run(log.run.id)).seq_limit >= limit + 10
        assert seqs(at.shown) == sorted(seqs(at.shown))


async def test_deltas_flow_while_a_block_is_reserved() -> None:
    """A new block is asked for before the old one is used up."""
    async with scene() as at:
        log = at.new()
        step = await _asking(at, log)
        with at.gate.held():
            say(log, step, *("x" * (SEQ_BLOCK - SEQ_MARGIN + 1)))
            assert at.shown[-1].seq == 3 + SEQ_BLOCK - SEQ_MARGIN + 1
            assert log.run.seq_limit > 3 + SEQ_BLOCK


async def test_nothing_is_shown_before_its_commit() -> None:
    """Events are published when they are committed, and deltas after everything that came before them."""
    async with scene() as at:
        log = at.new()
        with at.gate.held():
            step = log.append(QUEUED, STARTED, MODEL)[-1].seq
            waiting = asyncio.create_task(log.durable())
            say(log, step, "a")
            await asyncio.sleep(0)
            assert at.shown == []
        await waiting
        assert seqs(at.shown) == [1, 2, 3, 4]
        with at.gate.held():
            say(log, step, "b")
            log.append((ProgressReported(message="half"), step))
            say(log, step, "c")
            await asyncio.sleep(0)
            assert seqs(at.shown) == [1, 2, 3, 4, 5]
        await log.durable()
        assert seqs(at.shown) == [1, 2, 3, 4, 5, 6, 7]


async def test_deltas_keep_their_place_between_appends_of_one_turn() -> None:
    """Appends that become one commit do not overtake the deltas between them."""
    async with scene() as at:
        log = at.new()
        step = log.append(QUEUED, STARTED, MODEL)[-1].seq
        say(log, step, "a", "b")
        log.append(*((data, step) for data in ANSWER))
        await log.durable()
        assert seqs(at.shown) == [1, 2, 3, 4, 5, 6, 7]


async def test_appends_of_one_turn_are_one_commit() -> None:
    """What a run appends in one go is committed together."""
    async with scene() as at:
        log = at.new()
        log.append(QUEUED)
        log.append(STARTED)
        log.append((large(10), None))
        await log.durable()
        assert len(at.gate.commits) == 1
        assert seqs(at.shown) == [1, 2, 3]


async def test_what_comes_during_a_commit_is_the_next_commit() -> None:
    """Runs that append while the disk is busy share one transaction."""
    async with scene() as at:
        first = at.new()
        others = [at.new() for _ in range(20)]
        with at.gate.held():
            first.append(QUEUED)
            waiting = [asyncio.create_task(first.durable())]
            await until(lambda: at.journal.depth == 1)
            await asyncio.sleep(0.01)
            for log in others:
                log.append(QUEUED, STARTED)
                waiting.append(asyncio.create_task(log.durable()))
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        assert [len(commit) for commit in at.gate.commits] in ([1, 20], [21])
        assert at.journal.depth == 0


async def test_durable_without_anything_to_wait_for_returns() -> None:
    """A log whose entries are all committed is durable at once."""
    async with scene() as at:
        log = at.new()
        await log.durable()
        log.append(QUEUED)
        await log.durable()
        await log.durable()


async def test_flushed_deltas_are_dropped_with_the_message() -> None:
    """Deltas of an open step are stored for late readers, and go when the message is there."""
    async with scene() as at:
        log = at.new()
        step = await _asking(at, log)
        say(log, step, *("x" * DELTA_FLUSH_COUNT), "rest")
        await log.durable()
        assert (await at.rows(log.run.id))[-1] == "deltas"
        assert seqs(await at.stored(log.run.id)) == list(range(1, 4 + DELTA_FLUSH_COUNT))
        log.append(*((data, step) for data in ANSWER))
        await log.durable()
        assert (await at.rows(log.run.id))[-1] == "message.completed"
        assert await at.blobs() == 0


async def test_deltas_are_flushed_after_a_moment() -> None:
    """A slow answer reaches the store before it is complete."""
    async with scene() as at:
        log = at.new()
        step = await _asking(at, log)
        say(log, step, "one")
        await until(lambda: any(batch.events and batch.events[0].type == "deltas" for batch in at.gate.commits[-1]))
        assert (await at.rows(log.run.id))[-1] == "deltas"


async def test_a_restart_voids_deltas() -> None:
    """The deltas of an attempt that begins again are dropped from the store."""
    async with scene() as at:
        log = at.new()
        step = await _asking(at, log)
        say(log, step, *("x" * DELTA_FLUSH_COUNT))
        log.append((StepRestarted(attempt=2, cause="retry"), step))
        await log.durable()
        assert "deltas" not in await at.rows(log.run.id)
        assert await at.blobs() == 0


async def test_a_decision_of_the_guard_voids_no_deltas() -> None:
    """What the guard decides stands in the row of its step, and what was said before it stays."""
    async with scene() as at:
        log = at.new()
        step = await _asking(at, log)
        say(log, step, *("x" * DELTA_FLUSH_COUNT))
        log.append((GuardDecided(layer="hedge", action="doubled"), step))
        await log.durable()
        assert "deltas" in await at.rows(log.run.id)
        rows = await asyncio.to_thread(at.stores.runs.steps, log.run.id)
        assert [row.decided for row in rows] == [("hedge doubled",)]


@pytest.mark.parametrize("is_restarted", [True, False])
async def test_a_new_owner_voids_the_deltas_of_the_old_one(is_restarted: bool) -> None:
    """Deltas that a dead process left are dropped when its step begins again or ends."""
    async with scene() as at:
        log = at.new()
        step = await _asking(at, log)
        say(log, step, *("x" * DELTA_FLUSH_COUNT))
        await log.durable()
        taken = await at.taken(log.run.id)
        if is_restarted:
            taken.append((StepRestarted(attempt=2), step))
        else:
            taken.close_steps(CANCELLED)
        await taken.durable()
        assert "deltas" not in await at.rows(log.run.id)
        assert await at.blobs() == 0


async def test_deltas_of_a_closed_step_are_dropped() -> None:
    """What a model still says after its step has ended is not recorded."""
    async with scene() as at:
        log = at.new()
        step = await _asking(at, log)
        log.append((StepFailed(error=ErrorInfo(code="model_error", message="x")), step))
        say(log, step, "late")
        await log.durable()
        assert seqs(at.shown) == [1, 2, 3, 4]


async def test_open_steps_close_with_the_run() -> None:
    """Closing ends every open step; of a `once` tool the outcome is unknown."""
    async with scene() as at:
        log = at.new()
        model = await _asking(at, log)
        tool = log.append((StepStarted(kind="tool", name="t", key="k", effect="once"), None))[0].seq
        log.close_steps(CANCELLED)
        await log.durable()
        assert [step.seq for step in log.unknown_steps] == [tool]
        steps = await asyncio.to_thread(at.stores.runs.steps, log.run.id)
        assert [(step.seq, step.status, step.error) for step in steps] == [
            (model, "failed", ErrorInfo(code="cancelled", message="The run was cancelled.", step=model)),
            (tool, "unknown", ErrorInfo(code="cancelled", message="The run was cancelled.", step=tool)),
        ]


async def test_new_work_waits_for_room() -> None:
    """When too much waits for the disk, `room` waits until it is written."""
    async with scene() as at:
        log = at.new()
        await at.journal.room()
        at.gate.fail(StorageFull())
        with at.gate.held():
            log.append(QUEUED, (large(ROOM + 1), None))
            waiting = [asyncio.create_task(at.journal.room()) for _ in range(3)]
            waiting[0].cancel()
            await asyncio.sleep(0.01)
            assert [task.done() for task in waiting] == [True, False, False]
        await asyncio.gather(*waiting[1:])
        assert not at.journal.is_crowded


async def test_in_a_crowd_deltas_are_not_stored() -> None:
    """Deltas can be left out, so they do not add to what waits for a slow disk; watchers get them all the same."""
    async with scene() as at:
        log, other = at.new(), at.new()
        step = await _asking(at, log)
        with at.gate.held():
            other.append(QUEUED, (large(ROOM // 2 + 1), None))
            waiting = asyncio.create_task(other.durable())
            await asyncio.sleep(0)
            assert at.journal.is_crowded
            depth = at.journal.depth
            say(log, step, *("x" * (2 * DELTA_FLUSH_COUNT)))
            assert at.journal.depth == depth
            assert len(at.shown) == 3 + 2 * DELTA_FLUSH_COUNT
            other.lost = OwnershipLost()
        with pytest.raises(OwnershipLost):
            await waiting
        log.append(*((data, step) for data in ANSWER))
        await log.durable()
        assert (await at.rows(log.run.id))[1:] == ["message.completed"]


async def test_a_full_disk_is_told_to_everybody_who_waits() -> None:
    """When nothing can be written, waiters get the error, and nothing more of their runs is taken."""
    async with scene() as at:
        log, other = at.new(), at.new()
        log.append(QUEUED)
        await log.durable()
        at.gate.fail(StorageFull())
        log.append(STARTED)
        other.append(QUEUED)
        outcomes = await asyncio.gather(log.durable(), other.durable(), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StorageFull, StorageFull]
        assert isinstance(at.journal.error, StorageFull)
        for call in (lambda: log.append(MODEL), lambda: log.delta(MessageDelta(text="x"), 3)):
            with pytest.raises(StorageFull):
                call()
        with pytest.raises(StorageFull):
            await log.durable()
        assert types(await at.stored(log.run.id)) == ["run.queued"]


async def test_each_raise_is_of_an_error_of_its_own() -> None:
    """An error that is raised again and again would keep the frames of everybody who met it."""
    async with scene() as at:
        logs = [at.new(), at.new()]
        at.gate.fail(StorageFull())
        for log in logs:
            log.append(QUEUED)
        met = [*await asyncio.gather(*(log.durable() for log in logs), return_exceptions=True), at.journal.error]
        for log in logs:
            with pytest.raises(StorageFull) as again:
                await log.durable()
            met.append(again.value)
        assert len({id(error) for error in met}) == 5


async def test_after_the_stop_nothing_is_taken() -> None:
    """A run that goes on behind the end of its journal is told so, and does not wait for ever."""
    async with scene() as at:
        log = at.new()
        log.append(QUEUED)
        await at.journal.stop()
        await log.durable()
        log.append(STARTED)
        with pytest.raises(Unavailable):
            await log.durable()
        with pytest.raises(Unavailable):
            log.append(MODEL)
        assert types(await at.stored(log.run.id)) == ["run.queued"]


async def test_the_journal_heals() -> None:
    """When the store takes rows again, new logs are written; a lost one goes on under a new owner."""
    async with scene() as at:
        log = at.new()
        log.append(QUEUED)
        await log.durable()
        at.gate.fail(StorageFull())
        log.append(STARTED)
        with pytest.raises(StorageFull):
            await log.durable()
        assert not await at.journal.heal()
        at.gate.fail(None)
        assert await at.journal.heal()
        assert at.journal.error is None
        taken = await at.taken(log.run.id)
        taken.append(STARTED)
        await taken.durable()
        assert types(await at.stored(log.run.id)) == ["run.queued", "run.started"]


async def test_whatever_the_store_raises_the_writer_goes_on() -> None:
    """An error that no store should raise is a storage error for those who wait, and the thread lives."""
    async with scene() as at:
        log = at.new()
        at.gate.fail(KeyError("surprise"))
        log.append(QUEUED)
        with pytest.raises(StorageError, match="KeyError: 'surprise'"):
            await log.durable()
        at.gate.fail(None)
        other = at.new()
        other.append(QUEUED)
        await other.durable()


async def test_an_event_that_cannot_be_encoded_ends_its_own_run_only() -> None:
    """Text that is no Unicode loses its log, not the runs beside it."""
    async with scene() as at:
        bad, good = at.new(), at.new()
        bad.append(QUEUED, (CustomEmitted(name="\udc80"), None))
        good.append(QUEUED)
        outcomes = await asyncio.gather(bad.durable(), good.durable(), return_exceptions=True)
        assert isinstance(outcomes[0], StorageError)
        assert outcomes[1] is None
        assert at.journal.error is None


async def test_an_owner_that_lost_a_run_writes_no_more() -> None:
    """The epoch fences: after another owner took the run, appends of the old one are refused whole."""
    async with scene() as at:
        log = at.new()
        log.append(QUEUED)
        await log.durable()
        taken = await at.taken(log.run.id)
        log.append(STARTED)
        with pytest.raises(OwnershipLost):
            await log.durable()
        assert at.journal.error is None
        taken.append(STARTED)
        await taken.durable()
        assert types(await at.stored(log.run.id)) == ["run.queued", "run.started"]


async def test_a_taken_idempotency_key_refuses_the_run() -> None:
    """Of two runs with one key, the second is not created."""
    async with scene() as at:
        logs = [at.new(), at.new()]
        for log in logs:
            key = IdempotencyKey("caller", "key", "hash", log.run.id, at.journal.now())
            log.append(QUEUED, claim=key)
        outcomes = await asyncio.gather(*(log.durable() for log in logs), return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "NoneType"]
        lost = next(log for log in logs if isinstance(log.lost, Conflict))
        assert await asyncio.to_thread(at.stores.runs.get, lost.run.id) is None


class Notes:
    """A reader that remembers, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.seen: list[tuple[str, list[str]]] = []
        self._error = error

    def record(self, run: Run, events: Sequence[Event]) -> None:
        """Take note."""
        if self._error is not None:
            raise self._error
        self.seen.append((run.status, types(events)))


async def test_readers_get_each_committed_event_once() -> None:
    """Readers see committed events with the row after them, and nothing that was not written."""
    notes = Notes()
    async with scene(notes) as at:
        log = at.new()
        step = await _asking(at, log)
        say(log, step, "x")
        log.append(*((data, step) for data in ANSWER), (RunCompleted(output=msgspec.Raw(b"1")), None))
        await log.durable()
        at.gate.fail(StorageFull())
        other = at.new()
        other.append(QUEUED)
        with pytest.raises(StorageFull):
            await other.durable()
    assert notes.seen == [
        ("running", ["run.queued", "run.started", "step.started"]),
        ("completed", ["message.completed", "step.completed", "run.completed"]),
    ]


async def test_a_reader_that_fails_does_not_stop_the_writer() -> None:
    """The fault of a reader is reported to the loop; the journal and the other readers go on."""
    notes, told = Notes(), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    async with scene(Notes(RuntimeError("plugin")), notes) as at:
        for _ in range(2):
            log = at.new()
            log.append(QUEUED)
            await log.durable()
    assert len(notes.seen) == 2
    assert [str(context["exception"]) for context in told] == ["plugin", "plugin"]


async def test_a_closed_log_forgets_its_timer() -> None:
    """After `close` no delta is flushed any more."""
    async with scene() as at:
        log = at.new()
        step = await _asking(at, log)
        say(log, step, "x")
        log.close()
        log.close()
        assert len(at.gate.commits) == 1

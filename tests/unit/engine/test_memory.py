"""Memory in runs: what they see, what they write, and that a replay does neither."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from runwright.core.agent import BuiltAgent, MemoryBlock
from runwright.core.context import Context
from runwright.core.event import MemoryWritten, RunStarted
from runwright.core.memory import Change, Commit, CommitFilter, Draft
from runwright.core.message import text_of
from runwright.core.ports import Batch, Writes
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.core.step import Effect
from runwright.errors import StorageError, ToolFailed
from runwright.journal.tape import read_tape
from runwright.service.views import RunView
from runwright.store import Stores
from runwright.testing import ScriptedModel, ScriptedTool, calls
from runwright.tools.memory import memory_tools
from tests.unit.engine.harness import HeldTool, Process, flowing, looping, started, until

pytestmark = pytest.mark.anyio

Act = Callable[[Context], Awaitable[object]]


class ActingTool(ScriptedTool):
    """A tool that does something with its context."""

    def __init__(self, act: Act, *, effect: Effect = "idempotent") -> None:
        super().__init__("act", lambda arguments: None, effect=effect)
        self._do = act

    async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
        """Do it."""
        self.entered.append(arguments)
        return msgspec.json.encode(await self._do(context))


async def held(stores: Stores, owner: str = "agent:agent") -> dict[str, Any]:
    """The blocks of an owner now."""
    entries = await asyncio.to_thread(lambda: stores.memory.blocks(owner, stores.memory.head(owner)))
    return {entry.name: msgspec.json.decode(entry.value or b"null") for entry in entries}


async def commits(stores: Stores, owner: str = "agent:agent") -> list[Commit]:
    """The commits of an owner, the oldest first."""
    return list(reversed(await asyncio.to_thread(stores.memory.commits, CommitFilter(owner=owner))))


async def write(process: Process, name: str, value: object, *, owner: str = "agent:agent") -> None:
    """Write a block that no run writes."""
    made = Change(name, "set", msgspec.json.encode(value))
    draft = Draft(owner=owner, changes=(made,), created_at=process.journal.now())
    await asyncio.to_thread(process.stores.memory.commit, draft)


async def replayed(process: Process, of: str, **how: Any) -> RunView:
    """A replay that is over or waits."""
    request = RunRequest(agent="", input=b"", replay=Replay(of=of, **how))
    return await (await process.runs.create(request)).wait()


async def digests(process: Process, run: str) -> list[str]:
    """The hashes of the steps of a run."""
    return [step.digest for step in read_tape(await process.story(run))]


async def visit(context: Context, input: object) -> object:
    """A flow that reads, counts, and notes who came."""
    memory = context.memory
    before = await memory.get("visits", 0)
    await memory.set("visits", before + 1)
    await memory.append("guests", str(input))
    await memory.set("gone", True)
    await memory.delete("gone")
    return [before, await memory.get("visits"), await memory.list(), await memory.thread.list()]


async def test_a_flow_reads_and_writes() -> None:
    """Each deed of a flow is a step, each write a commit of that step, and the next run sees them."""
    async with started(flowing(visit)) as process:
        first = await process.run("Ada")
        assert bytes(first.output) == b'[0,1,["guests","visits"],[]]', first.error
        second = await process.run("Bob")
        assert bytes(second.output) == b'[1,2,["guests","visits"],[]]', second.error
        assert await held(process.stores) == {"visits": 2, "guests": "Ada\nBob"}
        steps = await process.steps(first.id)
        assert {step.kind for step in steps} == {"memory"}
        assert [(step.name, step.effect) for step in steps] == [
            ("get", "read"),
            ("set", "idempotent"),
            ("append", "idempotent"),
            ("set", "idempotent"),
            ("delete", "idempotent"),
            ("get", "read"),
            ("list", "read"),
            ("list", "read"),
        ]
        found = [(commit.run_id, commit.step) for commit in await commits(process.stores)]
        assert found[:4] == [(first.id, step.seq) for step in steps[1:5]]


async def test_a_run_sees_memory_as_it_began() -> None:
    """What others write while a run is at work is not seen by it, and what it overwrites unseen is said."""
    # Of an effect, so that the start of the run is on disk when it is entered.
    tool = HeldTool("hold", effect="idempotent")

    async def flow(context: Context, input: object) -> object:
        await context.tool("hold")
        seen = [await context.memory.get("a"), await context.memory.get("a")]
        await context.memory.set("a", "mine")
        return [*seen, await context.memory.get("a")]

    async with started(flowing(flow, tool)) as process:
        await write(process, "a", "before")
        handle = await process.create()
        await tool.is_entered.wait()
        await write(process, "a", "meanwhile")
        tool.go.set()
        view = await handle.wait()
        assert bytes(view.output) == b'["before","before","mine"]'
        last = (await commits(process.stores))[-1]
        assert [(each.name, each.overwrote) for each in last.touched] == [("a", 2)]


async def test_two_runs_append_to_one_block() -> None:
    """What two runs at once add to a text all stands there afterwards."""
    both = asyncio.Barrier(2)

    async def meet(context: Context) -> object:
        return await both.wait() and None

    async def flow(context: Context, input: object) -> object:
        await context.memory.append("log", str(input))
        await context.tool("act")
        await context.memory.append("log", str(input))
        return await context.memory.get("log")

    async with started(flowing(flow, ActingTool(meet))) as process:
        handles = [await process.create(name) for name in ("Ada", "Bob")]
        views = [await handle.wait() for handle in handles]
        assert [bytes(view.output) for view in views] == [b'"Ada\\nAda"', b'"Bob\\nBob"']
        assert sorted((await held(process.stores))["log"].split("\n")) == ["Ada", "Ada", "Bob", "Bob"]


async def test_the_memory_of_a_thread() -> None:
    """A thread has memory of its own, whatever agent runs in it; a run without one has none to write."""

    async def flow(context: Context, input: object) -> object:
        await context.memory.thread.append("said", str(input))
        return await context.memory.thread.get("said")

    async with started(flowing(flow)) as process:
        for name in ("one", "two"):
            view = await process.run(name, thread_id="t1")
        assert bytes(view.output) == b'"one\\ntwo"', view.error
        assert await held(process.stores, "thread:t1") == {"said": "one\ntwo"}
        assert await held(process.stores) == {}
        alone = await process.run("three")
        assert alone.error is not None
        assert "belongs to no thread" in alone.error.message


async def test_what_does_not_fit_fails_the_step() -> None:
    """A block that is too large is not written, the flow may catch that, and the record says why."""

    async def flow(context: Context, input: object) -> object:
        try:
            await context.memory.set("a", "x" * 70_000)
        except ToolFailed as error:
            return error.message
        return None

    async with started(flowing(flow)) as process:
        view = await process.run()
        assert b"65,536 is the most" in bytes(view.output)
        assert [step.status for step in await process.steps(view.id)] == ["failed"]
        assert await held(process.stores) == {}


async def test_a_tool_writes_when_it_returns() -> None:
    """What a tool writes stands beside its result in one commit of the journal, tied to its step."""

    async def act(context: Context) -> object:
        await context.memory.set("a", 1)
        await context.memory.append("b", "x")
        return [await context.memory.get("a"), await context.memory.list()]

    async with started(looping(ActingTool(act)), model=ScriptedModel(calls(("act", {})), "done")) as process:
        view = await process.run()
        assert view.status == "completed"
        assert await held(process.stores) == {"a": 1, "b": "x"}
        step = (await process.steps(view.id))[1]
        assert bytes(step.result) == b'[1,["a","b"]]'
        assert [(commit.run_id, commit.step) for commit in await commits(process.stores)] == [(view.id, step.seq)] * 2
        types = await process.types(view.id)
        at = types.index("memory.written")
        assert types[at : at + 3] == ["memory.written", "memory.written", "step.completed"]


async def test_a_tool_that_raises_writes_nothing() -> None:
    """The writes of a tool that fails are dropped with its result."""

    async def act(context: Context) -> object:
        await context.memory.set("a", 1)
        raise KeyError("no")

    async with started(looping(ActingTool(act)), model=ScriptedModel(calls(("act", {})), "done")) as process:
        view = await process.run()
        assert view.status == "completed"
        assert await held(process.stores) == {}
        assert "memory.written" not in await process.types(view.id)


async def test_a_tool_that_only_reads_writes_nothing() -> None:
    """A tool whose effect is read may not write: a replay would do it again."""

    async def act(context: Context) -> object:
        await context.memory.set("a", 1)
        return None

    tool = ActingTool(act, effect="read")
    async with started(looping(tool), model=ScriptedModel(calls(("act", {})), "done")) as process:
        view = await process.run()
        step = (await process.steps(view.id))[1]
        assert step.error is not None
        assert "declare it as @tool(effect='idempotent')" in step.error.message


async def test_a_once_tool_of_unknown_outcome_writes_nothing_yet() -> None:
    """What a `once` tool wrote before it was lost sight of comes with its outcome, if that comes."""
    go = asyncio.Event()

    async def act(context: Context) -> object:
        await context.memory.set("a", 1)
        await go.wait()
        return None

    async def flow(context: Context, input: object) -> object:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await context.tool("act")

    async with started(flowing(flow, ActingTool(act, effect="once"))) as process:
        view = await process.run()
        assert (view.status, view.reason) == ("waiting", "unknown_effect")
        assert await held(process.stores) == {}
        go.set()
        await process.settled(view.id, "completed")
        assert await held(process.stores) == {"a": 1}


async def test_a_flow_is_replayed_though_memory_changed() -> None:
    """A strict replay gives the same steps and output, and writes nothing."""
    async with started(flowing(visit)) as process:
        first = await process.run("Ada")
        await write(process, "visits", 77)
        before = await commits(process.stores)
        again = await replayed(process, first.id)
        assert (again.status, bytes(again.output)) == ("completed", bytes(first.output)), again.error
        assert await digests(process, again.id) == await digests(process, first.id)
        assert await commits(process.stores) == before
        written = [event.data for event in await process.story(again.id) if isinstance(event.data, MemoryWritten)]
        assert len(written) == 4
        assert all(each.taped is not None for each in written)


async def test_a_replay_with_other_memory() -> None:
    """The result of a memory step can be another one in a replay."""

    async def flow(context: Context, input: object) -> object:
        return f"Hello {await context.memory.get('name')}"

    async with started(flowing(flow)) as process:
        await write(process, "name", "Ada")
        first = await process.run()
        (step,) = await process.steps(first.id)
        again = await replayed(process, first.id, results={step.seq: msgspec.Raw(b'"Bob"')})
        assert (bytes(first.output), bytes(again.output)) == (b'"Hello Ada"', b'"Hello Bob"')


async def test_a_fork_sees_memory_as_the_recorded_run_did() -> None:
    """What is live in a fork reads memory as of the recorded run with what that had written; it writes if named."""
    async with started(flowing(visit)) as process:
        await write(process, "visits", 10)
        first = await process.run("Ada")
        await write(process, "visits", 77)
        before = await commits(process.stores)
        steps = await process.steps(first.id)
        fork = await replayed(process, first.id, at=steps[5].seq)
        assert bytes(fork.output) == bytes(first.output) == b'[10,11,["guests","visits"],[]]', fork.error
        assert await commits(process.stores) == before
        named = ("memory:set", "memory:append", "memory:delete")
        live = await replayed(process, first.id, at=steps[1].seq, live=named)
        assert bytes(live.output) == bytes(first.output), live.error
        assert await held(process.stores) == {"visits": 11, "guests": "Ada\nAda"}
        (overwrote,) = [each.overwrote for each in (await commits(process.stores))[len(before)].touched]
        assert overwrote == before[-1].number


async def test_a_replay_of_a_replay_sees_the_same_memory() -> None:
    """Where memory is seen from is handed on."""

    async def flow(context: Context, input: object) -> object:
        return await context.memory.get("a")

    async with started(flowing(flow)) as process:
        first = await process.run()
        await write(process, "a", 1)
        again = await replayed(process, first.id)
        third = await replayed(process, again.id, live=("memory",))
        assert bytes(third.output) == b"null"
        begun = [event.data for event in await process.story(third.id) if isinstance(event.data, RunStarted)]
        assert [each.memory for each in begun] == [await asyncio.to_thread(process.stores.memory.began, first.id)]


NOTES = (
    MemoryBlock(name="profile", description="Who the user is."),
    MemoryBlock(name="todo", scope="thread", limit=20),
)


def remembering(**changes: Any) -> BuiltAgent:
    """A loop whose model is shown two blocks and may write them."""
    tools: Any = memory_tools(NOTES).values()
    return looping(*tools, memory=NOTES, instructions="Be brief.", **changes)


async def test_a_model_is_shown_its_memory() -> None:
    """Its blocks stand in the instructions as they were when the run began, and its tools write them."""
    model = ScriptedModel(
        calls(("memory_set", {"block": "profile", "text": "Ada"}), ("memory_append", {"block": "todo", "text": "tea"})),
        "Noted.",
        "Hello Ada.",
    )
    async with started(remembering(), model=model) as process:
        first = await process.run(thread_id="t1")
        assert bytes(first.output) == b'"Noted."', first.error
        assert await held(process.stores) == {"profile": "Ada"}
        assert await held(process.stores, "thread:t1") == {"todo": "tea"}
        await process.run(thread_id="t1")
        told = [text_of(request.messages[0].message) for request in model.requests]
        assert told[0] == told[1]
        assert told[0] == (
            "Be brief.\n\nYour memory, as it stood when this run began:\n<memory>\n"
            '<profile description="Who the user is." characters="0" limit="4000">\n\n</profile>\n'
            '<todo characters="0" limit="20">\n\n</todo>\n</memory>'
        )
        assert '<profile description="Who the user is." characters="3" limit="4000">\nAda\n</profile>' in told[2]
        assert '<todo characters="3" limit="20">\ntea\n</todo>' in told[2]
        said = [text_of(entry.message) for entry in model.requests[1].messages]
        assert said[-2:] == ["profile has 3 of 4000 characters now.", "todo has 3 of 20 characters now."]
        kinds = [step.kind for step in await process.steps(first.id)]
        assert kinds == ["memory", "model", "tool", "tool", "model"]


async def test_a_model_that_writes_too_much_is_told() -> None:
    """A text beyond the block's limit, or for no block, is refused with what would be right, and not written."""
    model = ScriptedModel(
        calls(("memory_set", {"block": "todo", "text": "x" * 21}), ("memory_set", {"block": "other", "text": "x"})),
        "Well.",
    )
    async with started(remembering(), model=model) as process:
        await process.run(thread_id="t1")
        said = [text_of(entry.message) for entry in model.requests[1].messages]
        assert said[-2:] == [
            "Error: todo would have 21 characters; 20 is the most: shorten it.",
            "Error: there is no block 'other'; there are: profile, todo",
        ]
        assert await held(process.stores, "thread:t1") == {}


async def test_a_loop_is_replayed_though_memory_changed() -> None:
    """The recalled blocks are a step: a strict replay repeats it, and another result shows in what is asked."""
    model = ScriptedModel(calls(("memory_set", {"block": "profile", "text": "Ada"})), "Noted.")
    async with started(remembering(), model=model) as process:
        first = await process.run(thread_id="t1")
        await write(process, "profile", "Eve")
        before = await commits(process.stores)
        again = await replayed(process, first.id)
        assert (again.status, bytes(again.output)) == ("completed", bytes(first.output)), again.error
        assert await digests(process, again.id) == await digests(process, first.id)
        assert await commits(process.stores) == before
        recall = (await process.steps(first.id))[0]
        edited = {recall.seq: msgspec.Raw(b'{"profile":"Bob"}')}
        other = await replayed(process, first.id, results=edited)
        assert other.error is not None
        assert other.error.code == "diverged"


async def test_memory_counts_no_step() -> None:
    """To recall memory is not among the steps that a run may take."""
    async with started(remembering(), model=ScriptedModel("Hello.")) as process:
        view = await process.run(config={}, thread_id="t1")
        assert view.status == "completed"


class Dying:
    """The Writes port of a process that dies around the commit of a write to memory."""

    def __init__(self, writes: Writes, moment: str) -> None:
        self._writes = writes
        self._moment = moment
        self.is_dead = False

    def append(self, batches: Sequence[Batch]) -> Sequence[Exception | None]:
        """Write, or die."""
        is_here = any(event.type == "memory.written" for batch in batches for event in batch.events)
        if self.is_dead or (is_here and self._moment == "before"):
            self.is_dead = True
            raise StorageError("the process is dead")
        outcome = self._writes.append(batches)
        if is_here:
            self.is_dead = True
            raise StorageError("the process is dead")
        return outcome

    def probe(self) -> None:
        """Nothing is written any more."""
        raise StorageError("the process is dead")


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_write_is_written_once_whenever_the_process_dies(stores: Stores, moment: str) -> None:
    """A process that dies before a write is on disk, or right after it, leaves one commit once the run went on."""

    async def flow(context: Context, input: object) -> object:
        await context.memory.append("log", "x")
        return await context.memory.get("log")

    dying = Dying(stores.writes, moment)
    async with started(flowing(flow), stores=msgspec.structs.replace(stores, writes=dying)) as process:
        handle = await process.create(mode="background")
        await until(lambda: dying.is_dead)
        assert len(await commits(stores)) == (0 if moment == "before" else 1)
        await process.crash()
    async with started(flowing(flow), stores=stores) as process:
        view = await process.settled(handle.run_id, "completed", "failed")
        assert bytes(view.output) == b'"x"', view.error
        assert [commit.number for commit in await commits(stores)] == [1]
        assert await held(stores) == {"log": "x"}

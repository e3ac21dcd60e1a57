"""An engine in few lines: scripted models and tools, a store that can be held, filled or lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from runwright.core.agent import BuiltAgent, CodeFlow, Definition, Limits, Loop, Tool
from runwright.core.budget import Asker
from runwright.core.clock import SystemClock
from runwright.core.context import Context
from runwright.core.event import Event, RunCompleted
from runwright.core.message import Message, UserMessage
from runwright.core.model import ModelEvent, ModelRequest, OutputSpec
from runwright.core.money import FREE, Cost
from runwright.core.ports import Batch, Clock, Model, Reader, Writes
from runwright.core.run import TERMINAL, RunRequest
from runwright.core.spending import Quantities
from runwright.core.step import Effect
from runwright.core.usage import Usage
from runwright.engine.drive import Rows
from runwright.engine.owner import Owner
from runwright.engine.worker import Claim, Engine, EngineOptions
from runwright.engine.world import World
from runwright.errors import NotFound, OutputInvalid, StorageError
from runwright.guard import Backoff, Guard, Guards, GuardSettings, LocalLedger, Registry, Retry, Surroundings
from runwright.journal.read import JournalReader
from runwright.journal.write import Journal
from runwright.service.edges import Edges
from runwright.service.runs import Handle, Runs
from runwright.service.views import RunView, StepView
from runwright.store import Stores, open_stores
from runwright.testing import FixedModels, NoSecrets, ScriptedModel, ScriptedTool, tools_raw
from runwright.tools.deeds import Deeds
from runwright.tools.http import HttpClient

PATIENCE_S = 10.0
IMPATIENT = GuardSettings(app=Guard(retry=Retry(backoff=Backoff(base_s=0.001))))
QUICK = EngineOptions(is_adopting=True, signal_poll_s=0.01, orphan_poll_s=0.02)
BESIDE = EngineOptions(signal_poll_s=0.01, orphan_poll_s=0.02)
"""A process that takes up no runs, as a command beside a server."""


def read_text(raw: bytes) -> tuple[Message, ...]:
    """The input of a loop: one text of the user."""
    return (UserMessage(content=msgspec.json.decode(raw, type=str)),)


def looping(*tools: ScriptedTool, name: str = "agent", fingerprint: str = "f1", **changes: Any) -> BuiltAgent:
    """An agent that is a loop; `changes` are fields of its Loop."""
    fields: dict[str, Any] = {
        "model": None,
        "tools": {tool.spec.name: tool for tool in tools},
        "tools_raw": tools_raw(tools) if tools else b"",
        "read_input": read_text,
    }
    return _built(name, fingerprint, Loop(**(fields | changes)))


def flowing(
    function: Callable[[Context, Any], Awaitable[object]],
    *tools: Tool,
    name: str = "agent",
    fingerprint: str = "f1",
    limits: Limits | None = None,
) -> BuiltAgent:
    """An agent that is a code flow."""
    flow = CodeFlow(
        function=function,
        tools={tool.spec.name: tool for tool in tools},
        limits=limits or Limits(),
        read_input=msgspec.json.decode,
        write_output=msgspec.json.encode,
    )
    return _built(name, fingerprint, flow)


def _built(name: str, fingerprint: str, flow: Loop | CodeFlow) -> BuiltAgent:
    return BuiltAgent(
        definition=Definition(name=name), fingerprint=fingerprint, flow=flow, input_schema={}, output_schema={}
    )


def _price(ref: str, used: Usage | Quantities) -> Cost:
    """Models are free; what tools spend costs a nano-USD a unit."""
    return FREE if isinstance(used, Usage) else Cost(nano_usd=int(sum(used.values())), source="test")


class Directory:
    """The engine's way to agents, over those given: the last of a name is current, those before are old versions."""

    def __init__(self, *agents: BuiltAgent) -> None:
        self.agents = {agent.name: agent for agent in agents}
        self._versions = {(agent.name, agent.version): agent for agent in agents}

    def get(self, name: str, version: str | None = None, *, config: Mapping[str, object] | None = None) -> BuiltAgent:
        """An agent by name and version."""
        agent = self.agents.get(name)
        if agent is not None and version not in {None, agent.version}:
            agent = self._versions.get((name, version or ""))
        if agent is None:
            raise NotFound(f"There is no agent {name!r} {version or ''}.")
        return agent


class HeldTool(ScriptedTool):
    """A tool that says when it was entered and does nothing before it is released."""

    def __init__(self, name: str, result: object = "done", *, effect: Effect = "read") -> None:
        super().__init__(name, lambda arguments: result, effect=effect)
        self.is_entered = asyncio.Event()
        self.go = asyncio.Event()

    async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
        """Wait, then act."""
        self.is_entered.set()
        await self.go.wait()
        return await super().call(arguments, context)


class HeldModel(ScriptedModel):
    """A scripted model that answers nothing before it is released."""

    def __init__(self, *answers: Any, ref: str = "test:scripted") -> None:
        super().__init__(*answers, ref=ref)
        self.is_entered = asyncio.Event()
        self.go = asyncio.Event()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent]:
        """Wait, then answer."""
        self.is_entered.set()
        await self.go.wait()
        async for event in super().stream(request):
            yield event


class Number:
    """An output check: the answer is a number."""

    spec = OutputSpec(name="number", schema={"type": "integer"})

    def check(self, text: str) -> bytes:
        """The number."""
        if not text.isdigit():
            raise OutputInvalid(f"{text!r} is no number")
        return text.encode()


class Gate:
    """The Writes port before another one: lets batches through, holds them, or fails."""

    def __init__(self, writes: Writes) -> None:
        self._writes = writes
        self._is_open = threading.Event()
        self._is_open.set()
        self._failure: Exception | None = None
        self._is_dead = False
        self.commits: list[list[Batch]] = []

    def append(self, batches: Sequence[Batch]) -> Sequence[Exception | None]:
        """Write when that is allowed."""
        assert self._is_open.wait(PATIENCE_S)
        self._check()
        outcome = self._writes.append(batches)
        self.commits.append(list(batches))
        return outcome

    def probe(self) -> None:
        """Try to write."""
        self._check()
        self._writes.probe()

    @contextmanager
    def held(self) -> Generator[None]:
        """Nothing is committed inside."""
        self._is_open.clear()
        try:
            yield
        finally:
            self._is_open.set()

    def fail(self, error: Exception | None) -> None:
        """Raise this from now on; None heals."""
        self._failure = error

    def die(self) -> None:
        """Write nothing any more: the process is dead."""
        self._is_dead = True
        self._is_open.set()

    def _check(self) -> None:
        if self._is_dead:
            raise StorageError("the process is dead")
        if self._failure is not None:
            raise self._failure


class Process:
    """One process: its journal, its engine, and the service over it."""

    def __init__(self, stores: Stores, *, agents: Directory, owner: Owner, parts: Parts) -> None:
        self.stores = stores
        self.agents = agents
        self.owner = owner
        self.gate = Gate(stores.writes)
        self.reader = JournalReader(stores.runs, stores.blobs)
        self._http = HttpClient()
        self.journal = Journal(self.gate, clock=parts.clock, readers=parts.readers)
        rows = Rows(
            runs=stores.runs,
            threads=stores.threads,
            signals=stores.signals,
            schedules=stores.schedules,
            firings=stores.firings,
            reader=self.reader,
        )
        asker = Asker(boot=owner.boot, since=parts.clock.now())
        self.ledger = LocalLedger(partial(asyncio.to_thread, stores.budgets.booked, asker=asker))
        world = World(
            models=FixedModels(*parts.models),
            secrets=NoSecrets(),
            guards=parts.guards
            or Guards(
                Surroundings(registry=Registry(), ledger=self.ledger, clock=parts.clock), parts.policies or IMPATIENT
            ),
            price=_price,
            state={"greeting": "hello"},
            room=self.journal.room,
            memory=stores.memory,
            deeds=Deeds(self._http),
        )
        self.engine = Engine(
            rows=rows,
            journal=self.journal,
            world=world,
            agents=agents,
            owner=owner,
            clock=parts.clock,
            options=parts.options,
        )
        self.runs = Runs(
            self.engine,
            stores.runs,
            self.reader,
            stories=stores.stories,
            edges=Edges(stores.stories, stores.blobs, self.reader),
        )
        self.is_dead = False

    async def open(self) -> None:
        """Start."""
        await asyncio.to_thread(self.owner.acquire)
        self.journal.start()
        await self.engine.start()

    async def close(self, *, drain_s: float = 0.0) -> None:
        """Stop in good order."""
        if self.is_dead:
            return
        self.is_dead = True
        await self.engine.stop(drain_s=drain_s)
        await self._http.close()
        await self.journal.stop()
        await asyncio.to_thread(self.owner.release)

    async def crash(self) -> None:
        """End without writing anything more, as a killed process does."""
        self.gate.die()
        await self.close()

    async def create(
        self, input: object = "hi", *, agent: str = "agent", claim: Claim | None = None, **of: Any
    ) -> Handle:
        """A new run; `of` are fields of the request."""
        request = RunRequest(agent=agent, input=msgspec.json.encode(input), **of)
        return await self.runs.create(request, claim=claim)

    async def run(self, input: object = "hi", **of: Any) -> RunView:
        """A run that is over, or waits."""
        view = await (await self.create(input, **of)).wait()
        await self._check(view)
        return view

    async def settled(self, run_id: str, *statuses: str) -> RunView:
        """The run when it has one of these statuses."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                view = await self.runs.get(run_id)
                if view.status in statuses:
                    await self._check(view)
                    return view
                await asyncio.sleep(0.005)

    async def _check(self, view: RunView) -> None:
        """What holds for every run that is over: no step is open, no effect unknown, its output the recorded one."""
        steps = {step.seq: step.status for step in await self.steps(view.id)}
        if view.status in TERMINAL:
            assert "running" not in steps.values(), f"{view.id} is {view.status} with an open step"
        if view.status == "completed":
            assert "unknown" not in steps.values(), f"{view.id} hides an unknown effect"
            ends = [event.data for event in await self.story(view.id) if isinstance(event.data, RunCompleted)]
            assert [bytes(end.output) for end in ends] == [bytes((await self.runs.get(view.id)).output)]

    async def story(self, run_id: str) -> list[Event]:
        """The stored events of a run."""
        return await asyncio.to_thread(lambda: list(self.reader.events(run_id)))

    async def types(self, run_id: str) -> list[str]:
        """The types of the stored events of a run."""
        return [event.type for event in await self.story(run_id)]

    async def steps(self, run_id: str) -> Sequence[StepView]:
        """The steps of a run."""
        return (await self.runs.steps(run_id)).data


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is made of."""

    models: tuple[Model, ...]
    options: EngineOptions
    readers: tuple[Reader, ...] = ()
    clock: Clock
    guards: Guards | None = None
    policies: GuardSettings | None = None


@asynccontextmanager
async def started(
    *agents: BuiltAgent,
    model: Model | None = None,
    others: tuple[Model, ...] = (),
    stores: Stores | None = None,
    boots: Path | None = None,
    owner: Owner | None = None,
    options: EngineOptions = QUICK,
    readers: tuple[Reader, ...] = (),
    clock: Clock | None = None,
    guards: Guards | None = None,
    policies: GuardSettings | None = None,
) -> AsyncGenerator[Process]:
    """A running process, by default over a store in memory of its own; `boots` is where owners keep their locks."""
    own = None if stores is not None else await asyncio.to_thread(open_stores, ":memory:")
    held = stores or own
    assert held is not None
    parts = Parts(
        models=(model or ScriptedModel("done"), *others),
        options=options,
        readers=readers,
        clock=clock or SystemClock(),
        guards=guards,
        policies=policies,
    )
    process = Process(held, agents=Directory(*agents), owner=owner or Owner(boots), parts=parts)
    await process.open()
    try:
        yield process
    finally:
        process.gate.fail(None)
        await process.close()
        if own is not None:
            await asyncio.to_thread(own.close)


async def until(holds: Callable[[], bool]) -> None:
    """Let others work until something holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what is waited for happens on other threads and in the store too
            await asyncio.sleep(0.002)


def is_looking(process: Process, run: str) -> bool:
    """Whether a live run looks before its next step whether it is paused."""
    live = process.engine.live(run)
    return live is not None and live.brake.is_touched


async def watched(process: Process, run_id: str, *, after: int = 0, go: asyncio.Event | None = None) -> list[Event]:
    """All events that a watcher gets until the terminal one; `go` is set once it watches."""
    found: list[Event] = []
    async with asyncio.timeout(PATIENCE_S):
        async for group in process.runs.events(run_id, after=after):
            found.extend(group)
            if go is not None:
                go.set()
    return found

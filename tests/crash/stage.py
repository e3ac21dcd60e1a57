"""One run on a server that is killed and started again, and everything that has to be true afterwards."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.crash.harness import (
    DELTAS,
    ONCE,
    OUTPUT,
    READ,
    RESULTS,
    TERMINAL,
    WAIT_S,
    Body,
    Ended,
    Frame,
    Record,
    ScriptedProvider,
    Server,
    Trap,
    Witness,
    frames,
)

RESUME_S = 2.0
"""How long a run may stand still after the restarted server is ready."""

WORDS = "go"
ENDED_WELL = {"run.completed"}


Resolve = Callable[[Body], Awaitable[None]]
"""Says what became of a step of unknown outcome."""


@dataclass
class Kill:
    """What was known when a process died: its database, and what had happened in the world."""

    point: str
    record: Record
    entered: Counter[str]
    asked: Counter[int]
    granted: Counter[str]

    def repeated(self, run: str, entered: Counter[str], asked: Counter[int]) -> Iterator[str]:
        """What was finished at this kill and was done again until now, or was done before its intent was durable."""
        steps = self.record.steps_of(run)
        tools = {step["name"]: step["status"] for step in steps if step["kind"] == "tool"}
        models = [step["status"] for step in steps if step["kind"] == "model"]
        for name, status in tools.items():
            if status == "completed" and entered[name] != self.entered[name]:
                yield f"{name} was finished and was entered again"
        for place, status in enumerate(models):
            if status == "completed" and asked[place] != self.asked[place]:
                yield f"model call {place} was finished and was asked again"
        for name in self.entered.keys() - tools.keys() - READ:
            yield f"{name} was entered before its intent was durable"


@dataclass
class Stage:
    """A data directory, its server, and a client that notes what it sees over all its connections.

    `unstored` counts the times that a step in flight could not be recorded, so that it is done again.
    """

    folder: Path
    provider: ScriptedProvider
    client: aiohttp.ClientSession
    kills: list[Kill] = field(default_factory=list[Kill])
    seen: list[Frame] = field(default_factory=list[Frame])
    unstored: int = 0
    granted: Counter[str] = field(default_factory=Counter[str])
    told: set[str] = field(default_factory=set[str])
    errors: list[str] = field(default_factory=list[str])
    waited: int = 0
    run: str = ""
    agent: str = "loop"
    resume_s: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        self.witness = Witness(self.folder / "witness")
        self.server = Server(self.data, self.witness, self.provider, log=self.folder / "log")

    @classmethod
    @asynccontextmanager
    async def opened(cls, folder: Path) -> AsyncGenerator[Self]:
        """An empty stage; its server is killed at the end."""
        async with (
            ScriptedProvider.started() as provider,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client,
        ):
            stage = cls(folder, provider, client)
            try:
                yield stage
            finally:
                await stage.stop()

    async def stop(self) -> None:
        """Kill the server, if one runs."""
        if self.server.is_running:
            self.server.kill()
            await self.server.ended()

    # What happens.

    async def start(self, at: str = "", **settings: str) -> None:
        """Start the server; it dies at that point. Raises Ended when it dies before it is ready."""
        inside = self._arm(at)
        await self.server.launch(at=inside, settings=settings)
        await self.server.ready(self.client)

    def _arm(self, point: str) -> str:
        """Points inside model calls are the provider's; all others are the server process's own."""
        moment, _, place = point.partition(" ")
        if moment not in {"received", "half"}:
            return point
        self.provider.traps[int(place), moment] = self.sends(signal.SIGKILL)
        return ""

    def sends(self, number: signal.Signals) -> Trap:
        """A trap that sends the server a signal."""

        async def trap() -> None:
            self.server.kill(number)

        return trap

    async def begin(self, headers: Mapping[str, str] | None = None, **fields: object) -> None:
        """Start the run and watch it until it ends or the connection breaks."""
        url = f"{self.server.url}/api/v1/agents/{self.agent}/runs"
        body = {"input": WORDS, "mode": "stream", **fields}
        with suppress(aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            async with self.client.post(url, json=body, headers=headers) as answer:
                answer.raise_for_status()
                self.run = answer.headers["x-run-id"]
                async for frame in frames(answer, self.errors):
                    self.seen.append(frame)

    async def died(self, point: str) -> None:
        """Wait for the death of the server, and note what it left behind."""
        await self.server.ended()
        record = Record.of(self.data, self.folder / f"record-{len(self.kills)}")
        assert record.integrity == "ok", f"{point}: the database is damaged: {record.integrity}"
        if not self.run and record.runs:
            self.run = record.runs[0]["id"]
        self.kills.append(Kill(point, record, self.witness.entered(), self.asked(), Counter(self.granted)))

    async def killed_at(self, point: str, **fields: Any) -> None:
        """Start a server and a run in it, and see it die at a point."""
        await self.start(point)
        await self.begin(**fields)
        await self.died(point)

    async def killed_again_at(self, point: str) -> None:
        """Start the server on what is left, and see it die again."""
        try:
            await self.start(point)
            await self.watch()
        except Ended:
            pass
        await self.died(point)

    async def watch(self, resolve: Resolve | None = None) -> None:
        """Attach after the last event that was seen, and watch until the end or until the connection breaks.

        When the run waits for a step of unknown outcome, `resolve` says what became of it.
        """
        last = self.seen[-1].seq if self.seen else 0
        url = f"{self.server.url}/api/v1/runs/{self.run}/events"
        with suppress(aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            async with asyncio.timeout(WAIT_S), self.client.get(url, headers={"Last-Event-ID": str(last)}) as answer:
                answer.raise_for_status()
                await self._follow(answer, resolve or self.by_witness)

    async def _follow(self, answer: aiohttp.ClientResponse, resolve: Resolve) -> None:
        if self.seen and self.seen[-1].type == "run.waiting":
            # What was said about it before the kill may be lost.
            await self._waits(self.seen[-1], resolve)
        async for frame in frames(answer):
            self.seen.append(frame)
            if frame.type == "run.waiting":
                self.waited += 1
                await self._waits(frame, resolve)

    async def _waits(self, frame: Frame, resolve: Resolve) -> None:
        """Resolve what the run waits for, unless this event tells of its past."""
        view = await self.get(f"runs/{self.run}")
        if view["status"] == "waiting" and view["last_seq"] == frame.seq:
            for step in await self.unknown():
                await resolve(step)

    async def unknown(self) -> list[Body]:
        """The steps of unknown outcome."""
        page = await self.get(f"runs/{self.run}/steps")
        return [step for step in page["data"] if step["status"] == "unknown"]

    async def by_witness(self, step: Body) -> None:
        """Resolve as somebody does who looked: done if the witness saw the end, else retry."""
        if self.witness.done()[step["name"]]:
            await self.say(step, action="done", result=RESULTS[step["name"]])
        else:
            await self.say(step, action="retry")

    async def say(self, step: Body, **resolution: object) -> None:
        """Resolve a step over the API."""
        if resolution["action"] == "retry":
            self.granted[step["name"]] += 1
        if resolution["action"] == "done":
            self.told.add(step["name"])
        url = f"{self.server.url}/api/v1/runs/{self.run}/resolve"
        async with self.client.post(url, json={"step": step["seq"], "by": "test", **resolution}) as answer:
            assert answer.status == 200, await answer.text()

    async def goes_on(self, resolve: Resolve | None = None) -> None:
        """Start the server on what is left, and watch the run to its end."""
        before = len(self.seen)
        await self.start()
        if not self.run:
            return
        await self.watch(resolve)
        self.resumed(before)

    def resumed(self, before: int) -> None:
        """Note how long the run stood still; so many events were seen before."""
        fresh = [frame.at for frame in self.seen[before:] if frame.at >= self.server.started_at]
        if fresh:
            self.resume_s.append((fresh[0] - self.server.started_at, max(0.0, fresh[0] - self.server.ready_at)))

    async def get(self, path: str) -> Body:
        """A JSON answer of the native API."""
        async with self.client.get(f"{self.server.url}/api/v1/{path}") as answer:
            assert answer.status == 200, f"{path}: {answer.status} {await answer.text()}"
            return await answer.json()

    async def post(self, path: str, body: Body) -> Body:
        """The answer to a request that starts something."""
        async with self.client.post(f"{self.server.url}/api/v1/{path}", json=body) as answer:
            assert answer.status in {200, 201, 202}, f"{path}: {answer.status} {await answer.text()}"
            return await answer.json()

    async def refused(self, path: str, body: Body) -> tuple[int, Body]:
        """Status and problem of a request that is refused."""
        async with self.client.post(f"{self.server.url}/api/v1/{path}", json=body) as answer:
            return answer.status, await answer.json(content_type=None)

    async def settled(self, run: str) -> Body:
        """A run when it is over."""
        async with (
            asyncio.timeout(WAIT_S),
            self.client.get(f"{self.server.url}/api/v1/runs/{run}/events") as answer,
        ):
            async for _ in frames(answer):
                continue
        return await self.get(f"runs/{run}")

    @staticmethod
    async def until(holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(WAIT_S):
            while not holds():  # noqa: ASYNC110 - many streams have no event in common
                await asyncio.sleep(0.02)

    async def story(self) -> list[Frame]:
        """The events of the run from the first on, as a late reader gets them."""
        async with asyncio.timeout(WAIT_S):
            async with self.client.get(f"{self.server.url}/api/v1/runs/{self.run}/events") as answer:
                return [frame async for frame in frames(answer)]

    def commits(self) -> list[str]:
        """The events that were committed together, from the times they have in common."""
        together: dict[str, list[str]] = {}
        for frame in self.seen:
            if frame.type not in DELTAS:
                together.setdefault(frame.data["ts"], []).append(frame.type)
        return [" ".join(types) for types in together.values()]

    def asked(self) -> Counter[int]:
        """How often the model was asked for each of its answers, counted from 0."""
        asked: Counter[int] = Counter()
        for (words, place), count in self.provider.calls.items():
            asked[1 if words.startswith("say ") else place] += count
        return asked

    # What has to be true.

    async def check(self, *, ends: str = "run.completed") -> None:
        """Everything at once; the message names the kill points and whatever is not as it should be."""
        points = ", then ".join(kill.point for kill in self.kills) or "undisturbed"
        if not self.run:
            deeds = [*self.witness.deeds(), *self.provider.calls]
            assert not deeds, f"killed {points}: there is no run, but {deeds}"
            return
        story = await self.story()
        page = await self.get(f"runs/{self.run}/steps?limit=500")
        view = await self.get(f"runs/{self.run}")
        await self.stop()
        last = Record.of(self.data, self.folder / "record-last")
        found = [
            *self._story_problems(story, ends),
            *self._seen_problems(story),
            *step_problems(story, page["data"]),
            *self._work_problems(),
            *self._pace_problems(),
        ]
        if last.integrity != "ok":
            found.append(f"the database is damaged: {last.integrity}")
        if last.deltas:
            found.append(f"rows of deltas are left over: {[(row['step'], row['seq']) for row in last.deltas]}")
        if last.orphans:
            found.append(f"{last.orphans} blobs are left over that nothing refers to")
        if ends in ENDED_WELL and view["output"] != OUTPUT:
            found.append(f"the output is {view['output']!r}")
        assert not found, f"killed {points}: " + "; ".join(found) + "\n" + told(story)

    def _story_problems(self, story: list[Frame], ends: str) -> Iterator[str]:
        numbers = [frame.seq for frame in story]
        if any(later <= earlier for earlier, later in pairwise(numbers)):
            yield f"the numbers do not rise: {numbers}"
        terminal = [frame.type for frame in story if frame.type in TERMINAL]
        if terminal != [ends] or story[-1].type != ends:
            yield f"the story ends with {terminal}, not once with {ends}"
        stale = [frame.seq for frame in story if frame.type in DELTAS]
        if stale:
            yield f"deltas of finished steps are still told: {stale}"

    def _seen_problems(self, story: list[Frame]) -> Iterator[str]:
        """What a client saw over its connections is the story, each event once, and nothing else but deltas."""
        numbers = [frame.seq for frame in self.seen]
        if any(later <= earlier for earlier, later in pairwise(numbers)):
            yield f"the client saw numbers that do not rise: {numbers}"
        true = {frame.seq: frame for frame in story}
        for frame in self.seen:
            if frame.seq in true and true[frame.seq] != frame:
                yield f"number {frame.seq} was {frame} and is {true[frame.seq]}"
            if frame.seq not in true and frame.type not in DELTAS:
                yield f"{frame.type} {frame.seq} was seen and is gone"
        missed = true.keys() - set(numbers)
        if missed:
            yield f"the client missed {sorted(missed)}"

    def _work_problems(self) -> Iterator[str]:
        """No finished step ran again, and nothing of effect `once` was sent twice unless a person said so."""
        entered, asked = self.witness.entered(), self.asked()
        for kill in self.kills:
            yield from kill.repeated(self.run, entered, asked)
        for name, count in entered.items():
            allowed = 1 + (self.granted[name] if name in ONCE else len(self.kills) + self.unstored)
            if count > allowed:
                yield f"{name} was entered {count} times, {allowed} allowed"
            keys = {deed.key for deed in self.witness.deeds() if deed.tool == name}
            if len(keys) != 1:
                yield f"{name} had the keys {sorted(keys)}"
        for place, count in asked.items():
            if count > 1 + len(self.kills) + self.unstored:
                yield f"model call {place} was asked {count} times"

    def _pace_problems(self) -> Iterator[str]:
        """The run went on in time, and waited if and only if it had to."""
        if not self.kills:
            return
        record = self.kills[-1].record
        run = record.run(self.run)
        if run is not None and run["status"] in {"queued", "running"}:
            if not self.resume_s:
                yield "the run did not go on"
            elif self.resume_s[-1][1] > RESUME_S:
                yield f"the run went on {self.resume_s[-1][1]:.2f} s after the server was ready"
        left = (step for kill in self.kills for step in kill.record.steps_of(self.run, "running", "unknown"))
        lost = [step["name"] for step in left if step["effect"] == "once"]
        if bool(lost) != bool(self.waited):
            yield f"the outcome of {lost or 'nothing'} was unknown, and the run waited {self.waited} times"


def step_problems(story: list[Frame], steps: list[Body]) -> Iterator[str]:
    """Where the rows of steps differ from what the events tell."""
    derived = dict(_derived(story))
    rows = {step["seq"]: (step["status"], step["attempt"]) for step in steps}
    if derived != rows:
        yield f"the steps are {rows}, the events tell {derived}"


def _derived(story: list[Frame]) -> Mapping[int, tuple[str, int]]:
    found: dict[int, tuple[str, int]] = {}
    for frame in story:
        step: int | None = frame.data.get("step_id")
        match frame.type:
            case "step.started":
                found[frame.seq] = ("running", 1)
            case "step.restarted" if step is not None:
                found[step] = ("running", frame.data["attempt"])
            case "step.completed" if step is not None:
                found[step] = ("completed", found[step][1])
            case "step.failed" if step is not None:
                found[step] = ("unknown" if frame.data.get("is_unknown") else "failed", found[step][1])
            case "step.resolved" if step is not None and frame.data["action"] == "fail":
                found[step] = ("failed", found[step][1])
            case _:
                continue
    return found


def told(story: list[Frame]) -> str:
    """The story in lines, for messages."""
    return "\n".join(
        f"{frame.seq} {frame.type} {frame.data.get('step_id')} {frame.data.get('name', '')}" for frame in story
    )

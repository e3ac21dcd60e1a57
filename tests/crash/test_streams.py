"""Many streams on many runs, whose server is killed under them."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.crash.harness import DELTAS, TERMINAL, TEST_S, Body, Frame, frames
from tests.crash.stage import Stage

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]

RUNS = 50
STREAMS = 500


class Reader:
    """One stream, attached again after its last event as often as it breaks."""

    def __init__(self, stage: Stage, run: str) -> None:
        self._stage = stage
        self.run = run
        self.seen: list[Frame] = []

    @property
    def is_done(self) -> bool:
        """Whether it has seen the end."""
        return bool(self.seen) and self.seen[-1].type in TERMINAL

    async def read(self) -> None:
        """Read until the end, or until the connection breaks."""
        url = f"{self._stage.server.url}/api/v1/runs/{self.run}/events"
        last = {"Last-Event-ID": str(self.seen[-1].seq)} if self.seen else {}
        try:
            async with self._stage.client.get(url, headers=last) as answer:
                async for frame in frames(answer):
                    self.seen.append(frame)
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            return

    def problem(self, story: list[Frame]) -> str:
        """What this stream lost or repeated, compared with the story that is on record."""
        numbers = [frame.seq for frame in self.seen]
        if numbers != sorted(set(numbers)):
            return f"{self.run}: the numbers do not rise: {numbers}"
        lasting = [frame for frame in self.seen if frame.type not in DELTAS]
        return "" if lasting == story else f"{self.run}: {[f[:2] for f in lasting]} is not {[f[:2] for f in story]}"


async def _resolve_all(stage: Stage) -> None:
    """Say of every step that nobody knows of what the witness saw."""
    waiting: Body = await stage.get("runs?status=waiting&limit=500")
    for run in waiting["data"]:
        stage.run = run["id"]
        done = {deed.tool for deed in stage.witness.deeds(stage.run) if deed.moment == "done"}
        for step in await stage.unknown():
            await stage.say(step, action="done", result=f"{step['name']} {step['name'] in done}")


async def test_streams_outlive_a_kill(stage: Stage) -> None:
    """500 streams on 50 runs, cut off by a kill and attached again, lose and repeat nothing that lasts."""
    stage.provider.pause_s = 0.05
    await stage.start()
    started = [await stage.post("agents/loop/runs", {"input": f"go {n}", "mode": "background"}) for n in range(RUNS)]
    readers = [Reader(stage, started[n % RUNS]["id"]) for n in range(STREAMS)]
    async with asyncio.TaskGroup() as group:
        reading = [group.create_task(reader.read()) for reader in readers]
        await stage.until(lambda: all(reader.seen for reader in readers))
        await asyncio.sleep(0.5)
        stage.server.kill()
    assert all(task.done() for task in reading)
    await stage.died("500 streams")
    assert not all(reader.is_done for reader in readers), "the server was killed too late"
    await stage.start()
    async with asyncio.TaskGroup() as group:
        for reader in readers:
            group.create_task(reader.read())
        for _ in range(4):
            await asyncio.sleep(0.5)
            await _resolve_all(stage)
        await stage.until(lambda: all(reader.is_done for reader in readers))
    stories: dict[str, list[Frame]] = {}
    for run in started:
        stage.run = run["id"]
        stories[stage.run] = await stage.story()
    problems = [problem for reader in readers if (problem := reader.problem(stories[reader.run]))]
    assert not problems, "\n".join(problems[:3])
    entered = [(stage.witness.entered(run), run) for run in stories]
    twice = [(count, run) for count, run in entered if max(count["charge"], count["notify"]) > 1]
    assert not twice, f"sent twice: {twice}"

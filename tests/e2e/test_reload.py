"""`runwright dev` while its files are edited and runs are at work."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from itertools import cycle
from pathlib import Path

import httpx2
import pytest

from tests.e2e.serving import Server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

EDITS = 200
RUNS = 2000
CLIENTS = 16
BROKEN_EVERY = 8
SEEN_EVERY = 5

GOOD = '''
from runwright import Agent, tool

EDITION = {number}


@tool(effect="read")
async def edition(day: str) -> str:
    """Say the edition of a day."""
    return f"edition {{EDITION}}."


reader = Agent("reader", model="demo", instructions=f"This is edition {{EDITION}}.", tools=[edition])
'''
BROKEN = cycle(
    [
        "from runwright import Agent\nreader = Agent('reader'\n",
        "from runwright import Agent\nreader = Agent('reader', model=nothing)\n",
        "from runwright import Agent\nreader = Agent('reader', limits={'steps': 0})\n",
        "from runwright import Agent\none = Agent('reader')\ntwo = Agent('reader')\n",
        "raise SystemExit(1)\n",
    ]
)
REFUSED = "changed and cannot be used, so the last good version serves on."


@contextmanager
def developing(folder: Path) -> Generator[Server]:
    """A `runwright dev` that is ready, stopped at the end."""
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "runwright", "dev", "agents", "--port", "0", "--data", "data", "--json"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "RUNWRIGHT_MODEL": "demo"},
            cwd=folder,
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (folder / "log").read_text()
        server = Server(process, json.loads(line)["url"])
        yield server
        assert server.stop() == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Session:
    """Somebody who edits, and callers meanwhile."""

    def __init__(self, folder: Path, url: str) -> None:
        self.file = folder / "agents" / "reader.py"
        self.log = folder / "log"
        self.outputs: dict[str, str] = {}
        self.took: list[float] = []
        self.is_edited = False
        self._client = httpx2.AsyncClient(base_url=url, timeout=60)
        self._moved = asyncio.Condition()

    async def work(self) -> None:
        """Edit and call until both are done."""
        async with self._client, asyncio.TaskGroup() as group:
            group.create_task(self._edit())
            for _ in range(CLIENTS):
                group.create_task(self._call())

    def _save(self, text: str) -> None:
        """As editors do: one that empties the file first shows a moment without agents."""
        beside = self.file.with_suffix(".saved")
        beside.write_text(text)
        beside.replace(self.file)

    async def _edit(self) -> None:
        for number in range(1, EDITS + 1):
            if number % BROKEN_EVERY == 0:
                refused = self.refused()
                self._save(next(BROKEN))
                await self._until(lambda known=refused: self.refused() > known)
            else:
                self._save(GOOD.format(number=number))
                if number % SEEN_EVERY == 0:
                    await self._seen(number)
            await self._until(lambda least=number * RUNS // EDITS // 2: len(self.outputs) >= least)
        self.is_edited = True

    async def _seen(self, number: int) -> None:
        began = time.perf_counter()
        wanted = f"This is edition {number}."
        while (await self._client.get("/api/v1/agents/reader")).json()["definition"]["instructions"] != wanted:
            pass
        self.took.append(time.perf_counter() - began)

    async def _call(self) -> None:
        while not self.is_edited or len(self.outputs) < RUNS:
            answer = await self._client.post("/api/v1/agents/reader/runs", json={"input": "The edition of a day?"})
            view = answer.json()
            assert (answer.status_code, view.get("status")) == (200, "completed"), view
            async with self._moved:
                self.outputs[view["id"]] = view["output"]
                self._moved.notify_all()

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with self._moved:
            await self._moved.wait_for(holds)

    def refused(self) -> int:
        """How many edits were told to be unusable."""
        return self.log.read_text().count(REFUSED)


def fingerprints(folder: Path) -> dict[str, str]:
    """The fingerprint of every run."""
    with closing(sqlite3.connect(folder / "data" / "runwright.db")) as database:
        return dict(database.execute("SELECT id, fingerprint FROM runs"))


def test_edits_under_load(tmp_path: Path) -> None:
    """Of 200 edits during 2,000 runs, some of them broken, no run fails and each has one version of everything."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "reader.py").write_text(GOOD.format(number=0))
    with developing(tmp_path) as server:
        session = Session(tmp_path, server.url)
        asyncio.run(session.work())
    known = fingerprints(tmp_path)
    assert len(known) == len(session.outputs) >= RUNS
    # The tool tells the code's edition, the fingerprint that of the definition: they belong together in every run.
    pairs = {(known[run], output) for run, output in session.outputs.items()}
    assert len(pairs) == len({print for print, _ in pairs}) == len({output for _, output in pairs})
    assert len(pairs) > EDITS // SEEN_EVERY // 2
    assert session.refused() >= EDITS // BROKEN_EVERY
    took = sorted(session.took)
    told = f"live after {took[len(took) // 2] * 1000:.0f} ms (median), {took[-1] * 1000:.0f} ms (most)"
    print(f"{told}, {len(pairs)} editions")  # noqa: T201 - what it took is measured, not asserted

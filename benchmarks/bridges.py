"""What Runwright adds to agents of other frameworks: CPU of a run, against the same agent in plain FastAPI.

    python benchmarks/bridges.py            two minutes
    python benchmarks/bridges.py --write    put the table into benchmarks/RESULTS.md

The agents ask a model that answers at once, call a tool and ask again; each run is recorded by Runwright and by
nobody else. Rounds of both take turns, so that a slow moment of the machine meets both. The status is 1 where a goal
is missed.
"""

import argparse
import asyncio
import os
import socket
import statistics
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
from harness import machine, process, report
from harness.targets import HERE

GOAL = 1.15
AGENTS = ("pydantic-ai", "langgraph")
CONNECTIONS = 8
WARM = 60
RUNS = 300
ROUNDS = 7

WHY = (
    "What stays is spread thin. A plain code flow of the same three steps, guarded, encoded, written and told when it "
    "is on disk, takes about 1 ms, and more where a framework works between its steps, which then share fewer commits. "
    "In Pydantic AI nearly as much goes to hooks of its own: one more capability, which is how its requests and tools "
    "become steps, is asked at each of them in a context of its own, and a model inside another one prepares its "
    "request twice. The translation of messages is a hundredth. In LangGraph a chat model of its own is asked by a "
    "chat model whose calls are steps, so LangChain's callbacks run twice for each call, and a callback tells each "
    "task its lane. Models that answer at once make all that the larger part: a model of 500 ms hides it."
)


class Target:
    """A server and where its agents are asked."""

    def __init__(self, url: str, pid: int, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._pid = pid
        self._session = session

    async def ready(self) -> None:
        """Wait until it listens."""
        async with asyncio.timeout(60):
            while True:
                try:
                    await self.ask(AGENTS[0])
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.1)
                else:
                    return

    async def ask(self, agent: str) -> None:
        """Run an agent to its end."""
        async with self._session.post(self._url.format(agent), json={"input": "hi"}) as answer:
            said = await answer.text()
            assert answer.ok and "It is green." in said, said

    async def cpu_ms(self, agent: str, runs: int) -> float:
        """CPU of the server for one run."""
        left = iter(range(runs))

        async def asking() -> None:
            for _ in left:
                await self.ask(agent)

        before = process.cpu_s(self._pid)
        await asyncio.gather(*(asking() for _ in range(CONNECTIONS)))
        return (process.cpu_s(self._pid) - before) / runs * 1000


@contextmanager
def started(*command: str, folder: Path) -> Generator[tuple[int, int]]:
    """The process id and the port of a server."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    begun = process.start(
        [sys.executable, *command, "--port", str(port)],
        core=process.cores()[0],
        env=env,
        log=folder / f"{port}.log",
        cwd=folder,
    )
    try:
        yield begun.pid, port
    finally:
        process.stop(begun)


async def measured(plain: tuple[int, int], ours: tuple[int, int]) -> dict[str, tuple[float, float]]:
    """Milliseconds of CPU of a run in FastAPI and in Runwright, by agent."""
    async with aiohttp.ClientSession() as session:
        bare = Target(f"http://127.0.0.1:{plain[1]}/{{}}", plain[0], session)
        own = Target(f"http://127.0.0.1:{ours[1]}/api/v1/agents/{{}}/runs", ours[0], session)
        found: dict[str, tuple[float, float]] = {}
        for target in (bare, own):
            await target.ready()
        for agent in AGENTS:
            for target in (bare, own):
                await target.cpu_ms(agent, WARM)
            rounds = [(await bare.cpu_ms(agent, RUNS), await own.cpu_ms(agent, RUNS)) for _ in range(ROUNDS)]
            one, two = zip(*rounds, strict=True)
            found[agent] = (statistics.median(one), statistics.median(two))
        return found


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="bridges-") as scratch:
        folder = Path(scratch)
        facts = machine.describe(["runwright"], folder)
        (folder / "agents").mkdir()
        (folder / "agents" / "served.py").write_text("from harness.bridged import served\n\none, two = served\n")
        with (
            started(str(HERE / "harness" / "bridged.py"), folder=folder) as plain,
            started("-m", "runwright", "serve", "agents", "--data", "data", folder=folder) as ours,
        ):
            found = asyncio.run(measured(plain, ours))
    section = _markdown(found, facts)
    print(section)
    if options.write:
        report.write_section(HERE / "RESULTS.md", section, name="bridges", title="Agents of other frameworks")
    return 0 if all(two / one <= GOAL for one, two in found.values()) else 1


def _markdown(found: dict[str, tuple[float, float]], facts: machine.Machine) -> str:
    how = (
        f"Measured {facts.date} at commit {facts.commit} on {facts.cpu}, {facts.cores} cores, "
        f"{facts.memory_gb:.0f} GB, {facts.system}. CPU of the server for a run of two model calls and a tool call, "
        f"median of {ROUNDS} rounds of {RUNS} runs that take turns, at {CONNECTIONS} connections."
    )
    head = ["| agent of | FastAPI | Runwright | ratio | goal | met |", "| --- | --- | --- | --- | --- | --- |"]
    rows = [
        f"| {agent} | {one:.2f} ms | {two:.2f} ms | {two / one:.2f}x | <= {GOAL:g}x "
        f"| {'yes' if two / one <= GOAL else 'no'} |"
        for agent, (one, two) in found.items()
    ]
    return "\n".join([how, "", *head, *rows, "", WHY]) + "\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="also replace the section in RESULTS.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

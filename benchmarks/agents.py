"""What agents and templates cost: one to define, to make over the API, to load, to edit, a link of a chain,
and the start of code in a sandbox.

    python benchmarks/agents.py            every row: two minutes
    python benchmarks/agents.py --only edit
    python benchmarks/agents.py --write    put the table into benchmarks/RESULTS.md

The rows over HTTP ask a real `runwright dev` on loopback, whose agents answer with the demo model. Each row is the
median of its rounds, in turn with those that it is compared with. The status is 1 where a goal is missed.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
from harness import machine, report
from harness.sandbox_rows import starts
from harness.targets import HERE

from runwright import Agent, tool
from runwright.agents.discover import discover
from runwright.agents.registry import Registry

OBJECTS = 5000
BUILT = 300
ROUNDS = 30
LINKS = 8
LIVE_S = 10

TEMPLATE = '''
from pydantic import BaseModel

from runwright import Agent, Loop, Template
from runwright.agents.input import read_messages


class Report(Template):
    """Writes reports."""

    name = "report"

    class Config(BaseModel):
        lines: int = 3

    def build(self, config, context):
        return Loop(model="demo", instructions=f"{config.lines} lines", read_input=read_messages)


weekly = Agent("weekly", template="report@^1", config={"lines": 5})
'''
PLAIN = 'from runwright import Agent\n\nweekly = Agent("weekly", model="demo", instructions="edition %d")\n'


@tool(effect="read")
async def look(city: str) -> str:
    """Say the weather."""
    return f"sunny in {city}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A figure and what it may be at most."""

    label: str
    value: float
    unit: str
    goal: float | None = None

    @property
    def is_met(self) -> bool | None:
        return None if self.goal is None else self.value <= self.goal

    @property
    def line(self) -> str:
        met = {True: "yes", False: "no", None: ""}[self.is_met]
        goal = "" if self.goal is None else f"<= {self.goal:g}"
        return f"| {self.label} | {self.value:.3g} | {self.unit} | {goal} | {met} |"


class Server:
    """A `runwright dev` and its folder of agents."""

    def __init__(self, url: str, agents: Path, session: aiohttp.ClientSession) -> None:
        self.agents = agents
        self._url = url
        self._session = session

    async def ask(self, method: str, path: str, body: object = None) -> Mapping[str, object]:
        """Send a request and give the answer. Raises what is wrong with it."""
        async with self._session.request(method, f"{self._url}/api/v1{path}", json=body) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def run(self, agent: str, **fields: object) -> None:
        """Run an agent to its end."""
        view = await self.ask("POST", f"/agents/{agent}/runs", {"input": "hi", **fields})
        assert view["status"] == "completed", view


def defined() -> list[Row]:
    """An agent object with a tool."""
    make: Callable[[], Agent] = partial(Agent, "support", model="demo", instructions="Be brief.", tools=[look])
    rounds: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(OBJECTS):
            make()
        rounds.append((time.perf_counter() - began) / OBJECTS * 1e6)
    registry = Registry()
    began = time.perf_counter()
    for _ in range(BUILT):
        registry.check(make().declare())
    built = (time.perf_counter() - began) / BUILT * 1e6
    tracemalloc.start()
    kept = [make() for _ in range(OBJECTS)]
    size = tracemalloc.get_traced_memory()[0] / len(kept) / 1024
    tracemalloc.stop()
    return [
        Row(label="agent object: time", value=statistics.median(rounds), unit="us", goal=10),
        Row(label="agent object: memory", value=size, unit="KiB", goal=6),
        Row(label="agent checked and built of it, ready to run", value=built, unit="us"),
    ]


def loaded() -> list[Row]:
    """A file with a template and an agent of it, found, imported, built and served; in turn with the same without the
    file, and with what Python itself takes to execute that file.
    """
    registry = Registry()
    with tempfile.TemporaryDirectory(prefix="empty-") as empty, tempfile.TemporaryDirectory(prefix="agents-") as folder:
        file = Path(folder) / "report.py"
        file.write_text(TEMPLATE)
        cases: tuple[Callable[[], object], ...] = (
            lambda: registry.replace(discover(empty)),
            lambda: exec(compile(file.read_text(), file, "exec"), {"__name__": "floor"}),
            lambda: registry.replace(discover(folder)),
        )
        rounds = [[_took(case) for case in cases] for _ in range(ROUNDS)]
    bare, floor, full = (statistics.median(each) for each in zip(*rounds, strict=True))
    return [
        Row(label="template loaded, with an agent of it", value=full, unit="ms", goal=5),
        Row(label="template loaded against its file executed by Python alone", value=full / floor, unit="x"),
        Row(label="reload of an empty folder, which looks at the installed packages", value=bare, unit="ms"),
    ]


def _took(act: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


async def created(server: Server) -> list[Row]:
    """Agents made over the API, each with a new name, on disk when the answer comes."""
    body = {"model": "demo", "instructions": "Be brief."}
    numbers = iter(range(10_000))
    took, floor = await _medians(
        lambda: server.ask("POST", "/agents", {"name": f"made-{next(numbers)}", **body}),
        lambda: server.ask("GET", "/agents/weekly"),
    )
    return [
        Row(label="agent created over the API", value=took, unit="ms", goal=10),
        Row(label="agent created over the API against one that is read", value=took / floor, unit="x"),
    ]


async def edited(server: Server) -> list[Row]:
    """From the write of a file to the first answer that shows it."""
    numbers = iter(range(1, 10_000))

    async def edit() -> None:
        number = next(numbers)
        (server.agents / "weekly.py").write_text(PLAIN % number)
        async with asyncio.timeout(LIVE_S):
            while f"edition {number}" not in json.dumps(await server.ask("GET", "/agents/weekly")):
                pass

    (took,) = await _medians(edit)
    return [Row(label="edit of a file until it is served", value=took, unit="ms", goal=1000)]


async def chained(server: Server) -> list[Row]:
    """A chain of agents against the same agents run alone, one after the other."""
    steps = [{"agent": "weekly", "name": f"s{number}"} for number in range(LINKS)]
    alone, whole = await _medians(lambda: server.run("weekly"), lambda: server.run("chain", config={"steps": steps}))
    return [
        Row(label="run of one agent over HTTP", value=alone, unit="ms"),
        Row(label=f"link of a chain of {LINKS}, with its run", value=whole / LINKS, unit="ms"),
        Row(label="link of a chain against its run alone", value=whole / LINKS / alone, unit="x"),
    ]


async def _medians(*acts: Callable[[], Awaitable[object]]) -> list[float]:
    """Milliseconds of each, in turn, after a few rounds that are not counted."""
    rounds: list[list[float]] = []
    for _ in range(ROUNDS + 3):
        took: list[float] = []
        for act in acts:
            began = time.perf_counter()
            await act()
            took.append((time.perf_counter() - began) * 1000)
        rounds.append(took)
    return [statistics.median(each) for each in zip(*rounds[3:], strict=True)]


def contained() -> list[Row]:
    """Code in a sandbox, cold and waiting warm, against its interpreter alone."""
    rows: list[Row] = []
    for start in asyncio.run(starts(ROUNDS // 2)):
        rows.append(Row(label=f"{start.label}: start to result", value=start.middle, unit="ms"))
        rows.append(Row(label=f"{start.label}: against the interpreter alone", value=start.ratio, unit="x"))
    return rows


CASES: Mapping[str, Callable[[], list[Row]]] = {"object": defined, "load": loaded, "sandbox": contained}
SERVED: Mapping[str, Callable[[Server], Awaitable[list[Row]]]] = {"create": created, "edit": edited, "chain": chained}


@contextmanager
def developing(folder: Path) -> Generator[str]:
    """The URL of a `runwright dev` on a folder."""
    command = [sys.executable, "-m", "runwright", "dev", "agents", "--port", "0", "--data", "data", "--json"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "RUNWRIGHT_MODEL": "demo"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


async def served(names: list[str], url: str, agents: Path) -> list[Row]:
    """The rows over HTTP."""
    async with aiohttp.ClientSession() as session:
        server = Server(url, agents, session)
        return [row for name in names for row in await SERVED[name](server)]


def main() -> int:
    options = _options()
    rows = [row for name, case in CASES.items() if not options.only or name in options.only for row in case()]
    names = [name for name in SERVED if not options.only or name in options.only]
    with tempfile.TemporaryDirectory(prefix="agents-") as folder:
        facts = machine.describe(["runwright"], Path(folder))
        agents = Path(folder) / "agents"
        agents.mkdir()
        (agents / "weekly.py").write_text(PLAIN % 0)
        if names:
            with developing(Path(folder)) as url:
                rows += asyncio.run(served(names, url, agents))
    section = _markdown(rows, facts)
    print(section)
    if options.write:
        report.write_section(HERE / "RESULTS.md", section, name="agents", title="Agents and templates")
    return 0 if all(row.is_met is not False for row in rows) else 1


def _markdown(rows: list[Row], facts: machine.Machine) -> str:
    how = (
        f"Measured {facts.date} at commit {facts.commit} on {facts.cpu}, {facts.cores} cores, "
        f"{facts.memory_gb:.0f} GB, {facts.system}. Medians; rows over HTTP at one connection."
    )
    head = ["| measure | value | unit | goal | met |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([how, "", *head, *(row.line for row in rows)]) + "\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=[*CASES, *SERVED], help="the rows of this case, or several")
    parser.add_argument("--write", action="store_true", help="also replace the section in RESULTS.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

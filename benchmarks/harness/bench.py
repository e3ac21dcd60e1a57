"""The run itself: start everything, check every face, then rounds in which all targets take turns."""

import asyncio
import itertools
import socket
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import uvloop

from harness import process
from harness.cases import CASES, Case, Sample
from harness.faces import Call, ask_once, make_call
from harness.load import Bound, Tally, drive
from harness.process import Memory
from harness.targets import UPSTREAM, Place, Server, Target, Unavailable, make_bare_environment, start_server

_MOST_REQUESTS = 500_000
_SETTLE_S = 1.0

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run. `seconds` bounds one load; `settings` are environment variables for the targets."""

    targets: tuple[Target, ...]
    cases: tuple[Case, ...]
    rounds: int
    starts: int
    seconds: float
    settings: dict[str, str]


@dataclass(kw_only=True)
class Column:
    """One face of one server: a column of the table. Samples are kept by case, one per round."""

    title: str
    face: str
    server: Server
    samples: dict[str, list[Sample | None]] = field(default_factory=dict[str, list[Sample | None]])

    def takes(self, case: Case) -> bool:
        return self.server.target.calls_tools or not case.calls_tool


@dataclass(kw_only=True)
class Outcome:
    """Everything a run found out. `faults` are sentences; a table with faults is not to be trusted."""

    columns: list[Column] = field(default_factory=list[Column])
    direct: Column
    starts: dict[str, list[tuple[float, float]]] = field(default_factory=dict[str, list[tuple[float, float]]])
    idle: dict[str, Memory] = field(default_factory=dict[str, Memory])
    loaded: dict[str, Memory] = field(default_factory=dict[str, Memory])
    help_cpu_s: list[float | None] = field(default_factory=list[float | None])
    recorded: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    faults: dict[str, int] = field(default_factory=dict[str, int])
    unavailable: dict[str, str] = field(default_factory=dict[str, str])

    def blame(self, fault: str, times: int = 1) -> None:
        """Note a fault; the same one again only raises its count."""
        self.faults[fault] = self.faults.get(fault, 0) + times


class Bench:
    """Owns the processes of one run and the counter that makes every request different."""

    def __init__(self, plan: Plan, scratch: Path, say: Say) -> None:
        self._plan, self._scratch, self._say = plan, scratch, say
        self._numbers = itertools.count(time.time_ns() // 1_000_000 % 10_000_000)
        self._target_core, self._load_core = process.cores()
        self._stack = ExitStack()
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)

    def __enter__(self) -> Self:
        self._stack.enter_context(process.pinned(self._load_core))
        self._stack.enter_context(self._runner)
        self._upstream = self._start(UPSTREAM, self._load_core, "", keep=True)
        self.direct = Column(title="direct", face="chat", server=self._upstream)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self) -> Outcome:
        """Start, check, measure in interleaved rounds, and count what was recorded."""
        outcome = Outcome(direct=self.direct)
        for target in self._plan.targets:
            self.add(target, outcome)
        for column in outcome.columns:
            self._check(column, outcome)
        for number in range(self._plan.rounds):
            self._round(number, outcome)
            outcome.help_cpu_s.append(process.command_cpu_s(sys.executable, "-m", "runwright", "--help"))
        for server in {column.server.target.name: column.server for column in outcome.columns}.values():
            self._close(server, outcome)
        return outcome

    def add(self, target: Target, outcome: Outcome) -> list[Column]:
        """Start a target several times, keep the last one, and give it its columns."""
        self._say(f"start {target.name}")
        upstream = f"http://127.0.0.1:{self._upstream.place.port}/v1"
        try:
            if target.name == "bare":
                make_bare_environment()
            # The first start compiles bytecode and is not counted.
            starts = [
                self._start(target, self._target_core, upstream, keep=index == self._plan.starts)
                for index in range(self._plan.starts + 1)
            ]
        except (Unavailable, OSError) as error:
            outcome.unavailable[target.name] = str(error)
            self._say(f"{target.name} is not available: {error}")
            return []
        outcome.starts[target.name] = [(server.start_s, server.start_cpu_s) for server in starts[1:]]
        time.sleep(_SETTLE_S)
        outcome.idle[target.name] = process.memory(starts[-1].pid)
        columns = [Column(title=title, face=face, server=starts[-1]) for title, face in target.faces.items()]
        outcome.columns += columns
        return columns

    def load(self, column: Column, case: Case, bound: Bound) -> Tally:
        """Drive one case against one column."""
        call = make_call(column.face, case.model, is_stream=case.is_stream)
        port = column.server.place.port
        tally = self._runner.run(drive(call, self._numbers, port=port, connections=case.connections, bound=bound))
        column.server.answers += len(tally.latencies)
        return tally

    def warm(self, column: Column, case: Case) -> Tally:
        """A short load, so that connections and caches are there before anything is measured."""
        bound = Bound(seconds=self._plan.seconds / 4, requests=case.connections * 4)
        return self.load(column, case, bound)

    def _start(self, target: Target, core: int, upstream: str, *, keep: bool) -> Server:
        port = _free_port()
        place = Place(port=port, data=self._scratch / f"{target.name}-{port}", upstream=upstream)
        face = next(iter(target.faces.values()))
        ready: tuple[Call, bytes] = make_call(face, CASES[0].model, is_stream=False), b"%08d" % next(self._numbers)
        server = start_server(target, place, core=core, ready=ready, settings=self._plan.settings)
        if keep:
            self._stack.callback(process.stop, server.popen)
        else:
            process.stop(server.popen)
        return server

    def _check(self, column: Column, outcome: Outcome) -> None:
        """Ask every case once and compare the whole answer; a case that fails is not measured."""
        for case in self._plan.cases:
            if not column.takes(case):
                continue
            call, number = make_call(column.face, case.model, is_stream=case.is_stream), b"%08d" % next(self._numbers)
            fault = _fault_of(call, number, column.server.place.port)
            if fault is None:
                column.samples[case.name] = []
                column.server.answers += 1
            else:
                outcome.blame(f"{column.title}, {case.name}: {fault}")
                self._say(f"{column.title}, {case.name} is left out: {fault}")

    def _round(self, number: int, outcome: Outcome) -> None:
        columns = [self.direct, *outcome.columns]
        for case in self._plan.cases:
            turn = (number + CASES.index(case)) % len(columns)
            for column in columns[turn:] + columns[:turn]:
                if column.title == "direct" and not case.calls_tool:
                    column.samples.setdefault(case.name, [])
                if case.name in column.samples:
                    column.samples[case.name].append(self._measure(column, case, outcome))
            self._say(f"round {number + 1} of {self._plan.rounds}: {case.name}")

    def _measure(self, column: Column, case: Case, outcome: Outcome) -> Sample | None:
        self.warm(column, case)
        pid, core = column.server.pid, self._target_core
        cpu, busy = process.cpu_s(pid), process.busy_s(core)
        tally = self.load(column, case, Bound(seconds=self._plan.seconds, requests=_MOST_REQUESTS))
        cpu, busy = process.cpu_s(pid) - cpu, process.busy_s(core) - busy
        for error, count in tally.errors.items():
            outcome.blame(f"{column.title}, {case.name}: {error}", count)
        if not tally.latencies:
            return None
        is_direct = column.title == "direct"
        others = busy if is_direct else busy - cpu
        sample = _sample(
            tally, cpu_s=None if is_direct else cpu, others_share=min(1.0, max(0.0, others / tally.wall_s))
        )
        if case.is_paced and sample.first_p50_ms > sample.p50_ms / 2:
            outcome.blame(f"{column.title}, {case.name}: the tokens came together at the end, not as they were made")
        return sample

    def _close(self, server: Server, outcome: Outcome) -> None:
        name = server.target.name
        outcome.loaded[name] = process.memory(server.pid)
        if not server.target.records:
            return
        rows = _runs_on_file(server.place.data)
        outcome.recorded[name] = (server.answers, rows)
        if rows < server.answers:
            outcome.blame(f"{name}: {server.answers} answers, but {rows} runs on file")


def _sample(tally: Tally, *, cpu_s: float | None, others_share: float) -> Sample:
    latencies = sorted(tally.latencies)
    return Sample(
        answers=len(latencies),
        failures=tally.failures,
        errors=tuple(tally.errors),
        wall_s=tally.wall_s,
        cpu_s=cpu_s,
        p50_ms=statistics.median(latencies) * 1e3,
        p99_ms=latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))] * 1e3,
        max_ms=latencies[-1] * 1e3,
        first_p50_ms=statistics.median(tally.first_tokens) * 1e3,
        others_share=others_share,
    )


def _fault_of(call: Call, number: bytes, port: int) -> str | None:
    try:
        status, body = ask_once(call, number, port=port, timeout_s=20)
        return call.strict_fault(status, body, number)
    except (OSError, ValueError, LookupError, TypeError) as error:
        return f"{type(error).__name__}: {error}"


def _runs_on_file(data: Path) -> int:
    """Rows of the table `runs` in the SQLite files of a data directory."""
    return sum(_run_rows(path) for path in data.rglob("*.db"))


def _run_rows(path: Path) -> int:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        found = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'runs'").fetchone()[0]
        return connection.execute("SELECT count(*) FROM runs").fetchone()[0] if found else 0
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

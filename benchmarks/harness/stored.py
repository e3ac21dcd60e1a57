"""A large store, and what is asked of it."""

import asyncio
import random
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import msgspec

from harness.machine import Machine
from runwright import Agent, App, tool
from runwright.app import DATABASE
from runwright.core.event import RunQueued
from runwright.core.histogram import one
from runwright.core.message import AssistantMessage, FunctionCall, ToolCall
from runwright.core.model import ModelRequest
from runwright.core.money import Cost
from runwright.core.ports import Batch, Model, RunFilter, RunRow, Stored
from runwright.core.run import Run
from runwright.core.stats import StatFilter
from runwright.core.step import Step
from runwright.core.usage import Usage
from runwright.models import ModelRegistry
from runwright.settings import Settings
from runwright.store import Stores, open_stores
from runwright.testing import ScriptedModel, Silence

DAYS = 30
AGENTS, MODELS, TOOLS = 8, 6, 12
GROUPS, USERS = 50, 500
PER_RUN = 10
LONG = 2_000
"""Steps of the one long run."""

TURNS, TALKS = 12, 200
_TAKES_S = 0.005
_END = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
_BODY = b'{"type":"step.started","request":"' + b"x" * 160 + b'"}'
_QUEUED = msgspec.json.encode(RunQueued(agent="agent", version="1.0.0", input=msgspec.Raw(b'"' + b"x" * 160 + b'"')))
_AT_ONCE = 64
_DASHBOARD = (
    "SELECT s.name, s.ended_at / 86400000000, s.status, s.ended_at - s.started_at, s.cost_nano, s.input_tokens, "
    "s.output_tokens FROM steps s WHERE s.kind = 'model' AND s.taped IS NULL AND s.status IN ('completed', 'failed') "
    "AND s.ended_at >= ?"
)
_FARED = (
    "SELECT kind, name, sum(attempt), sum(status = 'completed'), sum(attempt > 1) FROM steps "
    "WHERE kind IN ('model', 'tool', 'http') AND taped IS NULL AND ended_at >= ? GROUP BY kind, name"
)
_COUNTED = (
    "SELECT r.id, count(*), sum(s.input_tokens), sum(s.output_tokens), sum(s.cost_nano) FROM runs r "
    "JOIN steps s ON s.run_id = r.id WHERE r.id IN (SELECT id FROM runs ORDER BY id DESC LIMIT 50) GROUP BY r.id"
)


@dataclass(frozen=True, kw_only=True)
class Built:
    """What was written."""

    runs: int
    steps: int
    rollups: int
    seconds: float
    megabytes: float
    long_run: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One question: what it takes, and what it takes without roll-ups or summed rows."""

    label: str
    unit: str
    value: float
    goal: float
    other: float | None = None
    other_label: str = ""

    @property
    def is_met(self) -> bool:
        return self.value <= self.goal


def build(path: Path, steps: int, say: Callable[[str], None]) -> Built:
    """Write so many steps, in runs of ten and one long run, evenly over the days."""
    chance = random.Random(7)
    stores = open_stores(path)
    count = max((steps - LONG) // PER_RUN, 1)
    begun = time.perf_counter()
    start = _END - timedelta(days=DAYS)
    pause = timedelta(days=DAYS) / count
    batches = (_run(number, start + pause * number, PER_RUN, chance) for number in range(count))
    done = 0
    while group := list(islice(batches, _AT_ONCE)):
        _append(stores, group)
        done += len(group)
        if done % (_AT_ONCE * 128) == 0:
            say(f"{done * PER_RUN:,} steps in {time.perf_counter() - begun:.0f} s")
    long = _run(count, _END, LONG, chance)
    _append(stores, [long])
    seconds = time.perf_counter() - begun
    stores.close()
    with sqlite3.connect(path) as connection:
        rollups = connection.execute("SELECT count(*) FROM rollup_hour").fetchone()[0]
    return Built(
        runs=count + 1,
        steps=count * PER_RUN + LONG,
        rollups=rollups,
        seconds=seconds,
        megabytes=path.stat().st_size / 1e6,
        long_run=long.run.run.id,
    )


def ask(path: Path, built: Built, rounds: int) -> list[Line]:
    """Every question, with the same question asked of the steps beside it."""
    stores = open_stores(path)
    plain = sqlite3.connect(path)
    where = StatFilter(since=_END - timedelta(days=DAYS))
    since = int((_END - timedelta(days=DAYS)).timestamp() * 1_000_000)

    def dashboard() -> object:
        return stores.stats.totals("model", where), stores.stats.totals("day", where)

    def fared() -> object:
        return stores.stats.outcomes(_END - timedelta(days=1))

    def fared_scan() -> object:
        return plain.execute(_FARED, (since + (DAYS - 1) * 86_400_000_000,)).fetchall()

    def list_runs() -> object:
        return stores.runs.find(RunFilter(limit=50))

    def long_run() -> object:
        return stores.runs.get(built.long_run), stores.runs.steps(built.long_run, limit=LONG)

    def long_scan() -> object:
        return plain.execute("SELECT * FROM steps WHERE +run_id = ?", (built.long_run,)).fetchall()

    asked = (
        ("list of 50 runs", 20.0, list_runs, lambda: plain.execute(_COUNTED).fetchall(), "totals from steps"),
        ("dashboard of 30 days: by day, and by model", 200.0, dashboard, lambda: _scan(plain, since), "from all steps"),
        ("how the calls of a day fared", 200.0, fared, fared_scan, "from all steps"),
        (f"one run of {LONG:,} steps", 50.0, long_run, long_scan, "without the key"),
    )
    lines = [
        Line(
            label=label,
            unit="ms",
            value=_median_ms(ours, rounds),
            goal=goal,
            other=_median_ms(theirs, max(rounds // 3, 1)),
            other_label=other_label,
        )
        for label, goal, ours, theirs, other_label in asked
    ]
    plain.close()
    stores.close()
    return lines


def conversations(folder: Path) -> list[Line]:
    """Bytes on disk for each model call of conversations that grow, against all that was said to the model."""
    return [
        _conversation(folder / "thread", f"stored of what {TALKS} threads of {TURNS} runs said", is_loop=False),
        _conversation(folder / "loop", f"stored of what {TALKS} runs of {TURNS} calls and tools said", is_loop=True),
    ]


def _conversation(folder: Path, label: str, *, is_loop: bool) -> Line:
    raw, calls = asyncio.run(_talk(folder, is_loop=is_loop))
    with sqlite3.connect(folder / DATABASE) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = (folder / DATABASE).stat().st_size - _empty(folder)
    other_label = f"kB raw a call; {size / calls / 1000:.1f} kB stored"
    return Line(
        label=label, unit="%", value=100 * size / raw, goal=15.0, other=raw / calls / 1000, other_label=other_label
    )


def markdown(lines: list[Line], built: Built, facts: Machine) -> str:
    """The section: how, the table, versions."""
    how = (
        f"Measured {facts.date} at commit {facts.commit} on {facts.cpu}, {facts.cores} cores, "
        f"{facts.memory_gb:.0f} GB, {facts.system}, {facts.filesystem}. {built.steps:,} steps of {built.runs:,} runs "
        f"over {DAYS} days, {AGENTS} agents with 2 of {MODELS} models and 4 of {TOOLS} tools each, for {USERS} users, "
        f"written through the journal's appends in {built.seconds:.0f} s "
        f"({1e6 * built.seconds / built.steps:.0f} us a step with its two events): {built.megabytes:,.0f} MB, and "
        f"{built.rollups:,} rows of roll-ups. Times are medians, with a warm cache of the file system; `without` is "
        "the same question asked of steps in place of sums. Pages come over HTTP from a server, compressed."
    )
    head = "| question | unit | takes | without | ratio | goal | met |\n| --- | --- | --- | --- | --- | --- | --- |"
    rows = "\n".join(map(_row, lines))
    versions = "\n".join(f"- {name}: {text}" for name, text in facts.versions.items())
    return f"{how}\n\n{head}\n{rows}\n\nVersions\n\n{versions}\n"


def _row(line: Line) -> str:
    is_time = line.unit == "ms"
    without = "-" if line.other is None else f"{line.other:,.3g} ({line.other_label})"
    ratio = f"{line.value / line.other:.2g}" if is_time and line.other else "-"
    met = "yes" if line.is_met else "no"
    return f"| {line.label} | {line.unit} | {line.value:.3g} | {without} | {ratio} | <= {line.goal:g} | {met} |"


def _append(stores: Stores, batches: list[Batch]) -> None:
    for error in stores.writes.append(batches):
        if error is not None:
            raise error


def _run(number: int, at: datetime, steps: int, chance: random.Random) -> Batch:
    """A run that is over: model calls and tool calls by turns, with an event before and after each."""
    owner = f"run_{number:032x}"
    made: list[Step] = []
    usage = Usage()
    nano = 0
    for place in range(steps):
        step = _step((owner, number % AGENTS), place, at, chance)
        made.append(step)
        usage += step.usage
        nano += step.cost.nano_usd or 0
        at = step.ended_at or at
    last = 2 * steps + 4
    run = Run(
        id=owner,
        agent=f"agent-{number % AGENTS}",
        group=f"group-{number % GROUPS}",
        user=f"user-{number % USERS}",
        version="1.0.0",
        fingerprint="f",
        status="completed",
        created_at=made[0].started_at,
        started_at=made[0].started_at,
        ended_at=at,
        usage=usage,
        cost=Cost(nano_usd=nano, source="list"),
        seq_limit=4096,
        last_seq=last,
    )
    return Batch(run=RunRow(run, True), steps=tuple(made), events=tuple(_events(run, made)), is_end=True)


def _of(agent: int, known: int, used: int, chance: random.Random) -> int:
    """One of the few that an agent uses among those that are known."""
    return (agent * used + chance.randrange(used)) % known


def _step(run: tuple[str, int], place: int, at: datetime, chance: random.Random) -> Step:
    owner, agent = run
    is_model = place % 2 == 0
    took = timedelta(seconds=chance.lognormvariate(0.3, 0.8) if is_model else chance.lognormvariate(-2, 1))
    tokens = chance.randrange(200, 4000)
    return Step(
        run_id=owner,
        seq=2 * place + 3,
        end_seq=2 * place + 4,
        lane="",
        kind="model" if is_model else "tool",
        name=f"openai:model-{_of(agent, MODELS, 2, chance)}" if is_model else f"tool-{_of(agent, TOOLS, 4, chance)}",
        key=f"{chance.getrandbits(128):032x}",
        nth=0,
        effect="read",
        status="failed" if chance.random() < 0.02 else "completed",
        started_at=at,
        ended_at=at + took,
        usage=Usage(input_tokens=tokens, output_tokens=tokens // 8, requests=1) if is_model else Usage(),
        cost=Cost(nano_usd=tokens * 1250, source="list") if is_model else Cost(nano_usd=0, source="none"),
    )


def _events(run: Run, steps: list[Step]) -> Iterator[Stored]:
    begun, ended = run.created_at, run.ended_at or run.created_at
    yield Stored(run.id, 1, begun, "run.queued", None, _QUEUED, 1)
    yield Stored(run.id, 2, begun, "run.started", None, _BODY, 1)
    for step in steps:
        yield Stored(run.id, step.seq, step.started_at, "step.started", step.seq, _BODY, 1)
        yield Stored(run.id, step.seq + 1, step.ended_at or begun, "step.completed", step.seq, _BODY, 1)
    yield Stored(run.id, run.last_seq, ended, "run.completed", None, _BODY, 1)


def _scan(connection: sqlite3.Connection, since: int) -> object:
    """The dashboard from the steps: by model and by day, with the same histograms."""
    groups: dict[object, list[int]] = {}
    for model, day, status, took, nano, sent, got in connection.execute(_DASHBOARD, (since,)):
        histogram = one(took)
        for key in (model, day):
            sums = groups.setdefault(key, [0] * 6)
            sums[0] += 1
            sums[1] += status == "failed"
            sums[2] += nano
            sums[3] += sent
            sums[4] += got
            sums[5] += histogram
    return groups


def _median_ms(question: Callable[[], object], rounds: int) -> float:
    question()
    taken: list[float] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        question()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1000


class _OneModel(ModelRegistry):
    """Every reference means the model of the measurement."""

    def __init__(self, model: ScriptedModel) -> None:
        super().__init__(default="demo")
        self._model = model

    def resolve(self, ref: str | None) -> Model:
        return self._model


async def _talk(folder: Path, *, is_loop: bool) -> tuple[int, int]:
    """Talks with an agent that looks things up, or just answers; the bytes of all requests and answers.

    Its texts are English sentences, put together so that no two are the same. Model and tool take their time, so that
    what comes before and after a call is written apart, as it is outside of a benchmark.
    """
    chance = random.Random(11)
    docs = Path(__file__).parents[2] / "docs"
    sentences = [line for page in sorted(docs.rglob("*.md")) for line in page.read_text().split(". ") if len(line) > 40]
    raw = 0
    is_asked = False

    def text(count: int) -> str:
        return ". ".join(chance.sample(sentences, count))

    def answer(request: ModelRequest) -> AssistantMessage | Silence:
        nonlocal raw, is_asked
        is_asked = not is_asked
        if is_asked:
            return Silence(_TAKES_S)
        calls = sum(isinstance(entry.message, AssistantMessage) for entry in request.messages)
        wish = ToolCall(id=f"call_{calls}", function=FunctionCall(name="look_up", arguments='{"topic":"sealed days"}'))
        has_more = is_loop and calls < TURNS - 1
        said = AssistantMessage(content=text(2 if is_loop else 6), tool_calls=(wish,) if has_more else ())
        raw += len(request.tools_raw) + sum(len(entry.raw) for entry in request.messages)
        raw += len(msgspec.json.encode(said))
        return said

    @tool(effect="read")
    async def look_up(topic: str) -> str:
        """Look something up in the documentation, and give the sections that speak of it."""
        await asyncio.sleep(_TAKES_S)
        return f"{topic}: {text(8)}"

    agent = Agent("talk", instructions=text(10), tools=[look_up], model="demo")
    settings = Settings(data=folder, metrics=False)
    async with App(settings, agents=[agent], models=_OneModel(ScriptedModel(by=answer))) as app:
        for number in range(TALKS * (1 if is_loop else TURNS)):
            thread = {} if is_loop else {"thread_id": f"thread-{number // TURNS}"}
            view = await app.run("talk", text(1 if is_loop else 4), **thread)
            if view.status != "completed":
                raise RuntimeError(f"{view.id} is {view.status}: {view.error}")
    return raw, TURNS * TALKS


def _empty(folder: Path) -> int:
    """The bytes of a database without rows."""
    path = folder / "empty.db"
    open_stores(path).close()
    return path.stat().st_size

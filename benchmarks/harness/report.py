"""From samples to lines, and from lines to Markdown and JSON."""

import dataclasses
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.bench import Column, Outcome, Plan
from harness.cases import CASES, IDLE_GOAL, LOADED_GOAL, MEASURES, START_GOAL, Goal, Measure, Sample
from harness.machine import Machine

Values = list[float | None]
_CASES = {case.name: case for case in CASES}
_OURS = ("native", "/v1")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table: the values of each column, one per round, in the same order everywhere."""

    label: str
    unit: str
    goal: Goal | None = None
    values: dict[str, Values] = field(default_factory=dict[str, Values])

    def middle(self, title: str) -> float | None:
        return _median(self.values.get(title, []))

    def ratio(self, title: str, base: str) -> float | None:
        """The median of the ratios of the rounds, each against the same round of the base."""
        pairs = zip(self.values.get(title, []), self.values.get(base, []), strict=False)
        return _median([value / other for value, other in pairs if value is not None and other])


def lines_of(outcome: Outcome) -> list[Line]:
    """Every line, in the order of MEASURES, then starts and memory."""
    lines = [_measured(measure, outcome) for measure in MEASURES if _was_run(measure, outcome)]
    start = Line(label="start to first answer", unit="s", goal=START_GOAL)
    start_cpu = Line(label="CPU of the start", unit="s")
    idle = Line(label="memory idle (PSS)", unit="MB", goal=IDLE_GOAL)
    loaded = Line(label="memory after load (PSS)", unit="MB", goal=LOADED_GOAL)
    for column in outcome.columns:
        name = column.server.target.name
        start.values[column.title] = [wall for wall, _ in outcome.starts[name]]
        start_cpu.values[column.title] = [cpu for _, cpu in outcome.starts[name]]
        idle.values[column.title] = [outcome.idle[name].pss_mb]
        loaded.values[column.title] = [outcome.loaded[name].pss_mb]
    return [*lines, start, start_cpu, idle, loaded]


def markdown(outcome: Outcome, plan: Plan, machine: Machine) -> str:
    """The whole section: how, the table, what is wrong with it, and versions."""
    parts = [_how(plan, machine, outcome), _table(lines_of(outcome), outcome.columns), _notes(outcome)]
    versions = "\n".join(f"- {name}: {text}" for name, text in machine.versions.items())
    return "\n\n".join([*(part for part in parts if part), f"Versions\n\n{versions}"]) + "\n"


def as_json(outcome: Outcome, plan: Plan, machine: Machine) -> dict[str, Any]:
    """All lines, all samples and the machine, for other programs."""
    columns = [outcome.direct, *outcome.columns]
    return {
        "machine": dataclasses.asdict(machine),
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "lines": [
            {"label": line.label, "unit": line.unit, "goal": str(line.goal or ""), "values": line.values}
            for line in lines_of(outcome)
        ],
        "samples": {column.title: _samples(column) for column in columns},
        "memory": {
            name: {"idle": dataclasses.asdict(outcome.idle[name]), "loaded": dataclasses.asdict(memory)}
            for name, memory in outcome.loaded.items()
        },
        "recorded": outcome.recorded,
        "faults": outcome.faults,
        "unavailable": outcome.unavailable,
    }


def write_section(path: Path, section: str, *, name: str = "serving", title: str = "Serving") -> None:
    """Put the section into a Markdown file, in place of the one of that name, else at the end."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = path.read_text() if path.exists() else "# Benchmark results\n"
    before, found, rest = text.partition(begin)
    after = rest.partition(end)[2] if found else ""
    block = f"{begin}\n## {title}\n\n{section}{end}"
    path.write_text("\n\n".join(part for part in (before.rstrip(), block, after.strip()) if part) + "\n")


def _measured(measure: Measure, outcome: Outcome) -> Line:
    line = Line(label=measure.label, unit=measure.unit, goal=measure.goal)
    case, direct = _CASES[measure.case], outcome.direct.samples.get(measure.case, [])
    for column in outcome.columns:
        samples = column.samples.get(measure.case, [])
        if not samples:
            continue
        pairs = zip(samples, direct or [None] * len(samples), strict=True)
        line.values[column.title] = [s and measure.read(case, s, d) for s, d in pairs]
    return line


def _was_run(measure: Measure, outcome: Outcome) -> bool:
    return any(column.samples.get(measure.case) for column in outcome.columns)


def _table(lines: list[Line], columns: list[Column]) -> str:
    titles = [column.title for column in columns]
    pairs = _ratio_pairs(titles)
    head = ["measure", "unit", *titles, *(f"{title} : {base}" for title, base in pairs), "goal", "met"]
    rows = [_row(line, titles, pairs) for line in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _row(line: Line, titles: list[str], pairs: list[tuple[str, str]]) -> list[str]:
    cells = [_spread(line.values.get(title, [])) for title in titles]
    ratios = [_number(line.ratio(title, base)) for title, base in pairs]
    met = ", ".join(f"{title} {_verdict(line, title)}" for title in titles if title in _OURS and line.goal)
    return [line.label, line.unit, *cells, *ratios, str(line.goal or ""), met]


def _ratio_pairs(titles: list[str]) -> list[tuple[str, str]]:
    ours = [title for title in titles if title in _OURS]
    bases = [title for title in titles if title not in _OURS]
    return [(title, base) for title in ours for base in bases] or [
        (title, "floor") for title in bases if title != "floor" and "floor" in bases
    ]


def _verdict(line: Line, title: str) -> str:
    value = line.middle(title)
    if line.goal is None or value is None:
        return "-"
    return "yes" if line.goal.is_met(value, line.ratio(title, "floor")) else "no"


def _how(plan: Plan, machine: Machine, outcome: Outcome) -> str:
    shares = [s.others_share for samples in outcome.direct.samples.values() for s in samples if s]
    disturbed = f"{statistics.median(shares):.0%} (most {max(shares):.0%})" if shares else "not known"
    return (
        f"Measured {machine.date} at commit {machine.commit} on {machine.cpu}, {machine.cores} cores, "
        f"{machine.memory_gb:.0f} GB, {machine.system}, {machine.filesystem}. {plan.rounds} round(s) of "
        f"{plan.seconds:g} s a load, all targets taking turns in one run; target on one core, upstream and load "
        f"{'on another' if machine.cores > 1 else 'on the same, so times are not to be trusted'}. "
        "A cell is the median of the rounds (lowest-highest); a ratio is the median of the ratios of the rounds. "
        "`floor` is a bare Starlette + msgspec + aiohttp + SQLite recorder, `bare` is FastAPI + Pydantic AI and "
        "records nothing; `native` and `/v1` are the two faces of Runwright, recording in full. CPU is user and "
        f"system time of the target's process tree. With no target at work, others took {disturbed} of its core."
    )


def _notes(outcome: Outcome) -> str:
    notes = [
        f"- {name}: {rows} runs on file for {answers} answers." for name, (answers, rows) in outcome.recorded.items()
    ]
    notes += [f"- `runwright --help`: {_spread(outcome.help_cpu_s)} s of CPU, goal <= 0.25."]
    notes += [f"- Not available: {name}." for name in outcome.unavailable]
    notes += [f"- FAULT, {times} x: {fault}" for fault, times in outcome.faults.items()]
    return "\n".join(notes)


def _samples(column: Column) -> dict[str, list[dict[str, Any] | None]]:
    return {name: [_sample(sample) for sample in samples] for name, samples in column.samples.items()}


def _sample(sample: Sample | None) -> dict[str, Any] | None:
    return sample and dataclasses.asdict(sample)


def _median(values: Values) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _spread(values: Values) -> str:
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return _number(_median(values))
    return f"{_number(_median(values))} ({_number(min(known))}-{_number(max(known))})"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"

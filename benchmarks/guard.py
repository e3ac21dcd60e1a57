"""The guard beside the libraries that people stack today: each row the same case for all, taking turns.

    python benchmarks/guard.py              every row: about five minutes, and three more for the environments at first
    python benchmarks/guard.py --only herd  the rows of one case
    python benchmarks/guard.py --write      put the table into benchmarks/RESULTS.md

Each peer has an environment of its own, which is made on first use under `benchmarks/peers/.venv`. Upstreams are in
memory, Valkey is a real server on loopback. Rows of policies run in virtual time: real code, no waiting. The status is
1 where a goal is missed.
"""

import argparse
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness import machine, peers, report
from harness.guard_rows import ROWS, Row
from harness.targets import HERE


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The values of a row by who gave them, one a round."""

    row: Row
    values: dict[str, list[float]]

    @property
    def ours(self) -> float:
        return statistics.median(self.values[peers.OURS])

    def ratio(self, peer: str) -> float | None:
        pairs = zip(self.values[peers.OURS], self.values[peer], strict=True)
        ratios = [one / other for one, other in pairs if other]
        return statistics.median(ratios) if ratios else None

    @property
    def is_met(self) -> bool | None:
        first = self.row.peers[0] if self.row.peers else None
        return self.row.is_met(self.ours, self.ratio(first) if first else None)

    @property
    def line(self) -> str:
        others = "<br>".join(f"{name} {_number(statistics.median(self.values[name]))}" for name in self.row.peers)
        ratios = "<br>".join(f"{_number(self.ratio(name))}" for name in self.row.peers)
        met = {True: "yes", False: "no", None: ""}[self.is_met]
        row = self.row
        return f"| {row.label} | {row.unit} | {_number(self.ours)} | {others} | {ratios} | {row.goals} | {met} |"


def main() -> int:
    options = _options()
    rows = [row for row in ROWS if not options.only or row.case in options.only]
    wanted = {name for row in rows for name in row.peers}
    with tempfile.TemporaryDirectory(prefix="guard-") as folder, peers.running([peers.OURS, *sorted(wanted)]) as found:
        facts = machine.describe(["runwright"], Path(folder))
        measured = [_measure(row, found) for row in rows]
    section = _markdown(measured, facts)
    print(section)
    if options.write:
        report.write_section(HERE / "RESULTS.md", section, name="guard", title="The guard")
    return 0 if all(one.is_met is not False for one in measured) else 1


def _measure(row: Row, found: dict[str, peers.Peer]) -> Measured:
    names = [peers.OURS, *row.peers]
    values: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(row.rounds):
        print(f"{row.label}: round {turn + 1} of {row.rounds}", file=sys.stderr, flush=True)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            values[name].append(row.value(found[name].ask(row.case, **row.arguments)))
    return Measured(row=row, values=values)


def _markdown(measured: list[Measured], facts: machine.Machine) -> str:
    how = (
        f"Measured {facts.date} at commit {facts.commit} on {facts.cpu}, {facts.cores} cores, "
        f"{facts.memory_gb:.0f} GB, {facts.system}. Each row is one case, the same for all, taking turns in "
        "processes of their own; medians of the rounds, and medians of the ratios of the rounds (ours by theirs). The "
        "goal of a ratio is about the first peer."
    )
    head = ["| measure | unit | ours | theirs | ratio | goal | met |", "| --- | --- | --- | --- | --- | --- | --- |"]
    wanted = {name for one in measured for name in one.row.peers}
    named = [f"- {name}: {', '.join(pins)}" for name, pins in peers.requirements().items() if name in wanted]
    versions = [f"- {name}: {text}" for name, text in facts.versions.items()]
    return "\n".join([how, "", *head, *(one.line for one in measured), "", "Versions", "", *versions, *named]) + "\n"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.4g}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="the rows of this case; may be given more than once")
    parser.add_argument("--write", action="store_true", help="also replace the section in RESULTS.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

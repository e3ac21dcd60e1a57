"""Where a target spends its time: py-spy samples of its process under the load of one case."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path

from harness.bench import Bench, Outcome
from harness.cases import Case
from harness.load import Bound
from harness.targets import VENV_PYTHON, Target

_SHOWN = 40
_RATE = "250"


def profile(bench: Bench, target: Target, case: Case, *, outcome: Outcome, seconds: float, into: Path) -> str:
    """Drive a case against each face of a target while py-spy looks on; the answer is two rankings a face."""
    program = shutil.which("py-spy") or str(VENV_PYTHON.with_name("py-spy"))
    parts: list[str] = []
    for column in bench.add(target, outcome):
        stacks = into / f"{target.name}-{case.name}-{column.face}.stacks"
        bench.warm(column, case)
        options = ["--pid", str(column.server.pid), "--duration", f"{seconds:.0f}", "--output", str(stacks)]
        spy = subprocess.Popen(
            [program, "record", *options, "--rate", _RATE, "--format", "raw", "--nonblocking", "--threads"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            tally = bench.load(column, case, Bound(seconds=seconds, requests=1_000_000))
            spy.wait(seconds + 20)
        finally:
            spy.kill()
        parts.append(f"{column.title}, {case.name}: {len(tally.latencies)} answers, {tally.failures} failures")
        parts.append(_rankings(stacks.read_text() if stacks.exists() else ""))
    return "\n".join(parts)


def _rankings(stacks: str) -> str:
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        names = [frame.rpartition(":")[0] + ")" if ":" in frame else frame for frame in frames.split(";")]
        own[names[-1]] += int(count)
        within.update({name: int(count) for name in set(names)})
    total = own.total() or 1
    return f"own time\n{_ranking(own, total)}\n\nown and called\n{_ranking(within, total)}\n"


def _ranking(counts: Counter[str], total: int) -> str:
    return "\n".join(f"{count / total:7.1%}  {name}" for name, count in counts.most_common(_SHOWN))

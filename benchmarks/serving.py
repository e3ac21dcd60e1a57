"""What serving an agent costs, measured side by side: a floor, a bare peer and Runwright, in one run.

    python benchmarks/serving.py                         all targets, about ten minutes
    python benchmarks/serving.py --quick                 one short pass, to see that everything works
    python benchmarks/serving.py --write                 put the table into benchmarks/RESULTS.md
    python benchmarks/serving.py --profile runwright     where its time goes, with py-spy

Progress goes to stderr, the table (or JSON) to stdout. The status is 1 where a target was not available or an
answer was wrong.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness import machine, report
from harness.bench import Bench, Outcome, Plan
from harness.cases import CASES
from harness.profile import profile
from harness.targets import HERE, TARGETS


def main() -> int:
    options = _options()
    plan = _plan(options)
    with tempfile.TemporaryDirectory(prefix="serving-", dir=options.scratch) as scratch:
        if options.profile:
            return _profile(plan, options, Path(scratch))
        return _compare(plan, options, Path(scratch))


def _compare(plan: Plan, options: argparse.Namespace, scratch: Path) -> int:
    facts = machine.describe([target.name for target in plan.targets], scratch)
    with Bench(plan, scratch, _say) as bench:
        outcome = bench.run()
    section = report.markdown(outcome, plan, facts)
    if options.json:
        print(json.dumps(report.as_json(outcome, plan, facts), indent=1))
    else:
        print(section)
    if options.write:
        report.write_section(HERE / "RESULTS.md", section)
    return 1 if outcome.faults or outcome.unavailable else 0


def _profile(plan: Plan, options: argparse.Namespace, scratch: Path) -> int:
    case = next(case for case in CASES if case.name == (options.cases or ["plain-32"])[0])
    target = TARGETS[options.profile]
    with Bench(plan, scratch, _say) as bench:
        outcome = Outcome(direct=bench.direct)
        print(profile(bench, target, case, outcome=outcome, seconds=options.seconds or 8, into=scratch))
    return 1 if outcome.unavailable else 0


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        targets=tuple(TARGETS[name] for name in options.targets),
        cases=tuple(case for case in CASES if options.cases is None or case.name in options.cases),
        rounds=options.rounds or (1 if options.quick else 5),
        starts=1 if options.quick or options.profile else 3,
        seconds=options.seconds or (0.5 if options.quick else 1.5),
        settings=dict(setting.split("=", 1) for setting in options.set),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=_names(list(TARGETS)), default=list(TARGETS), metavar=",".join(TARGETS))
    parser.add_argument("--cases", type=_names([case.name for case in CASES]), help="only these, with commas between")
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--seconds", type=float, help="bound of one load; default 1.5")
    parser.add_argument("--quick", action="store_true", help="one round of half a second a load")
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    parser.add_argument("--write", action="store_true", help="also replace the section in RESULTS.md")
    parser.add_argument("--profile", choices=list(TARGETS), help="profile one target instead, under the first case")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="environment of the targets")
    parser.add_argument("--scratch", type=Path, help="where data directories are made; default: the system's")
    return parser.parse_args()


def _names(known: list[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(known)}")
        return names

    return parse


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

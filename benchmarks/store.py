"""What questions to a large store cost: a million steps in 30 days, with roll-ups and without.

    python benchmarks/store.py                   1,000,000 steps: two or three minutes to build, 2 GB of disk
    python benchmarks/store.py --steps 100000    a tenth of that
    python benchmarks/store.py --write           put the table into benchmarks/RESULTS.md

The steps are written as the journal writes them, through the store's appends. Progress goes to stderr, the table to
stdout. Pages of the studio are asked of a server over that store. The status is 1 where a goal is missed.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from harness import machine, pages, report, stored
from harness.targets import HERE


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="store-", dir=options.scratch) as folder:
        scratch = Path(folder)
        facts = machine.describe(["runwright"], scratch)
        made = stored.build(scratch / "runwright.db", options.steps, _say)
        lines = [*stored.ask(scratch / "runwright.db", made, options.rounds), *pages.visits(scratch, options.rounds)]
        lines += stored.conversations(scratch)
    section = stored.markdown(lines, made, facts)
    print(section)
    if options.write:
        report.write_section(HERE / "RESULTS.md", section, name="store", title="A large store")
    return 0 if all(line.is_met for line in lines) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000_000, help="default 1,000,000")
    parser.add_argument("--rounds", type=int, default=7, help="how often each question is asked; default 7")
    parser.add_argument("--write", action="store_true", help="also replace the section in RESULTS.md")
    parser.add_argument("--scratch", type=Path, help="where the database is made; default: the system's")
    return parser.parse_args()


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Answers questions about one peer: `python worker.py MODULE` reads `{"case", "arguments"}` lines and writes answers.

It needs nothing but the standard library; the module brings the peer.
"""

import importlib
import json
import sys
from pathlib import Path


def main() -> None:
    here = Path(__file__).resolve().parent
    # In place of this folder, where a peer would find our modules under the names of its own.
    sys.path[0] = str(here.parent)
    module = importlib.import_module(f"peers.{sys.argv[1]}")
    # What a peer prints must not stand between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"value": getattr(module, asked["case"])(**asked["arguments"])}
        except Exception as error:  # noqa: BLE001 - told to the one who asked
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

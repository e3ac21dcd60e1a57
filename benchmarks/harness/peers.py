"""Peers in environments of their own, asked one question at a time so that all take turns."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from harness.targets import HERE

PEERS = HERE / "peers"
VENVS = PEERS / ".venv"
OURS = "runwright_guard"


class PeerFailed(Exception):
    """A peer could not answer."""


class Peer:
    """A process that answers questions about one peer."""

    def __init__(self, name: str, process: "subprocess.Popen[str]") -> None:
        self.name = name
        self._process = process

    def ask(self, case: str, **arguments: object) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            print(json.dumps({"case": case, "arguments": arguments}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            raise PeerFailed(f"{self.name}: {case}: {answer['error']}")
        return answer["value"]


def requirements() -> dict[str, list[str]]:
    return tomllib.loads((PEERS / "peers.toml").read_text())


def install(name: str) -> Path:
    """The interpreter of a peer's environment, made on first use and again when its requirements change."""
    wanted = requirements()[name]
    folder = VENVS / name
    python, stamp = folder / "bin" / "python", folder / "installed.json"
    if not stamp.exists() or json.loads(stamp.read_text()) != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        if wanted:
            pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
            subprocess.run([*pip, *wanted], check=True)
        stamp.write_text(json.dumps(wanted))
    return python


@contextmanager
def running(names: list[str]) -> Generator[dict[str, Peer]]:
    """These peers, and ours, each in a process of its own that ends with the block."""
    with ExitStack() as stack:
        found: dict[str, Peer] = {}
        for name in names:
            python = Path(sys.executable) if name == OURS else install(name)
            process = subprocess.Popen(
                [str(python), str(PEERS / "worker.py"), name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=HERE,
            )
            stack.callback(_end, process)
            found[name] = Peer(name, process)
        yield found


def _end(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

"""Every example agent, live and then from its record alone: the same steps, without a network."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runwright.journal.read import JournalReader
from runwright.journal.tape import read_tape
from runwright.store import open_stores
from tests.docs.test_examples import ROOT, WITHIN_S, commands, environment

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

REPLAYED = re.compile(r"(run_[0-9a-f]{32}) replays (run_[0-9a-f]{32}): same")
APART = ["unshare", "--map-root-user", "--net"]
"""A namespace of its own has no network at all, not even loopback (unshare(1))."""

WATCHED = """
import sys

def hook(event, args):
    if event in ("socket.connect", "socket.sendto") and args[1:] != (("127.0.0.1", 11434),):
        sys.stderr.write(f"network: {event} {args[1:]}\\n")

sys.addaudithook(hook)
from runwright.cli import main
main()
"""
"""The command, saying what it does with sockets: an audit hook sees what any library does (PEP 578).

Its start looks once whether there is an Ollama on this machine; that is no part of a replay.
"""


def _ran(*command: str, data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env=environment(data), capture_output=True, text=True, timeout=WITHIN_S, check=False
    )


def _digests(data: Path, run: str) -> list[str]:
    stores = open_stores(data / "runwright.db")
    try:
        return [step.digest for step in read_tape(JournalReader(stores.runs, stores.blobs).events(run))]
    finally:
        stores.close()


@pytest.mark.parametrize(("name", "command"), commands())
def test_an_example_replays_without_a_network(name: str, command: str, tmp_path: Path) -> None:
    """An example's run is repeated with equal hashes of its steps, in a place where there is no network."""
    asked = shlex.split(command)
    live = _ran(sys.executable, "-m", *asked, data=tmp_path)
    run = re.search(r"run_[0-9a-f]{32}", live.stdout + live.stderr)
    assert run is not None, f"{name}: {live.stdout}{live.stderr}"
    is_apart = shutil.which(APART[0]) is not None and subprocess.run([*APART, "true"], check=False).returncode == 0
    words = ["runs", "replay", run[0], "--agents", asked[asked.index("--agents") + 1]]
    again = _ran(*(APART if is_apart else ()), sys.executable, "-c", WATCHED, *words, data=tmp_path)
    assert "network:" not in again.stderr
    found = REPLAYED.search(again.stdout)
    assert (again.returncode, found is not None) == (0, True), f"{name}: {again.stdout}{again.stderr}"
    assert found is not None
    assert _digests(tmp_path, found[1]) == _digests(tmp_path, run[0])

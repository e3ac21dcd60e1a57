"""What pages of the studio take over HTTP on a large store."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

from harness.stored import Line

AGENTS = 'from runwright import Agent\n\nagent = Agent("agent-0", model="demo")\n'
PAGES = (
    ("home", "/", 200),
    ("runs", "/runs", 200),
    ("costs of 30 days by model", "/costs", 200),
    ("costs of a day by user", "/costs?by=user&since=24h", 200),
    ("costs of 30 days by user", "/costs?by=user", 2000),
    ("the dearest calls of a day", "/costs/calls?since=24h", 200),
    ("the newest calls of 30 days", "/costs/calls?order=newest", 200),
    ("the dearest calls of 30 days", "/costs/calls", 2000),
)
"""What is asked, its address, and the goal in ms."""


@contextmanager
def serving(folder: Path, agents: str, *, data: str = "data") -> Generator[str]:
    """The address of a server of its own, with the agents of this text and the data below a folder."""
    (folder / "agents").mkdir()
    (folder / "agents" / "team.py").write_text(agents)
    command = [sys.executable, "-m", "runwright", "serve", "agents", "--port", "0", "--data", data, "--json"]
    env = {**os.environ, "RUNWRIGHT_MODEL": "demo"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True, env=env)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.wait()


def visits(folder: Path, rounds: int) -> list[Line]:
    """Every page, as a browser asks for it, taking turns. The first visit loads the templates and is not counted."""
    with serving(folder, AGENTS, data=".") as url, closing(HTTPConnection(url.removeprefix("http://"))) as connection:
        taken = [[_visit_ms(connection, path) for _, path, _ in PAGES] for _ in range(rounds + 1)]
    medians = map(median, zip(*taken[1:], strict=True))
    return [
        Line(label=f"page: {label}, `{path}`", unit="ms", value=value, goal=goal)
        for (label, path, goal), value in zip(PAGES, medians, strict=True)
    ]


def _visit_ms(connection: HTTPConnection, path: str) -> float:
    begun = time.perf_counter()
    connection.request("GET", path, headers={"accept": "text/html", "accept-encoding": "gzip"})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path} answers {answer.status}")
    return 1000 * (time.perf_counter() - begun)

"""Starts a run in the background and follows its events, attaching again whenever the connection ends.

Needs nothing but Python and a server: runwright serve examples/features
"""

import json
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.request import Request, urlopen

SERVER = os.environ.get("RUNWRIGHT_SERVER", "http://127.0.0.1:8321")
HEADERS = {"Authorization": f"Bearer {os.environ.get('RUNWRIGHT_API_KEY', 'none')}"}
OVER = ("run.completed", "run.failed", "run.cancelled")


def start(agent: str, text: str) -> str:
    """Start a run and give its id."""
    body = json.dumps({"input": text, "mode": "background"}).encode()
    with urlopen(Request(f"{SERVER}/api/v1/agents/{agent}/runs", data=body, headers=HEADERS)) as response:
        run: dict[str, Any] = json.load(response)
    return str(run["id"])


def follow(run: str) -> Iterator[dict[str, Any]]:
    """The events of a run, each once, over as many connections as it takes."""
    last = 0
    while True:
        for event in attach(run, after=last):
            last = event["seq"]
            yield event
            if event["type"] in OVER:
                return
        time.sleep(1)


def attach(run: str, *, after: int) -> Iterator[dict[str, Any]]:
    """The events of one connection."""
    request = Request(f"{SERVER}/api/v1/runs/{run}/events", headers={**HEADERS, "Last-Event-ID": str(after)})
    try:
        with urlopen(request) as response:
            yield from read(response)
    except OSError:
        print("(the server is away)")


def read(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The events of a stream. A frame without a number, such as the server's goodbye, is no event of the run."""
    for line in lines:
        if line.startswith(b"data:") and "seq" in (event := json.loads(line[5:])):
            yield event


if __name__ == "__main__":
    for each in follow(start("customers", "Look up customer 7")):
        print(each["seq"], each["type"])

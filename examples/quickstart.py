"""Serve the example agents, send a first prompt and show what was recorded.

`python examples/quickstart.py` serves until Ctrl-C, with `--once` it stops after the first answer.
"""

import argparse
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

AGENTS = Path(__file__).parent / "agents"
AGENT = "weather"
PROMPT = "What is the weather in Paris?"
USUAL_PORT = 8420
READY_WITHIN_S = 60.0
POLL_S = 0.1
STOPPED_WITHIN_S = 15.0
LOG_LINES = 20


class QuickstartFailed(Exception):
    """Something on the way to the first answer went wrong; the message says what."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server at `url`, and the key it asks for, if any."""

    url: str
    key: str | None = None

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON as it comes
        """The JSON document at a path."""
        with urlopen(self.request(path), timeout=30) as response:
            return json.load(response)

    def stream(self, path: str, body: dict[str, object]) -> Iterator[dict[str, Any]]:
        """Post a body and give the data of each server-sent event."""
        with urlopen(self.request(path, body), timeout=300) as response:
            for line in response:
                if line.startswith(b"data:"):
                    yield json.loads(line[5:])

    def request(self, path: str, body: dict[str, object] | None = None) -> Request:
        """A GET, or a POST where there is a body."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        if body is None:
            return Request(self.url + path, headers=headers)
        headers["Content-Type"] = "application/json"
        return Request(self.url + path, data=json.dumps(body).encode(), headers=headers)


def main() -> int:
    """Start, ask, show, and serve on; the exit code says whether the first run completed."""
    parser = argparse.ArgumentParser(description="Serve the example agents and send a first prompt.")
    parser.add_argument("--once", action="store_true", help="stop after the first answer")
    parser.add_argument("--data", default="./.runwright", help="where the server keeps its record and its log")
    options = parser.parse_args()
    port = _free_port()
    server = Server(url=f"http://127.0.0.1:{port}", key=os.environ.get("RUNWRIGHT_API_KEY"))
    log = Path(options.data) / "quickstart.log"
    process = _serve(options.data, port, log)
    try:
        _wait_until_ready(server, process)
        _first_run(server)
        if not options.once:
            _say(f"\nServing at {server.url} until Ctrl-C. The log is {log}.")
            return process.wait()
    except KeyboardInterrupt:
        _say("\nStopping.")
    except (QuickstartFailed, URLError, OSError) as error:
        _say(f"\n{_explain(error)}\n{_tail(log)}")
        return 1
    finally:
        _stop(process)
    return 0


def _serve(data: str, port: int, log: Path) -> subprocess.Popen[bytes]:
    """Start the server as a child; its log goes to a file, so that the answer stands alone."""
    command = [sys.executable, "-m", "runwright", "serve", str(AGENTS)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        return subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--data", data],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _free_port() -> int:
    """The usual port, or any free one where that is taken."""
    for port in (USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise QuickstartFailed("No port is free on 127.0.0.1.")


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise QuickstartFailed(f"The server stopped with status {process.returncode}; its last words:")
        try:
            with urlopen(server.request("/readyz"), timeout=5):
                return
        except OSError:
            time.sleep(POLL_S)
    raise QuickstartFailed(f"The server was not ready within {READY_WITHIN_S:.0f} seconds.")


def _first_run(server: Server) -> None:
    _say(f"{AGENT} < {PROMPT}\n{AGENT} > ", end="")
    run_id = _print_answer(server.stream(f"/api/v1/agents/{AGENT}/runs", _body()))
    run = server.get(f"/api/v1/runs/{run_id}")
    _say("")
    _print_steps(server.get(f"/api/v1/runs/{run_id}/steps")["data"])
    _print_totals(run)
    if run["status"] != "completed":
        raise QuickstartFailed(f"The run is {run['status']}: {run.get('error') or run.get('reason')}")


def _body() -> dict[str, object]:
    body: dict[str, object] = {"input": PROMPT, "mode": "stream"}
    if importlib.util.find_spec("xllamacpp") is None:
        _say("(the built-in demo model answers, which is not an LLM) ", end="")
        body["config"] = {"model": "demo"}
    return body


def _print_answer(events: Iterator[dict[str, Any]]) -> str:
    """Print the text as it arrives and give the run's id."""
    run_id = ""
    for event in events:
        run_id = event["run_id"]
        if event["type"] == "message.delta":
            _say(event["text"], end="")
    if not run_id:
        raise QuickstartFailed("The stream ended without an event.")
    return run_id


def _print_steps(steps: list[dict[str, Any]]) -> None:
    for number, step in enumerate(steps, start=1):
        tokens = step["usage"]["input_tokens"] + step["usage"]["output_tokens"]
        size = f"  {tokens} tokens" if tokens else ""
        _say(f"  step {number}  {step['kind']:<6} {step['name']:<24} {step['status']}{size}")


def _print_totals(run: dict[str, Any]) -> None:
    usage, usd = run["usage"], run["cost"]["usd"]
    _say(f"  tokens  {usage['input_tokens']} in, {usage['output_tokens']} out")
    _say(f"  cost    {'unpriced' if usd is None else f'{usd} USD'}")
    _say(f"  run     {run['id']}")


def _explain(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"The server answered {error.code} to {error.url}: {error.read().decode(errors='replace')}"
    return str(error)


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return "\n".join(f"  {line}" for line in lines)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOPPED_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _say(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

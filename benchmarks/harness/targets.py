"""The servers that are compared: how each is started, which faces it has and when it is ready."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import process
from harness.cases import MODELS
from harness.faces import Call, ask_once

HERE = Path(__file__).resolve().parent.parent
VENV_PYTHON = HERE / ".venv" / "bin" / "python"
READY_S = 60.0
_POLL_S = 0.005
_LOG_LINES = 15


class Unavailable(Exception):
    """A target cannot be started here."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a target runs: its port, its data directory, and the model provider it calls."""

    port: int
    data: Path
    upstream: str


@dataclass(frozen=True, kw_only=True)
class Target:
    """One server. `faces` maps the title of a column to a request shape of `faces.make_call`."""

    name: str
    faces: dict[str, str]
    command: Callable[[Place], list[str]]
    calls_tools: bool = True
    records: bool = True


@dataclass(kw_only=True)
class Server:
    """A started target and what its start cost."""

    target: Target
    place: Place
    popen: "subprocess.Popen[bytes]"
    log: Path
    start_s: float = 0.0
    start_cpu_s: float = 0.0
    answers: int = 0

    @property
    def pid(self) -> int:
        return self.popen.pid


def _module(python: str | Path, name: str, place: Place) -> list[str]:
    return [str(python), "-m", name, "--port", str(place.port)]


def _floor(place: Place) -> list[str]:
    return [*_module(sys.executable, "harness.floor", place), "--data", str(place.data), "--upstream", place.upstream]


def _bare(place: Place) -> list[str]:
    return [*_module(VENV_PYTHON, "harness.bare", place), "--models", *MODELS]


def _runwright(place: Place) -> list[str]:
    serve = [sys.executable, "-m", "runwright", "serve", str(HERE / "agents")]
    return [*serve, "--port", str(place.port), "--data", str(place.data)]


def _upstream(place: Place) -> list[str]:
    return _module(sys.executable, "harness.upstream", place)


UPSTREAM = Target(name="direct", faces={"direct": "chat"}, command=_upstream, calls_tools=False, records=False)
TARGETS = {
    target.name: target
    for target in (
        Target(name="floor", faces={"floor": "chat"}, command=_floor, calls_tools=False),
        Target(name="bare", faces={"bare": "native"}, command=_bare, records=False),
        Target(name="runwright", faces={"native": "native", "/v1": "chat"}, command=_runwright),
    )
}


def start_server(
    target: Target, place: Place, *, core: int, ready: tuple[Call, bytes], settings: dict[str, str]
) -> Server:
    """Start a target and wait for its first right answer. Raises Unavailable with the end of its log."""
    place.data.mkdir(parents=True, exist_ok=True)
    log = place.data / "output.log"
    started = time.perf_counter()
    popen = process.start(
        target.command(place), core=core, env=_environment(place.upstream) | settings, log=log, cwd=HERE
    )
    server = Server(target=target, place=place, popen=popen, log=log)
    try:
        _wait_for_answer(server, *ready, until=started + READY_S)
    except BaseException:
        process.stop(popen)
        raise
    server.start_s = time.perf_counter() - started
    server.start_cpu_s = process.cpu_s(server.pid)
    server.answers = 1
    return server


def _wait_for_answer(server: Server, call: Call, number: bytes, *, until: float) -> None:
    fault = "no answer"
    while time.perf_counter() < until:
        if server.popen.poll() is not None:
            raise Unavailable(f"it ended with status {server.popen.returncode}:\n{log_end(server.log)}")
        try:
            status, body = ask_once(call, number, port=server.place.port, timeout_s=5)
        except OSError:
            time.sleep(_POLL_S)
            continue
        if (fault := call.strict_fault(status, body, number) or "") == "":
            return
        if status < 500:
            break
        time.sleep(_POLL_S)
    raise Unavailable(f"its first answer is wrong: {fault}\n{log_end(server.log)}")


def log_end(log: Path) -> str:
    """The last lines a server wrote."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])


def _environment(upstream: str) -> dict[str, str]:
    """The caller's environment without what would change a target: proxies, own settings, bytecode off."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("RUNWRIGHT_")
        and not name.lower().endswith("_proxy")
        and name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
    }
    return kept | {"OPENAI_BASE_URL": upstream, "OPENAI_API_KEY": "sk-benchmark"}


def make_bare_environment() -> None:
    """Install what the bare target needs into a virtual environment of its own, once."""
    if VENV_PYTHON.exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(HERE / ".venv")], check=True)
    install = [str(VENV_PYTHON), "-m", "pip", "install", "--quiet", "-r", str(HERE / "requirements.txt")]
    subprocess.run(install, check=True, stdout=sys.stderr)

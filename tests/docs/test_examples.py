"""The examples work as their own words say."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from runwright.cli import main
from tests.docs.pages import ROOT

EXAMPLES = ROOT / "examples"
FEATURES = EXAMPLES / "features"
AGENTS = (FEATURES, EXAMPLES / "custom", EXAMPLES / "frameworks")
CLIENTS = sorted(path.name for path in (EXAMPLES / "clients").glob("*.py"))
WITHIN_S = 50
COMMAND = re.compile(r"^#? *(runwright run .*)$", re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    """The commands that the example agents name, each with its file."""
    return [
        (f"{path.parent.name}/{path.name}", command)
        for path in sorted(agent_files())
        for command in COMMAND.findall(path.read_text(encoding="utf-8"))
    ]


def agent_files() -> list[Path]:
    """The files with example agents."""
    return [path for folder in AGENTS for path in folder.iterdir() if path.suffix in {".py", ".yaml"}]


def demo(data: Path) -> dict[str, str]:
    """What commands are told: the demo model, and a data directory of the test's own."""
    return {"RUNWRIGHT_MODEL": "demo", "RUNWRIGHT_DATA": str(data)}


def environment(data: Path, **more: str) -> dict[str, str]:
    """All that commands see."""
    return {**os.environ, **demo(data), **more}


def _python(*arguments: str, environ: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with the example agents."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "runwright", "serve", str(FEATURES), "--port", str(port)]
    process = subprocess.Popen(command, env=environment(tmp_path_factory.mktemp("data")), stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        with httpx2.Client(transport=httpx2.HTTPTransport(retries=8)) as client:
            assert client.get(f"{url}/readyz").status_code == httpx2.codes.OK
        yield url
    finally:
        process.terminate()
        process.wait(WITHIN_S)


def test_every_agent_example_names_a_command() -> None:
    """Each file with example agents says how to run one of them."""
    files = {f"{path.parent.name}/{path.name}" for path in agent_files()}
    assert {name for name, _ in commands()} == files


@pytest.mark.command
@pytest.mark.parametrize(("name", "command"), commands())
def test_an_agent_example_runs(
    name: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that an example names completes a run, without a key or a network.

    Here it is called in this process; tests/e2e runs each as a process, and replays it.
    """
    monkeypatch.chdir(ROOT)
    for variable, value in demo(tmp_path).items():
        monkeypatch.setenv(variable, value)
    main(shlex.split(command)[1:])
    assert capsys.readouterr().out.strip(), name


def test_an_example_runs_as_a_process(tmp_path: Path) -> None:
    """The first command that an example names does the same as a process of its own."""
    name, command = commands()[0]
    assert _python("-m", *shlex.split(command), environ=environment(tmp_path)).strip(), name


@pytest.mark.e2e
@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_example_runs(name: str, server: str, tmp_path: Path) -> None:
    """A client talks to a server with the example agents."""
    printed = _python(str(EXAMPLES / "clients" / name), environ=environment(tmp_path, RUNWRIGHT_SERVER=server))
    assert "customer" in printed or "run.completed" in printed


@pytest.mark.e2e
def test_the_example_of_a_test_passes(tmp_path: Path) -> None:
    """The example of how an agent is tested is a test that passes."""
    file = EXAMPLES / "testing" / "test_agent.py"
    environ = environment(tmp_path)
    assert "passed" in _python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(file), environ=environ)

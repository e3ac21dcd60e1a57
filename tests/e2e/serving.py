"""The real command in a process of its own, as an operator would start it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

AGENTS = '''
import asyncio

from runwright import Agent, Context, tool


@tool(effect="read")
async def weather(city: str) -> str:
    """Say the weather in a city."""
    return f"sunny in {city}"


async def fails(text: str, context: Context) -> str:
    await context.model(text)
    raise RuntimeError("this agent fails")


async def sleeps(text: str) -> str:
    await asyncio.sleep(3600)
    return text


support = Agent("support", model="demo", instructions="Be brief.", tools=[weather])
slow = Agent("slow", model="demo:slow")
talker = Agent("talker", instructions="You are a friendly helper.")
busy = Agent("busy", model="demo:fail-500")
broken = Agent("fails", model="demo", run=fails)
sleepy = Agent("sleepy", run=sleeps)
'''

START_S = 20
STOP_S = 20


class Server:
    """A running server: its URL, its process, and the link that logs a browser in where a key is set."""

    def __init__(self, process: subprocess.Popen[str], url: str, login: str | None = None) -> None:
        self.process = process
        self.url = url
        self.login = login

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and give the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOP_S)


def command(folder: Path, **settings: str) -> subprocess.Popen[str]:
    """Start `runwright serve` on the data and agents of a folder. Settings are variables without their prefix."""
    agents = folder / "agents"
    if not agents.exists():
        agents.mkdir()
        (agents / "team.py").write_text(AGENTS)
    values = {f"RUNWRIGHT_{name.upper()}": value for name, value in {"model": "demo", **settings}.items()}
    arguments = ["serve", str(agents), "--port", "0", "--data", str(folder / "data"), "--json"]
    with (folder / "log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "runwright", *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **values},
            cwd=folder,
        )


def refused(folder: Path, **settings: str) -> tuple[int, str]:
    """The exit status of a server that does not start, and what it says."""
    process = command(folder, **settings)
    output, _ = process.communicate(timeout=START_S)
    return process.returncode, output + (folder / "log").read_text()


@contextmanager
def serving(folder: Path, **settings: str) -> Generator[Server]:
    """A server that is ready, stopped at the end."""
    process = command(folder, **settings)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (folder / "log").read_text()
        told = json.loads(line)
        server = Server(process, told["url"], told["login"])
        yield server
        server.stop()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()

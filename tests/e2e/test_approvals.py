"""Approvals through the real command: a server dies while a run waits for a person, and the next one goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.e2e.serving import serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

AGENTS = '''
from pathlib import Path

from runwright import Agent, Context, tool


@tool(effect="once")
async def pay(amount: int) -> str:
    """Pay an amount."""
    with Path("paid").open("a") as told:
        told.write(f"{amount} ")
    return f"paid {amount}"


async def order(text: str, context: Context) -> str:
    """Ask how much, then have another agent pay that."""
    amount = await context.ask("How much?", schema={"type": "integer"})
    return await context.run("office", f"pay an amount of {amount}")


office = Agent("office", model="demo", tools=[pay], approvals={"pay": {"expires_s": 3600}})
chief = Agent("chief", run=order)
'''


SAID: list[ChatCompletionMessageParam] = [{"role": "user", "content": "pay an amount of 50"}]


def asked(folder: Path, *arguments: str) -> tuple[int, Any]:
    """The exit status of a command, and what it prints as JSON, or says."""
    done = subprocess.run(
        [sys.executable, "-m", "runwright", *arguments, "--json"],
        cwd=folder,
        env={**os.environ, "RUNWRIGHT_MODEL": "demo"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.returncode == 0 else done.stderr


def until(look: Callable[[], Any]) -> Any:
    """What somebody sees as soon as there is something."""
    deadline = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < deadline
    return found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with agents that need a person."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "team.py").write_text(AGENTS)
    return tmp_path


def test_what_waits_outlives_its_server(place: Path) -> None:
    """A question, and a call of a child, wait over kills of the server and are answered; what is done is done once."""

    def waiting(*where: str) -> Any:
        return asked(place, "approvals", "ls", *where)[1]["data"]

    with serving(place) as server:
        url = f"{server.url}/api/v1/agents/chief/runs"
        run = httpx2.post(url, json={"input": "go"}, timeout=30).json()
        assert (run["status"], run["reason"]) == ("waiting", "input")
        server.stop(signal.SIGKILL)
    here = ("--data", "data")
    (question,) = waiting(*here)
    assert (question["run_id"], question["question"]) == (run["id"], "How much?")
    status, said = asked(place, "approvals", "answer", question["id"], '"much"', *here)
    assert (status, "is not of type" in said) == (2, True)
    assert asked(place, "approvals", "answer", question["id"], "5", "--by", "ada", *here)[0] == 0
    status, said = asked(place, "approvals", "deny", question["id"], *here)
    assert (status, "was answered already by ada" in said) == (2, True)
    with serving(place) as server:
        (call,) = until(lambda: waiting("--server", server.url))
        assert (call["agent"], call["name"], call["arguments"]) == ("office", "pay", {"amount": 5})
        server.stop(signal.SIGKILL)
    with serving(place) as server:
        remote = ("--server", server.url)
        assert waiting(*remote) == [call]
        status, view = asked(place, "approvals", "approve", call["id"], "--arguments", '{"amount": 4}', *remote)
        assert (status, view["status"], view["by"]) == (0, "approved", "cli")
        shown = until(lambda: (done := asked(place, "runs", "show", run["id"], *remote)[1])["ended_at"] and done)
        assert (shown["status"], shown["output"]) == ("completed", "The result is paid 4.")
        assert waiting(*remote) == []
    assert (place / "paid").read_text() == "4 "


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
def test_openai_clients_are_told(place: Path, is_streamed: bool) -> None:
    """An OpenAI client gets a message that says what the run waits for, and its metadata say so too."""
    with serving(place) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
        if is_streamed:
            chunks = list(client.chat.completions.create(model="office", messages=SAID, stream=True))
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            reason, last = chunks[-1].choices[0].finish_reason, chunks[-1].to_dict()
        else:
            whole = client.chat.completions.create(model="office", messages=SAID)
            text = whole.choices[0].message.content or ""
            reason, last = whole.choices[0].finish_reason, whole.to_dict()
        metadata: Any = last["metadata"]
        assert "waits (approval)" in text
        assert (reason, metadata["status"], metadata["reason"]) == ("stop", "waiting", "approval")
        (view,) = asked(place, "approvals", "ls", "--server", server.url)[1]["data"]
        assert view["run_id"] == metadata["run_id"]

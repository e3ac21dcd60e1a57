"""Budgets through the real command: a run hits one, waits, is raised, and comes to its end."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.serving import serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

AGENTS = '''
from pathlib import Path

from runwright import Agent, Budget, Guard, tool


@tool(effect="once")
async def weather(city: str) -> str:
    """Say the weather in a city."""
    with Path("entered").open("a") as told:
        told.write("once ")
    return f"sunny in {city}"


def agent(name: str, usd: str, at_limit: str) -> Agent:
    budget = Budget(usd=usd, at_limit=at_limit)
    return Agent(name, model="demo", tools=[weather], settings={"max_tokens": 100}, guard=Guard(budget=budget))


patient = agent("patient", "0.00023", "wait")
strict = agent("strict", "0.00023", "fail")
'''
PRICES = """
[[price]]
models = ["demo:*"]
valid_from = 2026-01-01
input_tokens = 0.25
output_tokens = 2.0
"""


def asked(folder: Path, *arguments: str) -> tuple[int, Any]:
    """The exit status of a command, and what it prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "runwright", *arguments, "--json"],
        cwd=folder,
        env={**os.environ, "RUNWRIGHT_MODEL": "demo"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or "null") if done.returncode < 2 else done.stderr


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with agents that have budgets, where the demo model has a price."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "team.py").write_text(AGENTS)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "prices.toml").write_text(PRICES)
    return tmp_path


def test_a_run_waits_until_its_budget_is_raised(place: Path) -> None:
    """A run that waits for its budget is listed with it, goes on when that is raised, and repeats nothing."""
    with serving(place) as server:
        remote = ("--server", server.url)
        status, run = asked(place, "run", "patient", "the weather in Paris", *remote)
        assert (status, run["status"], run["reason"]) == (1, "waiting", "budget")
        account = f"agent:patient run:{run['id']}"
        status, listed = asked(place, "budgets", "ls", *remote)
        (view,) = listed["data"]
        assert (view["account"], view["unit"], view["limit"], view["spent"]) == (account, "usd", "0.00023", "0.000011")
        assert (view["reserved"], view["left"], view["at_limit"]) == ("0", "0.000219", "wait")
        status, raised = asked(place, "budgets", "raise", account, "--usd", "0.01", *remote)
        assert (status, raised["data"][0]["limit"], raised["data"][0]["is_raised"]) == (0, "0.01", True)
        deadline = time.monotonic() + 30
        while run["status"] != "completed":
            assert time.monotonic() < deadline, run
            _, run = asked(place, "runs", "show", run["id"], *remote)
        assert run["output"] == "The result is sunny in Paris."
        assert (place / "entered").read_text() == "once "


def test_a_run_waits_beyond_a_restart(place: Path) -> None:
    """A budget that is raised while no server runs lets the run go on at the next start."""
    data = ("--data", "data", "--agents", "agents")
    status, run = asked(place, "run", "patient", "the weather in Paris", *data)
    assert (status, run["reason"]) == (1, "budget")
    status, _ = asked(place, "budgets", "raise", f"agent:patient run:{run['id']}", "--usd", "0.01", *data)
    assert status == 0
    with serving(place) as server:
        deadline = time.monotonic() + 30
        while run["status"] != "completed":
            assert time.monotonic() < deadline, run
            _, run = asked(place, "runs", "show", run["id"], "--server", server.url)
    assert (place / "entered").read_text() == "once "


def test_a_run_fails_at_its_budget(place: Path) -> None:
    """A run whose budget fails at the limit ends with that code, and what it had cost is within the limit."""
    data = ("--data", "data", "--agents", "agents")
    status, run = asked(place, "run", "strict", "the weather in Paris", *data)
    assert (status, run["status"], run["error"]["code"]) == (1, "failed", "budget_exceeded")
    status, run = asked(place, "run", "patient", "the weather in Paris", "--budget-usd", "0.0001", *data)
    assert (status, run["status"], run["cost"]["usd"]) == (1, "failed", "0")
    status, told = asked(place, "budgets", "raise", "everything", "--usd", "1", *data)
    assert status == 2
    assert "There is no account 'everything'" in told

"""The policies in force."""

from pathlib import Path

import pytest

from runwright.app import DATABASE
from runwright.cli.policies import Held, of_agent
from runwright.core.agent import Definition
from runwright.core.ports import AgentRecord
from runwright.errors import NotFound
from runwright.service.config import in_force
from runwright.settings import Settings
from runwright.store import open_stores
from tests.unit.store.rows import NOW

AGENT = """\
from runwright import Agent, Budget, Guard, Retry, tool

@tool(effect="read", guard=Guard(cache=True))
async def weather(city: str) -> str:
    return city

support = Agent("support", model="demo", tools=[weather], guard=Guard(retry=Retry(attempts=2), budget=Budget(usd="1")))
"""


def test_the_figures_that_hold_are_shown() -> None:
    """Every figure of a policy that is on is there, one that is off says so, and what single ones set follows."""
    guard = {"retry": {"attempts": 2}, "breaker": False, "tools": {"weather": {"cache": True}}}
    found = in_force(Settings(guard=guard))
    assert (found["guard.retry.attempts"], found["guard.retry.bucket"], found["guard.breaker"]) == ("2", "500", "off")
    assert (found["guard.cache"], found["guard.tools.weather.cache"]) == ("off", "true")


def test_each_policy_says_who_set_it(tmp_path: Path) -> None:
    """For the models and tools of an agent each policy has its changed figures and its place."""
    (tmp_path / "agent.py").write_text(AGENT)
    settings = Settings(data=tmp_path / "none", guard={"tools": {"weather": {"retry": False}}})
    held = of_agent(settings, "support", [str(tmp_path)])
    assert {
        Held(target="demo", policy="retry", value="attempts=2", place="agent:support"),
        Held(target="demo", policy="breaker", value="on", place="default"),
        Held(target="demo", policy="budget", value="usd=1", place="agent:support"),
        Held(target="weather", policy="retry", value="off", place="tool:weather"),
        Held(target="weather", policy="cache", value="on", place="tool:weather"),
    } <= set(held)
    with pytest.raises(NotFound, match="no agent 'nobody'"):
        of_agent(settings, "nobody", [str(tmp_path)])


def test_agents_that_were_made_over_the_api_are_known(tmp_path: Path) -> None:
    """An agent that stands in the data directory has its policies shown like one of a file, its limit of tokens too."""
    made = Definition(name="made", config={"limits": {"tokens": 500}}, guard={"breaker": False})
    stores = open_stores(tmp_path / DATABASE)
    stores.agents.put(
        AgentRecord(name="made", version="1.0.0", definition=made, fingerprint="f", source="api", created_at=NOW)
    )
    settings = Settings(data=tmp_path, guard={"retry": {"attempts": 3}})
    beside_a_writer = of_agent(settings, "made", [])
    stores.close()
    held = of_agent(settings, "made", [])
    assert held == beside_a_writer
    assert {
        Held(target="the default model", policy="retry", value="attempts=3", place="app"),
        Held(target="the default model", policy="breaker", value="off", place="agent:made"),
        Held(target="the default model", policy="budget", value="tokens=500, per=tree", place="limits"),
    } <= set(held)

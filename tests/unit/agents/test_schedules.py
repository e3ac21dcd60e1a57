"""Schedules that stand in definitions."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runwright import Agent, App, ConfigError, Conflict
from runwright.agents.discover import discover
from runwright.app import AppOptions
from runwright.core.schedule import Schedule
from runwright.models import ModelRegistry
from runwright.settings import Settings

pytestmark = pytest.mark.anyio

CLERK = """\
name: clerk
model: demo
schedules:
  - cron: 0 9 * * 1-5
    timezone: Europe/Berlin
    input: good morning
  - {name: tick, every_s: 60, input: tick}
"""
APART = """\
schedules:
  - {name: apart, agent: clerk, every_s: 60, input: hi}
"""


def opened(folder: Path, *agents: Agent) -> App:
    """An App in memory over the definitions of a folder."""
    models = ModelRegistry(default="demo")
    return App(
        Settings(model="demo", drain_s=0),
        sources=[str(folder)],
        agents=agents,
        models=models,
        options=AppOptions(is_in_memory=True),
    )


def test_they_stand_beside_their_agent_or_apart(tmp_path: Path) -> None:
    """A schedule beside an agent is of it, under its name or its own; one in a file of its own names its agent."""
    (tmp_path / "clerk.yaml").write_text(CLERK)
    (tmp_path / "times.yaml").write_text(APART)
    found = discover(tmp_path)
    beside = [each for declared in found.agents for each in declared.schedules]
    assert [(each.schedule.name, each.schedule.agent) for each in beside] == [("clerk", "clerk"), ("tick", "clerk")]
    assert beside[0].place == f"{tmp_path / 'clerk.yaml'}:4: schedules[0]"
    assert [each.schedule.name for each in found.schedules] == ["apart"]
    assert not found.problems


def test_a_list_may_hold_both(tmp_path: Path) -> None:
    """Agents and schedules that stand apart fit in one file."""
    (tmp_path / "all.yaml").write_text("- {name: a, model: demo}\n- schedules: [{name: s, agent: a, every_s: 60}]\n")
    found = discover(tmp_path)
    assert [each.name for each in found.agents] == ["a"]
    assert found.schedules[0].place == f"{tmp_path / 'all.yaml'}:2: [1].schedules[0]"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "name: a\nschedules:\n- {cron: 0 9 * *}\n",
            ":3: schedules[0].cron: a cron expression has five fields (",
        ),
        ("name: a\nschedules:\n- every_s: 60\n- {every: 60}\n", ":4: schedules[1].every: there is no field 'every'"),
        ("name: a\nschedules: daily\n", ":2: schedules: this is a list of schedules, not 'daily'"),
        ("name: a\nschedules: [{agent: b, every_s: 60}]\n", ":2: schedules[0].agent: the schedule stands with 'a'"),
        ("schedules:\n- {name: s, every_s: 60}\n", ":2: schedules[0]: a schedule names its agent"),
    ],
)
def test_what_is_wrong_has_a_place(tmp_path: Path, text: str, problem: str) -> None:
    """A mistake is told with file, line and path."""
    (tmp_path / "a.yaml").write_text(text)
    told = [f"{place}: {detail}" for place, detail in discover(tmp_path).problems]
    assert len(told) == 1
    assert (
        told[0]
        .replace("schedules[0].agent: a schedule", "schedules[0]: a schedule")
        .startswith(f"{tmp_path / 'a.yaml'}{problem}")
    )


async def test_a_name_stands_once(tmp_path: Path) -> None:
    """Two schedules of one name are refused where the second stands."""
    (tmp_path / "clerk.yaml").write_text(CLERK)
    (tmp_path / "times.yaml").write_text(APART.replace("apart", "tick"))
    with pytest.raises(ConfigError, match=r"times.yaml:2.*there is another schedule 'tick' in .*clerk.yaml:7"):
        async with opened(tmp_path):
            pass


async def test_what_is_stored_follows_the_files(tmp_path: Path) -> None:
    """A reload adds, changes and takes away schedules of files; what is paused stays so, and others are left alone."""
    file = tmp_path / "clerk.yaml"
    file.write_text(CLERK)
    async with opened(tmp_path) as app:
        await app.schedules.create({"name": "own", "agent": "clerk", "input": "x", "every_s": 60})
        tick = await app.schedules.pause("tick")
        assert (tick.source, tick.place) == ("file", f"{file}:7: schedules[1]")
        with pytest.raises(Conflict, match=r"clerk.yaml:7"):
            await app.schedules.delete("tick")
        with pytest.raises(Conflict, match="change it there"):
            await app.schedules.patch("tick", {"every_s": 30})
        file.write_text(CLERK.replace("every_s: 60", "every_s: 90").replace("0 9", "0 8"))
        (tmp_path / "times.yaml").write_text(APART.replace("apart", "own"))
        problems = await asyncio.to_thread(app.reload)
        assert ["a schedule 'own' was made over the API" in detail for _, detail in problems] == [True]
        tick = await app.schedules.get("tick")
        assert (tick.status, tick.definition.every_s) == ("paused", 90)
        assert (await app.schedules.get("clerk")).definition.cron == "0 8 * * 1-5"
        file.write_text("name: clerk\nmodel: demo\n")
        await asyncio.to_thread(app.reload)
        assert [each.name for each in (await app.schedules.find()).data] == ["own"]


async def test_a_reload_says_which_schedule_names_nobody(tmp_path: Path) -> None:
    """A schedule whose agent is not there, or cannot read its input, is told with its place."""
    (tmp_path / "clerk.yaml").write_text(CLERK.replace("input: tick", "input: {text: 7}"))
    (tmp_path / "times.yaml").write_text(APART.replace("agent: clerk", "agent: clerc"))
    async with opened(tmp_path) as app:
        problems = dict(await asyncio.to_thread(app.reload))
    assert problems[f"{tmp_path / 'times.yaml'}:2: schedules[0].agent"].endswith("did you mean 'clerk'?")
    assert any("schedules[1].input" in place for place in problems)


async def test_a_start_says_which_schedule_names_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A server that is started with such a schedule logs where it stands, and serves the others."""
    (tmp_path / "clerk.yaml").write_text(CLERK)
    (tmp_path / "times.yaml").write_text(APART.replace("agent: clerk", "agent: clerc"))
    async with opened(tmp_path) as app:
        (told,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert told.startswith(f"{tmp_path / 'times.yaml'}:2: schedules[0].agent: there is no agent 'clerc'")
        problems = {each.name: each.problem for each in (await app.schedules.find()).data}
    assert {name: bool(problem) for name, problem in problems.items()} == {"apart": True, "clerk": False, "tick": False}


async def test_in_python(tmp_path: Path) -> None:
    """An agent in Python holds its schedules; a wrong one is told with its place."""
    agent = Agent("clerk", model="demo", schedules=[Schedule(cron="0 9 * * *", input="hi"), {"every_s": 60}])
    async with opened(tmp_path, agent) as app:
        views = (await app.schedules.find()).data
        assert [(each.name, each.source) for each in views] == [("clerk", "code"), ("clerk-2", "code")]
    wrong = Agent("clerk", model="demo", schedules=[Schedule(cron="0 9 * * *", every_s=5)])
    with pytest.raises(ConfigError) as caught:
        wrong.declare()
    assert [place for place, _ in caught.value.problems] == ["/schedules/0/every_s"]

"""Agents of other frameworks whose server is killed go on where they were, and replay."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.crash.harness import ONCE, OUTPUT, TEST_S, Body
from tests.crash.stage import Stage

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]


@pytest.mark.parametrize("agent", ["bridged", "graphed"])
@pytest.mark.parametrize(
    "point", ["after step.started 2", "after step.completed 3", "half 2", "done reserve", "after step.completed 8"]
)
async def test_killed(stage: Stage, agent: str, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that was finished is done again, the output is the same, and a strict replay has the same steps."""
    monkeypatch.setenv(f"CRASH_{agent.upper()}", "1")
    stage.agent = agent
    await stage.killed_at(point)
    (kill,) = stage.kills
    await stage.goes_on()
    run = await stage.settled(stage.run)
    assert (run["status"], run["output"]) == ("completed", OUTPUT), (point, run["error"])
    entered = stage.witness.entered(stage.run)
    asked = Counter({place: count for (_, place), count in stage.provider.calls.items()})
    assert list(kill.repeated(stage.run, entered, asked)) == [], point
    # A tool that was entered when the process died is called again only where the person who was asked said so.
    for tool in ONCE:
        assert 1 <= entered[tool] <= 1 + stage.granted[tool], (point, tool)
    replayed: Body = await stage.post(f"runs/{stage.run}/replay", {"mode": "wait"})
    assert (replayed["status"], replayed["output"]) == ("completed", OUTPUT), point
    assert stage.witness.entered(stage.run) == entered, point

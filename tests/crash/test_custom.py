"""An agent whose code runs in a sandbox is killed while it is at work: nothing that was finished happens again."""

from __future__ import annotations

import pytest

from runwright.core.sandbox import Language
from tests.crash.harness import OUTPUT, TEST_S, Body
from tests.crash.stage import Stage
from tests.integration.sandbox.ways import need

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]


@pytest.mark.parametrize(
    ("language", "point"),
    [
        ("python", "before step.completed 1"),
        ("python", "after step.completed 2"),
        ("python", "entered charge"),
        ("python", "after step.started 7"),
        ("javascript", "after step.completed 5"),
        ("javascript", "entered stamp"),
    ],
)
async def test_killed(stage: Stage, language: Language, point: str) -> None:
    """The code runs again, gets what it got before, and goes on; a replay of it does nothing at all."""
    need("bubblewrap", language)
    stage.agent = f"coded-{language}"
    await stage.killed_at(point)
    await stage.goes_on()
    deeds = stage.witness.deeds()
    replayed: Body = await stage.post(f"runs/{stage.run}/replay", {"mode": "wait"})
    assert (replayed["status"], replayed["output"]) == ("completed", OUTPUT), point
    difference = await stage.get(f"runs/{stage.run}/diff/{replayed['id']}")
    assert difference["is_same"], point
    assert stage.witness.deeds() == deeds, point
    await stage.check()

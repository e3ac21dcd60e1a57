"""Killed at every commit, in every tool and in every model call."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.crash.harness import RESULTS, TEST_S
from tests.crash.stage import Stage

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]

IS_WHOLE = os.environ.get("CRASH") == "all"

STORY = (
    "run.queued run.started",
    *["step.started", "message.completed step.completed", "step.started", "step.completed"] * 3,
    *["step.started", "message.completed step.completed", "step.started", "step.started"],
    *["step.completed"] * 2,
    *["step.started", "message.completed step.completed", "run.completed"],
)
"""The commits of an undisturbed run."""


def _boundaries(commits: Sequence[str]) -> list[str]:
    """Each commit by an event that it holds, and how many of that type there were by then."""
    counted: Counter[str] = Counter()
    named: list[str] = []
    for commit in commits:
        types = commit.split()
        counted.update(types)
        named.append(f"{types[0]} {counted[types[0]]}")
    return named


COMMITS = [f"{moment} {boundary}" for boundary in _boundaries(STORY) for moment in ("before", "after")]
TOOLS = [f"{moment} {name}" for name in RESULTS for moment in ("entered", "done")]
MODELS = [f"{moment} {place}" for place in range(5) for moment in ("received", "half")]


async def test_undisturbed(stage: Stage) -> None:
    """A run that nobody kills commits what the matrix goes through, and passes the checks of the others."""
    await stage.start("before run.failed 1")
    await stage.begin()
    await stage.check()
    assert stage.commits() == list(STORY)


@pytest.mark.parametrize("point", [*COMMITS, *TOOLS, *MODELS])
async def test_killed(stage: Stage, point: str) -> None:
    """A run that is killed anywhere goes on from there: nothing that was finished happens again."""
    await stage.killed_at(point)
    await stage.goes_on()
    await stage.check()

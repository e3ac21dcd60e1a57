"""A budget counts what nobody knows the end of."""

from __future__ import annotations

import pytest

from tests.crash.harness import TEST_S, Body
from tests.crash.stage import Stage

pytestmark = [pytest.mark.crash, pytest.mark.timeout(TEST_S)]

BOUNDED = {"RUNWRIGHT_GUARD__BUDGET__TOKENS": "100000", "RUNWRIGHT_GUARD__BUDGET__PER": "month"}


async def test_a_call_that_was_under_way_counts_after_a_restart(stage: Stage) -> None:
    """Killed in the middle of an answer, a call counts as what it may use, until its run goes on and tells what it did.

    A server that takes nothing up shows the reservation; the next one lets the run go on.
    """
    await stage.start("half 1", **BOUNDED)
    await stage.begin()
    await stage.died("half 1")
    await stage.start("", RUNWRIGHT_RECOVER="false", **BOUNDED)
    left = await _budget(stage)
    assert (left["spent"], left["reserved"] > 1024) == (15, True), left
    await stage.stop()
    await stage.start("", **BOUNDED)
    await stage.watch()
    done = await _budget(stage)
    assert (done["spent"], done["reserved"]) == (75, 0), done


async def _budget(stage: Stage) -> Body:
    (budget,) = (await stage.get("budgets"))["data"]
    return budget

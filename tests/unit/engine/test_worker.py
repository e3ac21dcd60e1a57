"""The engine: what it refuses, what it tells, and how it tends runs of others."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from runwright.engine.owner import Owner
from runwright.engine.worker import EngineOptions
from runwright.store import Stores
from runwright.testing import ScriptedModel, calls
from tests.unit.engine.harness import HeldTool, looping, started, until

pytestmark = pytest.mark.anyio


class OddOwner(Owner):
    """An owner that counts what it is asked, and may fail."""

    def __init__(self, directory: Path | None, error: Exception | None = None) -> None:
        super().__init__(directory)
        self.asked: list[str | None] = []
        self.error = error

    def is_gone(self, boot: str | None) -> bool:
        """Fail, or look."""
        self.asked.append(boot)
        if self.error is not None:
            raise self.error
        return super().is_gone(boot)


async def test_trouble_with_orphans_ends_no_run(
    stores: Stores, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever fails while the engine tends is logged once; the runs go on, and so does the tending."""
    held, own = HeldTool("act"), HeldTool("act")
    quiet = EngineOptions()
    model = ScriptedModel(calls(("act", {})), "done")
    owner = OddOwner(tmp_path)
    async with started(looping(own), model=model, stores=stores, owner=owner) as process:
        handle = await process.create(mode="background")
        await own.is_entered.wait()
        owner.error = OSError(24, "Too many open files")
        dead = ScriptedModel(calls(("act", {})))
        async with started(looping(held), model=dead, stores=stores, boots=tmp_path, options=quiet) as other:
            orphan = await other.create(mode="background")
            await held.is_entered.wait()
            await until(lambda: len(owner.asked) > 3)
            await other.crash()
        own.go.set()
        assert (await handle.wait()).status == "completed"
        owner.error = None
        await process.settled(orphan.run_id, "failed")
    said = [record.getMessage() for record in caplog.records if record.name == "runwright.engine"]
    assert [text.partition(": ")[2] for text in said] == ["OSError: [Errno 24] Too many open files"]
    assert all(record.levelno == logging.ERROR for record in caplog.records if record.name == "runwright.engine")


async def test_an_owner_is_looked_at_once_a_round(stores: Stores, tmp_path: Path) -> None:
    """However many runs another process has, its lock is tried once, and one's own runs are no question."""
    mine, theirs = HeldTool("act"), HeldTool("act")
    model = ScriptedModel(by=lambda request: calls(("act", {})))
    owner = OddOwner(tmp_path)
    async with started(looping(theirs), model=model, stores=stores, boots=tmp_path, options=EngineOptions()) as other:
        for _ in range(3):
            await other.create(mode="background")
        async with started(looping(mine), model=model, stores=stores, owner=owner) as process:
            assert owner.asked == [other.owner.boot]
            await process.create(mode="background")
            await until(lambda: len(owner.asked) > 3)
            assert set(owner.asked) == {other.owner.boot}

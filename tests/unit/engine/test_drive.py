"""The runs in the hands of a process."""

from __future__ import annotations

from runwright.engine.worker import EngineOptions
from runwright.testing import ScriptedModel, calls
from tests.unit.engine.harness import HeldTool, looping, started, until


async def test_what_executes_has_a_slot() -> None:
    """Runs execute in as many slots as there are; those that wait for one are only in the hands of the process."""
    tool = HeldTool("slow")
    model = ScriptedModel(by=lambda request: "fin" if len(request.messages) > 1 else calls(("slow", {})))
    async with started(looping(tool), model=model, options=EngineOptions(concurrency=2)) as process:
        runs = [await process.create(mode="background") for _ in range(3)]
        await until(lambda: process.engine.executing == 2)
        assert process.engine.active == 3
        tool.go.set()
        for each in runs:
            await process.settled(each.run_id, "completed")
        await until(lambda: process.engine.executing == 0)

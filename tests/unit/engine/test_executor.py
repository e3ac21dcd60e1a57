"""What an agent's run does, seen from outside."""

from __future__ import annotations

import pytest

from runwright.testing import ScriptedModel, ScriptedTool, calls
from tests.unit.engine.harness import looping, started


@pytest.mark.anyio
async def test_a_loop_calls_its_tools_and_answers() -> None:
    """A loop asks the model, performs its tool calls, tells it the results and ends with its answer."""
    add = ScriptedTool("add", lambda given: int(str(given["a"])) + int(str(given["b"])))
    model = ScriptedModel(calls(("add", {"a": 1, "b": 2})), "It is 3.")
    async with started(looping(add), model=model) as process:
        view = await process.run("1 + 2?")
        assert (view.status, bytes(view.output)) == ("completed", b'"It is 3."')
        assert await process.types(view.id) == [
            "run.queued",
            "run.started",
            "step.started",
            "message.completed",
            "step.completed",
            "step.started",
            "step.completed",
            "step.started",
            "message.completed",
            "step.completed",
            "run.completed",
        ]
        assert view.usage.tool_calls == 1

"""What callers can ask about runs, where it does not depend on how they are executed."""

from typing import Any

import msgspec
import pytest

from runwright.errors import InvalidRequest
from runwright.service.views import Resolution
from runwright.testing import ScriptedModel, ScriptedTool, calls
from tests.unit.engine.harness import looping, started


def _lost(_: object) -> object:
    raise ConnectionError("the line broke")


@pytest.mark.parametrize(
    "result",
    [{"receipt": object()}, "paid", 5, b"bytes", msgspec.Raw(b"not json"), msgspec.Raw(b'"\xff"'), msgspec.Raw()],
)
async def test_a_result_that_is_no_json_is_refused_and_not_recorded(result: Any) -> None:
    """A resolution in Python takes JSON text; with anything else the run waits on as before, and can be resolved."""
    model = ScriptedModel(calls(("pay", {"amount": 1})), "paid")
    async with started(looping(ScriptedTool("pay", _lost, effect="once")), model=model) as process:
        view = await process.run()
        before = await process.story(view.id)
        with pytest.raises(InvalidRequest, match="a result is JSON text") as caught:
            await process.runs.resolve(view.id, Resolution(action="done", result=result))
        assert caught.value.problems[0][0] == "/result"
        assert (await process.runs.get(view.id)).status == "waiting"
        assert await process.story(view.id) == before
        await process.runs.resolve(view.id, Resolution(action="done", result=msgspec.Raw(b'"receipt 1"')))
        await process.settled(view.id, "completed")

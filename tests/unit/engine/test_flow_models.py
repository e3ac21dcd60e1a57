"""What flows ask of models: with tools and a schema, of models of their own, and of other libraries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from runwright.core.context import Context
from runwright.core.event import MessageCompleted
from runwright.core.message import AssistantMessage
from runwright.core.model import (
    ModelEvent,
    ModelOptions,
    ModelRequest,
    ModelResponse,
    ModelSettings,
    OutputSpec,
    ResponseCompleted,
    ToolSpec,
)
from runwright.errors import ProviderUnavailable
from runwright.testing import ScriptedModel, calls
from tests.unit.engine.harness import flowing, started
from tests.unit.engine.test_playback import same

pytestmark = pytest.mark.anyio

LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object"})
ORIGINAL = b'{"parts":["signed"]}'


class OtherLibrary:
    """A model that answers with what only its library can read."""

    def __init__(self, *errors: Exception) -> None:
        self.ref = "other:one"
        self.asked: list[ModelRequest] = []
        self._errors = list(errors)

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Answer, after its errors."""
        self.asked.append(request)
        if self._errors:
            raise self._errors.pop()
        message = AssistantMessage(content="mine")
        yield ResponseCompleted(ModelResponse(message=message, original=ORIGINAL, model="one", provider="other"))


async def test_a_flow_offers_tools_and_asks_for_a_schema() -> None:
    """What goes with the messages of a flow's model call is sent, recorded, and part of its key."""
    model = ScriptedModel(calls(("look", {"at": "tea"})), "done")
    output = OutputSpec(name="out", schema={"type": "object"})

    async def work(context: Context, given: Any) -> Any:
        options = ModelOptions(tools=(LOOK,), settings=ModelSettings(temperature=0.5), tool_choice="auto")
        first = await context.model("hi", options=options)
        await context.model("hi", options=ModelOptions(output=output))
        return first.message.tool_calls[0].arguments

    async with started(flowing(work), model=model) as process:
        view = await process.run()
        first, second = await process.steps(view.id)
        await same(process, view.id)
    assert (view.status, bytes(view.output)) == ("completed", b'"{\\"at\\":\\"tea\\"}"')
    assert (model.requests[0].tools, model.requests[0].settings.temperature) == ((LOOK,), 0.5)
    assert model.requests[1].output == output
    assert first.key != second.key


async def test_a_model_of_the_flows_own_answers_and_its_original_is_recorded() -> None:
    """A flow's own model is called as a step under its reference, and its answer comes again whole."""
    own = OtherLibrary()
    seen: list[bytes] = []

    async def work(context: Context, given: Any) -> Any:
        answer = await context.model("hi", model=own)
        seen.append(answer.original)
        return answer.message.content

    async with started(flowing(work)) as process:
        view = await process.run()
        story = await process.story(view.id)
        (step,) = await process.steps(view.id)
        await same(process, view.id)
    (told,) = (event.data for event in story if isinstance(event.data, MessageCompleted))
    assert (view.status, step.name, bytes(told.original)) == ("completed", "other:one", ORIGINAL)
    assert (seen, len(own.asked)) == ([ORIGINAL, ORIGINAL], 1)


async def test_the_guard_owns_the_retries_of_a_flows_own_model() -> None:
    """What a flow's own model fails with is sent again by the guard, within the same step."""
    own = OtherLibrary(ProviderUnavailable("busy"))

    async def work(context: Context, given: Any) -> Any:
        return (await context.model("hi", model=own)).message.content

    async with started(flowing(work)) as process:
        view = await process.run()
        (step,) = await process.steps(view.id)
    assert (view.status, step.attempt, len(own.asked)) == ("completed", 2, 2), view.error

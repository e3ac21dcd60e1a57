"""Limits as runs meet them: what they reserve, what providers say, and who goes first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from runwright.core.event import GuardDecided
from runwright.core.model import ModelEvent, ModelRequest, ModelSettings, Quota, QuotaSeen
from runwright.core.run import RunMode
from runwright.guard import Call, Guard, Guards, GuardSettings, Limit, Own, Priority, Registry, Surroundings
from runwright.guard.plans import Way
from runwright.guard.rate import Gate
from runwright.testing import ScriptedModel
from tests.unit.engine.harness import looping, started

pytestmark = pytest.mark.anyio


class SpentModel(ScriptedModel):
    """A model whose provider says that nothing is left for a while."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Say what is left, and answer."""
        yield QuotaSeen(Quota(requests=10, requests_left=0, requests_reset_s=300.0, is_window=True))
        async for event in super().stream(request):
            yield event


async def test_what_a_provider_says_holds_the_next_run_back() -> None:
    """What came with one answer decides about the next call, and the record of the run says so."""
    guards = Guards(Surroundings(registry=Registry()), GuardSettings(app=Guard(limit=Limit(queue_s=10), retry=False)))
    async with started(looping(), model=SpentModel("one", "two"), guards=guards) as process:
        assert (await process.run()).status == "completed"
        view = await process.run()
        assert view.error is not None
        assert (view.status, view.error.code) == ("failed", "call_shed")
        decided = [event.data for event in await process.story(view.id) if isinstance(event.data, GuardDecided)]
    assert [(decision.layer, decision.action) for decision in decided] == [("rate", "refused")]
    assert decided[0].reason == "calls wait at most 10 s here"


async def test_a_call_counts_with_what_it_used() -> None:
    """Reserved are the input and the longest output; when the answer is there, what it used stands in their place."""
    limit = Limit(tokens=1_000_000, per_s=1e9, adaptive=False)
    guards = Guards(Surroundings(registry=Registry()), GuardSettings(app=Guard(limit=limit)))
    async with started(looping(), model=ScriptedModel("done"), guards=guards) as process:
        view = await process.run()
    (meter,) = (gate.meter for target, _, gate in guards.around.registry.all(Gate) if target == "test:scripted")
    assert 0 < view.usage.total_tokens < 100
    assert meter.figures() == {"tokens_left": pytest.approx(100_000 - view.usage.total_tokens, abs=0.1)}


class Watching(Guards):
    """Guards that keep the calls of models."""

    def __init__(self) -> None:
        super().__init__(Surroundings(registry=Registry()))
        self.calls: list[Call[Any]] = []

    def model(self, ref: str, own: Own) -> Way:
        """For calls of a model."""
        way = super().model(ref, own)

        async def proceed(call: Call[Any]) -> Any:
            self.calls.append(call)
            return await way.proceed(call)

        return replace(way, proceed=proceed)


@pytest.mark.parametrize(
    ("mode", "priority"), [("wait", "interactive"), ("stream", "interactive"), ("background", "background")]
)
async def test_background_runs_go_behind(mode: RunMode, priority: Priority) -> None:
    """Calls of a run that somebody waits for go first; and every call says what it is expected to use."""
    guards = Watching()
    async with started(looping(settings=ModelSettings(max_tokens=50)), guards=guards) as process:
        await process.run(mode=mode)
    (call,) = guards.calls
    assert call.priority == priority
    assert 50 < call.estimate.tokens < 200

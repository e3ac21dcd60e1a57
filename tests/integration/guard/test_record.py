"""The record of a run says what the guard did with its calls, and nothing that it did not do."""

from collections.abc import AsyncIterator, Sequence

import pytest

from runwright import Agent, App
from runwright.app import AppOptions
from runwright.core.event import Event, GuardDecided
from runwright.core.run import Run
from runwright.guard import Fallback, Guard
from runwright.models import ModelRegistry, ProviderSettings
from runwright.settings import Settings
from tests.integration.guard.faulty import Faulty, faulty


@pytest.fixture
async def provider() -> AsyncIterator[Faulty]:
    """A running provider."""
    async with faulty() as running:
        yield running


class Story:
    """A reader that keeps all events in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, run: Run, events: Sequence[Event]) -> None:
        """Keep them."""
        self.events += events

    @property
    def decisions(self) -> list[GuardDecided]:
        """What the guard did."""
        return [event.data for event in self.events if isinstance(event.data, GuardDecided)]


def opened(provider: Faulty, story: Story, *agents: Agent, guard: dict[str, object]) -> App:
    """An app whose models are the provider's, which has no prices."""
    models = ModelRegistry({"acme": ProviderSettings(base_url=provider.url, api_key="sk-none")})
    options = AppOptions(is_in_memory=True, is_offline=True, readers=(story,))
    return App(Settings(metrics=False, guard=guard), agents=agents, models=models, options=options)


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        ({}, []),
        ({"models": {"acme:503": {"budget": {"usd": "1"}}}}, ["acme:503"]),
        ({"models": {"acme:well": {"budget": {"usd": "1"}}}}, ["acme:well"]),
        ({"budget": {"usd": "1"}}, ["acme:503", "acme:well"]),
        ({"budget": {"tokens": 10_000}}, []),
    ],
    ids=["no budget", "of the first model", "of the next model", "of both", "in tokens"],
)
async def test_only_who_has_a_budget_is_told_that_there_is_no_price(
    provider: Faulty, policies: dict[str, object], told: list[str]
) -> None:
    """That a model has no price stands in the record once where a budget in USD bounds it, else not at all."""
    story = Story()
    agent = Agent("a", model="acme:503", guard=Guard(retry=False, fallback=Fallback(models=("acme:well",))))
    async with opened(provider, story, agent, guard=policies) as app:
        view = await app.run("a", "go")
        steps = await app.runs.steps(view.id)
    assert [each for step in steps.data for each in step.decisions] == story.decisions
    assert view.status == "completed", view.error
    unpriced = [each.target for each in story.decisions if each.action == "unpriced"]
    assert unpriced == told
    others = [(each.layer, each.action) for each in story.decisions if each.action != "unpriced"]
    assert others == [("fallback", "switched")]

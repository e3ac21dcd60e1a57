"""The verdict on a replay."""

import pytest

from runwright import Agent, App
from runwright.app import AppOptions
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.models import ModelRegistry
from runwright.service.replays import Verdict, judge
from runwright.settings import Settings

pytestmark = pytest.mark.anyio
MEMORY = AppOptions(is_in_memory=True, is_offline=True)


async def verdict(**config: object) -> Verdict:
    """That on a run of the demo model with another configuration, its model live."""
    models = ModelRegistry(default="demo")
    agents = (Agent("support", model="demo", instructions="Be kind."),)
    async with App(Settings(drain_s=0), agents=agents, models=models, options=MEMORY) as app:
        first = await app.run("support", "hello")
        request = RunRequest(agent="", input=b"", config=config, replay=Replay(of=first.id, live=("model",)))
        view = await (await app.runs.create(request)).wait()
        events = [event async for group in app.runs.events(view.id) for event in group]
        return judge(view, await app.diffs.between(first.id, view.id), events)


async def test_a_change_is_told_where_it_is() -> None:
    """A step that was asked something else is named, with the difference."""
    found = await verdict(instructions="Be brief.")
    assert (found.verdict, found.steps) == ("changed", 1)
    assert found.detail.endswith("('demo') was asked something else.")
    assert "+  Be brief." in found.difference


async def test_a_replay_that_fails_says_why() -> None:
    """What a replay did not come to because it failed is told with the error, not as a difference."""
    found = await verdict(model="nonsense")
    assert (found.verdict, found.steps, found.difference) == ("changed", 0, "")
    assert found.detail.startswith("It failed before step 3 ('demo'): config_invalid: the model 'nonsense'")

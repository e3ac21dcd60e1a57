"""Policies from every place reach the calls that they are for."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from runwright import Agent, App, Context, Guard, tool
from runwright.app import AppOptions
from runwright.errors import ConfigError, InvalidRequest
from runwright.guard import Cache, Fallback, Similar, Timeout
from runwright.models import ModelRegistry, ProviderSettings
from runwright.settings import Settings

SOON = Guard(timeout=Timeout(total_s=0.01))
LATE = Guard(timeout=Timeout(total_s=600.0))
OPTIONS = AppOptions(is_in_memory=True, is_offline=True)


async def use(name: str, context: Context) -> str:
    """Use a tool that never answers."""
    await context.tool(name)
    return "done"


async def stuck() -> None:
    """Never answer."""
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("settings", "agent", "of_tool", "run"),
    [
        ({"timeout": {"total_s": 0.01}}, None, None, None),
        ({"timeout": {"total_s": 600}}, SOON, None, None),
        ({"tools": {"stuck": {"timeout": {"total_s": 0.01}}}}, LATE, LATE, None),
        ({}, LATE, SOON, None),
        ({"tools": {"stuck": {"timeout": {"total_s": 600}}}}, LATE, LATE, {"timeout": {"total_s": 0.01}}),
    ],
    ids=["app", "agent", "settings of the tool", "tool", "run"],
)
async def test_the_narrower_place_wins(
    settings: dict[str, Any], agent: Guard | None, of_tool: Guard | None, run: dict[str, Any] | None
) -> None:
    """The policy of the narrowest place that sets one holds: run, settings of the tool, tool, agent, app."""
    look = tool(effect="read", name="stuck", guard=of_tool)(stuck)
    made = Agent("a", run=use, tools=[look], guard=agent)
    config = {} if run is None else {"guard": run}
    models = ModelRegistry(default="demo")
    async with App(Settings(guard=settings), agents=[made], models=models, options=OPTIONS) as app:
        view = await app.run("a", "stuck", config=config)
    assert view.error is not None
    assert "did not answer within 0.01 s" in view.error.message


STRANGER = {"fallback": {"models": ["demo", "opnai:x"]}}
PLACE = "/fallback/models/1"


@pytest.mark.parametrize(
    ("settings", "agent", "place"),
    [
        (STRANGER, None, f"/guard{PLACE}"),
        ({"models": {"openai:*": STRANGER}}, None, f"/guard/models/openai:*{PLACE}"),
        ({}, Guard(fallback=Fallback(models=("demo", "opnai:x"))), "Agent('a'): guard.fallback.models[1]"),
    ],
    ids=["app", "model", "agent"],
)
async def test_what_nobody_can_fall_back_on_is_told_at_start(
    settings: dict[str, Any], agent: Guard | None, place: str
) -> None:
    """An app does not start with a fallback whose provider is unknown, and says where it stands."""
    made = Agent("a", run=use, guard=agent)
    with pytest.raises(ConfigError, match=r"there is no provider 'opnai'\. Did you mean 'openai'\?") as caught:
        async with App(Settings(guard=settings), agents=[made], models=ModelRegistry(), options=OPTIONS):
            pass
    (problem,) = caught.value.problems
    assert problem[0] == place


async def test_a_run_cannot_fall_back_on_what_is_no_model() -> None:
    """A caller's own fallback is refused with its place when its provider is unknown; a set provider is known."""
    models = ModelRegistry({"mine": ProviderSettings(base_url="http://127.0.0.1:1")}, default="demo")
    guard = Guard(fallback=Fallback(models=("mine:x",)))
    async with App(Settings(), agents=[Agent("a", guard=guard)], models=models, options=OPTIONS) as app:
        with pytest.raises(InvalidRequest) as caught:
            await app.run("a", "hi", config={"guard": STRANGER})
        view = await app.run("a", "hi")
    assert [place for place, _ in caught.value.problems] == [f"/config/guard{PLACE}"]
    assert view.status == "completed"


async def test_a_run_cannot_let_similar_questions_be_answered() -> None:
    """A caller cannot lower the bar of an agent's cache; to leave it out is allowed."""
    models = ModelRegistry(default="demo")
    guard = Guard(cache=Cache(similar=Similar(mode="answer")))
    agent = Agent("a", guard=guard, settings={"temperature": 0})
    async with App(Settings(), agents=[agent], models=models, options=OPTIONS) as app:
        with pytest.raises(InvalidRequest) as caught:
            await app.run("a", "hi", config={"guard": {"cache": {"similar": {"mode": "answer", "risk": 0.9}}}})
        view = await app.run("a", "hi", config={"guard": {"cache": True}})
    assert [place for place, _ in caught.value.problems] == ["/config/guard/cache/similar"]
    assert view.status == "completed"


async def test_an_ollama_is_looked_for_when_only_a_fallback_may_need_it() -> None:
    """A start counts what is fallen back on among the models that it looks up."""
    looked: list[set[str | None]] = []

    class Looking(ModelRegistry):
        async def look(self, refs: Iterable[str | None]) -> None:
            looked.append(set(refs))

    agent = Agent("a", model="demo", guard=Guard(fallback=Fallback(models=("llama3",))))
    settings = Settings(guard={"models": {"demo:*": {"fallback": {"models": ["demo:slow"]}}}})
    options = AppOptions(is_in_memory=True)
    async with App(settings, agents=[agent], models=Looking(), options=options):
        pass
    assert looked == [{"demo", "llama3", "demo:slow"}]

"""Which policies hold for a call, and how long the way that they make is kept."""

from typing import Any

import pytest

from runwright.core.policy import Budget, Cache, Fallback, Guard, GuardSettings, Plugin, Retry
from runwright.guard import Guards, Own, surroundings
from runwright.guard.plans import MOST_WAYS


@pytest.mark.parametrize(
    "own",
    [Own(agent="a"), Own(agent="a", of_run=Guard(cache=True)), Own(agent="a", of_agent=Guard(retry=False), tokens=9)],
    ids=["plain", "of_run", "of_agent"],
)
def test_a_way_is_made_once(own: Own) -> None:
    """All steps of a run go one way, and so do other runs with the same policies."""
    guards = Guards(surroundings())
    way, other = guards.model("demo:x", own), guards.tool("x", own, Guard(retry=Retry(attempts=2)))
    equal = Own(agent=own.agent, of_agent=own.of_agent, of_run=own.of_run, tokens=own.tokens)
    assert guards.model("demo:x", own) is guards.model("demo:x", equal) is way
    assert guards.tool("x", equal, Guard(retry=Retry(attempts=2))) is other


def test_runs_do_not_drive_each_other_out() -> None:
    """Runs of one agent with other limits of tokens each keep their way."""
    guards, owns = Guards(surroundings()), [Own(agent="a", tokens=tokens) for tokens in (1, 2, 3)]
    ways = [guards.model("demo:x", own) for own in owns]
    assert [way.plan.budgets[0].budget.tokens for way in ways] == [1, 2, 3]
    assert all(guards.model("demo:x", own) is way for own, way in zip(owns, ways, strict=True))


def test_ways_do_not_pile_up() -> None:
    """The oldest way is forgotten when there are too many."""
    guards = Guards(surroundings())
    first, *others = (Own(agent="a", tokens=tokens) for tokens in range(1, MOST_WAYS + 2))
    way = guards.model("demo:x", first)
    kept = [guards.model("demo:x", own) for own in others]
    assert all(guards.model("demo:x", own) is each for own, each in zip(others, kept, strict=True))
    assert guards.model("demo:x", first) is not way


def test_what_a_model_sets_adds_to_what_its_provider_sets() -> None:
    """Budgets and plugins of both entries hold; of other policies that of the model, where it says something."""
    wide = Guard(budget=Budget(usd="1"), plugins=Plugin(name="a"), retry=Retry(attempts=2), cache=True)
    narrow = Guard(budget=Budget(usd="2"), plugins=Plugin(name="b"), retry=False)
    chosen = Guards(surroundings(), GuardSettings(models={"demo:*": wide, "demo:x": narrow})).model_plan(
        "demo:x", Own()
    )
    assert [(each.budget.usd, each.scope) for each in chosen.budgets] == [("1", "model:demo:*"), ("2", "model:demo:x")]
    assert [(each.plugin.name, each.scope) for each in chosen.plugins] == [("a", "model:demo:*"), ("b", "model:demo:x")]
    assert (chosen.retry, chosen.cache) == (None, Cache())


def test_what_tools_read_is_kept_where_agent_or_tool_say_so() -> None:
    """The cache of an app or a run is none for tools; a run may switch theirs off."""
    guards = Guards(surroundings(), GuardSettings(app=Guard(cache=True)))
    assert guards.tool_plan("t", Own(of_run=Guard(cache=True)), None).cache is None
    assert guards.model_plan("demo:x", Own(of_run=Guard(cache=Cache(ttl_s=5)))).cache == Cache(ttl_s=5)
    assert guards.tool_plan("t", Own(of_agent=Guard(cache=True)), None).cache == Cache()
    assert guards.tool_plan("t", Own(), Guard(cache=True)).cache == Cache()
    assert guards.tool_plan("t", Own(of_agent=Guard(cache=True), of_run=Guard(cache=False)), None).cache is None


def test_models_to_fall_back_on_as_a_list() -> None:
    """A list of models does as well as a tuple."""
    models: Any = ["demo:y"]
    own = Own(agent="a", of_agent=Guard(fallback=Fallback(models=models)))
    fallback = Guards(surroundings()).model("demo:x", own).plan.fallback
    assert fallback == Fallback(models=("demo:y",))

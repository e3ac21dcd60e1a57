"""Bounds that an operator sets for all agents of a template."""

from __future__ import annotations

from typing import Any

import pytest

from runwright import Agent
from runwright.agents.discover import Discovery
from runwright.agents.registry import Registry
from runwright.core.agent import Limits
from runwright.errors import ConfigError

CAPS = {"conversation": {"steps": "5", "time_s": 30, "usd": 0.5, "tokens": 100}, "chain": {"time_s": 9}}


def limits_of(limits: dict[str, Any], *, config: dict[str, object] | None = None) -> Limits:
    """The limits of an agent under the bounds, or of a run of it."""
    registry = Registry(caps=CAPS)
    registry.replace(Discovery(agents=(Agent("a", limits=limits).declare(),)))
    return registry.get("a", config=config).flow.limits


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ({}, {"steps": 5, "time_s": 30, "usd": "0.5", "tokens": 100}),
        ({"steps": 3, "usd": "0.1"}, {"steps": 3, "time_s": 30, "usd": "0.1", "tokens": 100}),
        ({"steps": 9, "time_s": 5, "tokens": None}, {"steps": 5, "time_s": 5, "usd": "0.5", "tokens": 100}),
        ({"time_s": None, "usd": "10"}, {"steps": 5, "time_s": 30, "usd": "0.5", "tokens": 100}),
    ],
)
def test_the_bound_holds(given: dict[str, Any], held: dict[str, Any]) -> None:
    """An agent that sets more, or nothing, has the bound; one that sets less has that. Other limits stay."""
    assert limits_of({**given, "output_retries": 7}) == Limits(**held, output_retries=7)


def test_a_run_cannot_ask_for_more() -> None:
    """Neither can a run of a chain, whose whole configuration comes with it."""
    assert limits_of({}, config={"limits": {"steps": 50}}).steps == 5
    config = {"steps": [{"agent": "a"}], "limits": {"time_s": 100}}
    assert Registry(caps=CAPS).get("chain", config=config).flow.limits.time_s == 9


def test_other_templates_are_left_alone() -> None:
    """A bound is of one template, and changes no fingerprint: runs that began under another one go on."""
    declared = Agent("a", limits={"steps": 9}).declare()
    assert Registry(caps={"chain": {"time_s": 1}}).check(declared).flow.limits.steps == 9
    assert Registry(caps=CAPS).check(declared).fingerprint == Registry().check(declared).fingerprint


@pytest.mark.parametrize(
    ("caps", "place", "detail"),
    [
        ({"conversatoin": {"steps": 5}}, "settings: templates.conversatoin", "did you mean 'conversation'?"),
        ({"conversation": {"stepz": 5}}, "settings: templates.conversation.limits.stepz", "did you mean 'steps'?"),
        ({"conversation": {"steps": 0}}, "settings: templates.conversation.limits.steps", "greater than or equal to 1"),
        ({"chain": {"usd": "much"}}, "settings: templates.chain.limits.usd", "match pattern"),
    ],
)
def test_mistakes_have_a_place(caps: dict[str, Any], place: str, detail: str) -> None:
    """A template, or a limit, that is not there is told when agents are taken, with its place."""
    with pytest.raises(ConfigError) as caught:
        Registry(caps=caps).replace(Discovery(agents=()))
    ((where, told),) = caught.value.problems
    assert where == place
    assert detail in told

"""The policies in force, and where each was set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from runwright.core.policy import Plan, Policy
from runwright.core.trees import leaves
from runwright.errors import ConfigError
from runwright.service.config import POLICIES, text_of

if TYPE_CHECKING:
    from runwright.core.agent import BuiltAgent
    from runwright.settings import Settings


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A policy for the calls of a model or tool: on, off or its figures that are no defaults; and who set it."""

    target: str
    policy: str
    value: str
    place: str


def of_agent(settings: Settings, name: str, sources: list[str]) -> list[Held]:
    """The policies for each model and tool of an agent: of code, a file, or the data directory. Raises NotFound."""
    from runwright.core.agent import guard_of
    from runwright.guard import Guards, Own, Surroundings
    from runwright.guard import Registry as States

    agent = _agent(settings, name, sources)
    guards = Guards(Surroundings(registry=States()), settings.policies)
    own = Own(agent=name, of_agent=agent.guard, tokens=agent.flow.limits.tokens, usd=agent.flow.limits.usd)
    model = agent.flow.model or settings.model or "the default model"
    found = [*_held(model, guards.model_plan(model, own))]
    for each, tool in agent.flow.tools.items():
        found += _held(each, guards.tool_plan(each, own, guard_of(tool)))
    return found


def _agent(settings: Settings, name: str, sources: list[str]) -> BuiltAgent:
    from runwright.agents.discover import discover
    from runwright.agents.registry import Registry
    from runwright.app import DATABASE
    from runwright.service.agents import take_stored
    from runwright.store import open_stores_to_read

    registry = Registry(caps=settings.caps)
    registry.replace(discover(*sources))
    path = settings.data / DATABASE
    if all(entry.agent.name != name for entry in registry.all()) and path.is_file():
        stores = open_stores_to_read(path)
        try:
            problems = take_stored(registry, stores.agents)
        finally:
            stores.close()
        for place, problem in problems:
            if place.startswith(f"stored agent {name!r} "):
                raise ConfigError(f"{place}: {problem}")
    return registry.get(name)


def _held(target: str, of: Plan) -> Iterator[Held]:
    places = dict(of.places)
    for name in POLICIES:
        policy: Policy | None = getattr(of, name)
        value = "off" if policy is None else _changed(policy)
        yield Held(target=target, policy=name, value=value, place=places.get(name, "default"))
    for each in of.budgets:
        yield Held(target=target, policy="budget", value=_changed(each.budget), place=each.scope)
    for each in of.plugins:
        yield Held(target=target, policy="plugins", value=_changed(each.plugin), place=each.scope)


def _changed(policy: Policy) -> str:
    figures = leaves(msgspec.to_builtins(policy))
    return ", ".join(f"{name}={text_of(value)}" for name, value in figures.items()) or "on"

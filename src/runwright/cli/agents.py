"""`runwright agents`: look at agents and their definitions."""

from __future__ import annotations

from collections.abc import Sequence


def fitting(sources: Sequence[str]) -> list[str]:
    """The names of all agents that the sources define. Raises ConfigError with everything that is wrong."""
    from runwright.agents.discover import discover
    from runwright.agents.registry import Registry

    registry = Registry()
    registry.replace(discover(*sources))
    return [entry.agent.name for entry in registry.all()]

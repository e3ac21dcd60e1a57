"""`runwright config`: what is set, where it comes from, and whether it is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from runwright.cli.call import Called, Flag, agent_sources
from runwright.cli.policies import in_force, of_agent
from runwright.settings import TEMPLATES, SettingField, Settings, fields, variable

HIDDEN = "********"


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """One setting with its value as text; None is not set. Secrets are hidden."""

    name: str
    value: str | None
    origin: str
    variable: str


def show(*, origin: Flag = False, agent: str | None = None, call: Called) -> None:
    """Print every setting, with the policies that hold for calls.

    Args:
        origin: Say where each value comes from.
        agent: Print the policies for the models and tools of this agent instead, and where each was set.
        call: What every command is handed.
    """
    if agent is not None:
        _show_policies(agent, call)
        return
    values = shown(call.settings())
    if call.out.is_json:
        call.out.json({"data": values})
    elif origin:
        rows = [(value.name, value.value, value.origin, value.variable) for value in values]
        call.out.table(("setting", "value", "origin", "variable"), rows)
    else:
        call.out.table(("setting", "value"), [(value.name, value.value) for value in values])


def _show_policies(agent: str, call: Called) -> None:
    settings = call.settings()
    held = of_agent(settings, agent, agent_sources(settings))
    if call.out.is_json:
        call.out.json({"data": held})
        return
    call.out.table(
        ("target", "policy", "value", "set by"), [(each.target, each.policy, each.value, each.place) for each in held]
    )


def check(*, call: Called) -> None:
    """Check settings, prices and definitions, and say what is wrong.

    Args:
        call: What every command is handed.
    """
    from runwright.app import open_prices
    from runwright.cli.agents import fitting

    settings = call.settings()
    open_prices(settings)
    sources = agent_sources(settings)
    names = fitting(settings, sources)
    if call.out.is_json:
        call.out.json({"ok": True, "agents": names})
        return
    call.out.text("settings: ok")
    call.out.text(f"agents: {', '.join(names) or 'none'}" + (f" (from {', '.join(sources)})" if sources else ""))


def shown(settings: Settings) -> list[Value]:
    """Every setting with its value and its origin."""
    origins = settings.origins()
    values = [
        Value(name=field.name, value=_text(settings, field), origin=origins[field.name], variable=field.variable)
        for field in fields(settings)
    ]
    tools = [
        Value(
            name=f"secrets.{name}",
            value=HIDDEN,
            origin=origins[f"secrets.{name}"],
            variable=f"RUNWRIGHT_SECRET_{name.upper()}",
        )
        for name in sorted(settings.secrets)
    ]
    policies = [
        Value(name=name, value=value, origin=_origin(name, origins), variable=variable(name))
        for name, value in in_force(settings).items()
    ]
    bounds = [
        Value(name=name, value=str(value), origin=_origin(name, origins), variable=variable(name))
        for template, limits in settings.caps.items()
        for name, value in ((f"{TEMPLATES}.{template}.limits.{field}", value) for field, value in limits.items())
    ]
    return values + bounds + policies + tools


def _origin(name: str, origins: Mapping[str, str]) -> str:
    """Where a figure was set, itself or with its policy."""
    while name:
        if name in origins:
            return origins[name]
        name = name.rpartition(".")[0]
    return "default"


def _text(settings: Settings, field: SettingField) -> str | None:
    value: object = settings
    for part in field.name.split("."):
        value = cast("dict[str, object]", value)[part] if isinstance(value, dict) else getattr(value, part)
    if value is None:
        return None
    if field.is_secret:
        return HIDDEN
    return str(value).lower() if isinstance(value, bool) else str(value)

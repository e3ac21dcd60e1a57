"""The effective configuration: what is set, and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

import msgspec

from runwright.core.policy import DEFAULT_GUARD, Policy, plan
from runwright.core.trees import leaves
from runwright.settings import TEMPLATES, SettingField, Settings, fields, variable

HIDDEN = "********"
_USER = re.compile(r"(://)[^/?#\s'\"]*@")
_QUERY = re.compile(r"(://[^?#\s'\"]*\?)[^#\s'\"]*")
POLICIES = ("retry", "breaker", "limit", "cache", "timeout", "hedge", "fallback")


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """One setting with its value as text; None is not set. Secrets are hidden, and what URLs may hold of them."""

    name: str
    value: str | None
    origin: str
    variable: str


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
    return str(value).lower() if isinstance(value, bool) else _without_secrets(str(value))


def _without_secrets(text: str) -> str:
    """Text without the users and queries of URLs in it: they may be passwords and tokens."""
    return _QUERY.sub(rf"\1{HIDDEN}", _USER.sub(rf"\1{HIDDEN}@", text))


def in_force(settings: Settings) -> dict[str, str]:
    """The figures that hold where no model, tool, agent or run says otherwise, and what is set for single ones."""
    held = plan(("default", DEFAULT_GUARD), ("app", settings.policies.app))
    found: dict[str, str] = {}
    for name in POLICIES:
        policy: Policy | None = getattr(held, name)
        if policy is None:
            found[f"guard.{name}"] = "off"
        else:
            found |= {
                f"guard.{name}.{figure}": _without_secrets(text_of(value))
                for figure, value in leaves(figures_of(policy)).items()
            }
    for name, value in leaves(settings.guard).items():
        if name.startswith(("models.", "tools.", "budget", "plugins")):
            found[f"guard.{name}"] = _without_secrets(text_of(value))
    return found


def figures_of(policy: Policy) -> dict[str, object]:
    """The figures of a policy by their names."""
    figures = msgspec.structs.asdict(policy)
    return {name: figures_of(value) if isinstance(value, Policy) else value for name, value in figures.items()}


def text_of(value: object) -> str:
    """A figure as a person writes it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)  # pyright: ignore[reportUnknownArgumentType] - figures are plain

"""Bounds that an operator sets for all agents of a template: no agent has more, whatever its definition says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TypeVar

from pydantic import BaseModel

from runwright.agents.base import Template
from runwright.agents.schema import did_you_mean, dotted, validate
from runwright.agents.templates import Templates
from runwright.errors import ConfigError

Caps = Mapping[str, Mapping[str, object]]
"""Limits by the name of a template and that of a field of its `limits`."""

LIMITS = "limits"

ConfigT = TypeVar("ConfigT", bound=BaseModel)


def capped(config: ConfigT, caps: Mapping[str, object]) -> ConfigT:
    """A configuration whose `limits` are within the bounds; where it sets none, they are the bounds."""
    limits = getattr(config, LIMITS, None)
    if not caps or not isinstance(limits, BaseModel):
        return config
    bounds = validate(type(limits), dict(caps))
    lower = {name: getattr(bounds, name) for name in caps if _exceeds(getattr(limits, name), getattr(bounds, name))}
    if not lower:
        return config
    given = {name: getattr(limits, name) for name in limits.model_fields_set}
    return config.model_copy(update={LIMITS: type(limits).model_validate({**given, **lower})})


def wrong_caps(caps: Caps, templates: Templates) -> Iterator[tuple[str, str]]:
    """Bounds that can bound nothing, as (setting, detail) pairs."""
    for name, limits in caps.items():
        at = f"settings: templates.{name}"
        if name not in templates:
            yield at, f"there is no template {name!r}{did_you_mean(name, templates)}"
            continue
        model = _limits_of(templates[name])
        if model is None:
            yield f"{at}.{LIMITS}", f"the template {name!r} has no limits"
            continue
        try:
            validate(model, dict(limits))
        except ConfigError as error:
            yield from ((f"{at}.{LIMITS}.{dotted(place)}", detail) for place, detail in error.problems)


def _limits_of(template: type[Template]) -> type[BaseModel] | None:
    field = template.Config.model_fields.get(LIMITS)
    kind = None if field is None else field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _exceeds(value: object, bound: object) -> bool:
    if bound is None:
        return False
    return value is None or Decimal(str(value)) > Decimal(str(bound))

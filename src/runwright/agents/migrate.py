"""Definitions beside the versions of their templates: what fits, what is behind, and the steps to the newest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from runwright import plugins
from runwright.agents.base import Declared, Migrate, Template
from runwright.agents.registry import Registry
from runwright.agents.schema import SHARED
from runwright.agents.templates import Asked, place_of
from runwright.agents.version import Version
from runwright.core.agent import Definition
from runwright.errors import ConfigError

State = Literal["current", "behind", "unfit"]
"""Built from the newest version; from an older one that it asks for; or not at all."""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A definition for the newest version of its template, and the versions whose steps led there."""

    definition: Definition
    steps: tuple[str, ...] = ()


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a definition stands to its template. `problems` are (JSON pointer, detail) pairs; `moved` is a way out."""

    state: State
    serving: str | None = None
    newest: str | None = None
    problems: tuple[tuple[str, str], ...] = ()
    moved: Moved | None = None


def standing(declared: Declared, registry: Registry, *, since: str | None = None) -> Standing:
    """How a definition stands, as the registry would build it. `since` is the version that it was written for.

    Left out, that is what it is built from now, else the least version that it asks for; else the fewest steps that
    lead to something that fits. Nothing is changed.
    """
    problems: tuple[tuple[str, str], ...] = ()
    serving = None
    try:
        newest = registry.templates[Asked.read(declared.definition.template).name]
    except (KeyError, ConfigError):
        newest = None
    try:
        serving = registry.check(declared).template_version
    except ConfigError as error:
        problems = error.problems or (("", error.message),)
    if newest is None:
        return Standing(state="unfit", problems=problems)
    if serving == newest.version:
        return Standing(state="current", serving=serving, newest=newest.version)
    moved, left = _moved(declared, newest, registry, since=since or serving or _floor(declared.definition))
    state: State = "unfit" if problems else "behind"
    return Standing(state=state, serving=serving, newest=newest.version, problems=(*problems, *left), moved=moved)


def rewritten(raw: Mapping[str, Any], definition: Definition) -> dict[str, Any]:
    """A definition as it stands in a file, with template and configuration of another; what stays keeps its place."""
    inner: Mapping[str, Any] = raw.get("config") or {}
    config = definition.config
    beside = {name: config[name] for name in SHARED if name in config and name not in inner}
    inside = {name: value for name, value in config.items() if name not in beside}
    gone = {name for name in SHARED if name not in beside and raw.get(name) is not None}
    wanted = {name: value for name, value in raw.items() if name not in gone} | beside
    if raw.get("template", Definition(name="").template) != definition.template:
        wanted["template"] = definition.template
    if inside:
        wanted["config"] = inside
    elif inner:
        del wanted["config"]
    return wanted


def _floor(definition: Definition) -> str | None:
    floor = Asked.read(definition.template).constraint.floor
    return None if floor is None else str(floor)


def _moved(
    declared: Declared, newest: type[Template], registry: Registry, *, since: str | None
) -> tuple[Moved | None, tuple[tuple[str, str], ...]]:
    """A definition moved to the newest version, or why it cannot be."""
    left: tuple[tuple[str, str], ...] = ()
    for steps in _ways(newest, since):
        try:
            definition = _taken(declared.definition, newest, steps)
            registry.check(replace(declared, definition=definition))
        except ConfigError as error:
            led = f"after the steps to {', '.join(steps)}: " if steps else f"as {newest.version}: "
            left = tuple(_told(led, *each) for each in error.problems or (("", error.message),))
        else:
            return Moved(definition=definition, steps=tuple(steps)), ()
    return None, left


def _told(led: str, place: str, detail: str) -> tuple[str, str]:
    """A problem after some steps; a place in code stands in words."""
    is_inside = not place or place.startswith("/")
    return (place, led + detail) if is_inside else ("", f"{led}{place}: {detail}")


def _ways(newest: type[Template], since: str | None) -> Iterator[Sequence[str]]:
    """The steps to go from a version, or every possible ending of them, the shortest first."""
    steps = sorted(newest.migrations, key=lambda each: Version.read(each).key)
    if since is None:
        yield from (steps[index:] for index in reversed(range(len(steps))))
        return
    floor = Version.read(since).key
    way = [each for each in steps if floor < Version.read(each).key <= Version.read(newest.version).key]
    if way or floor < Version.read(newest.version).key:
        yield way


def _step(migrate: Migrate, config: dict[str, Any]) -> dict[str, Any]:
    """What a step gives, as plain data."""
    return msgspec.json.decode(msgspec.json.encode(dict(migrate(config))))


def _taken(definition: Definition, newest: type[Template], steps: Sequence[str]) -> Definition:
    """A definition after some steps. Raises ConfigError for one that fails."""
    config = dict(definition.config)
    for step in steps:
        place = f"{place_of(newest)} migrations[{step!r}]"
        config = plugins.guarded(place, _step, newest.migrations[step], deepcopy(config))
    asked = Asked.read(definition.template)
    template = f"{asked.name}@^{newest.version}" if asked.constraint.bounds else asked.name
    return replace(definition, template=template, config=config)

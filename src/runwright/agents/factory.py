"""A definition, made into an agent that is ready to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import msgspec
from msgspec.structs import replace
from pydantic import BaseModel

from runwright import plugins
from runwright.agents.base import UNSEEN, BuildContext, Declared, Face, Template
from runwright.agents.caps import Caps, capped
from runwright.agents.schema import SHARED, config_error, in_config, validate, write_definition
from runwright.agents.templates import Surrounding, Templates
from runwright.core.agent import BuiltAgent, CodeFlow, Definition, Flow, Loop, Tool
from runwright.core.message import digest
from runwright.core.policy import Cache, Guard
from runwright.core.policy_reader import read_guard
from runwright.errors import ConfigError, InvalidRequest
from runwright.models import WEIGHTS, names_file
from runwright.tools.git import Repositories
from runwright.tools.sandbox.workshop import Workshop

NO_CAPS: Caps = {}


class Premises(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for all agents of a process.

    `has_key` says whether a variable is set that a template requires; `caps` bound limits, by template; `workshop` is
    what code in a sandbox needs; `repositories` reads those of git.
    """

    has_key: Callable[[str], bool] = lambda _name: True
    caps: Caps = NO_CAPS
    workshop: Workshop | None = None
    repositories: Repositories = msgspec.field(default_factory=Repositories)


NONE = Premises()


def build(
    declared: Declared,
    *,
    templates: Templates,
    toolbox: Mapping[str, Tool],
    own: Definition | None = None,
    face: Callable[[str, str | None], Face] = lambda _name, _version: UNSEEN,
    premises: Premises = NONE,
) -> BuiltAgent:
    """Build an agent. Raises ConfigError whose places are JSON pointers into the definition.

    `own` is what code or a file says, where a caller has replaced parts of it: only what it names is imported. `face`
    shows other agents.
    """
    definition = declared.definition
    template = templates.find(definition.template)
    if template.requires and own is None:
        Surrounding(premises.has_key, (*declared.parts.tools, *toolbox)).check(template)
    context = BuildContext(
        definition=definition,
        toolbox=toolbox,
        parts=declared.parts,
        source=declared.origin.source,
        references=_references(declared, own),
        face=face,
        package=declared.origin.package,
        own=None if own is None else own.config,
        folder=Path(declared.origin.file).parent if declared.origin.file else None,
        workshop=premises.workshop,
        repositories=premises.repositories,
    )
    if context.source == "api" and (named := named_files({**definition.config, "guard": definition.guard})):
        raise config_error((in_config(place), detail) for place, detail in named)
    flow = _flow(template, context, premises.caps.get(template.name, {}))
    guard = read_guard(definition.guard, at="/guard") if definition.guard else None
    _refuse_acting(guard, flow)
    _refuse_similar(guard, flow)
    return BuiltAgent(
        definition=definition,
        template_version=template.version,
        fingerprint=_fingerprint(definition, template, flow),
        flow=flow,
        input_schema=flow.input_schema,
        output_schema=_output_schema(flow),
        source=declared.origin.source,
        guard=guard,
    )


def _refuse_acting(guard: Guard | None, flow: Flow) -> None:
    """A result that is given again does not do again what its run did. Raises ConfigError that names the tools."""
    cache = None if guard is None else guard.cache
    if not isinstance(cache, Cache) or cache.of != "runs":
        return
    acting = sorted(f"{name!r} ({tool.effect})" for name, tool in flow.tools.items() if tool.effect != "read")
    if acting:
        told = f"results of runs are not given again where a tool acts: {', '.join(acting)}"
        raise config_error([("/guard/cache/of", f"{told}. Declare effect='read' where that is true")])
    if isinstance(flow, Loop) and flow.memory:
        raise config_error([("/guard/cache/of", "results of runs are not given again where the model is shown memory")])


def _refuse_similar(guard: Guard | None, flow: Flow) -> None:
    """Say of a policy that could never hold that it does not. Raises ConfigError."""
    cache = None if guard is None else guard.cache
    if not isinstance(cache, Cache) or cache.similar is None:
        return
    if cache.of == "runs":
        raise config_error([("/guard/cache/similar", "similar questions are answered with of='calls', not 'runs'")])
    if isinstance(flow, Loop) and flow.tools:
        told = f"turns with tools are never answered so, and this agent has {', '.join(map(repr, sorted(flow.tools)))}"
        raise config_error([("/guard/cache/similar", told)])


def named_files(config: Mapping[str, object]) -> list[tuple[str, str]]:
    """Where a configuration that comes from a caller names a file as a model, as (pointer, detail) pairs."""
    found: list[tuple[str, str]] = []
    for place, text in _texts(config):
        if (place.endswith("/model") or "/fallback/models/" in place) and names_file(text):
            detail = f"there is no local model {text!r}; there are: {', '.join(WEIGHTS)}. A file is named in code"
            found.append((place, f"{detail}, in a definition file or in the settings"))
    return found


def refuse_files(config: Mapping[str, object]) -> None:
    """Raises InvalidRequest for a configuration that names files of this machine, which no caller may."""
    if named := named_files(config):
        problems = [(f"/config{place}", detail) for place, detail in named]
        raise InvalidRequest("The request is not valid.", problems=problems)


def _references(declared: Declared, own: Definition | None) -> frozenset[str] | None:
    """What may be imported, whatever field names it; a caller's definition has nothing imported."""
    if declared.origin.source == "api":
        return frozenset()
    return None if own is None else frozenset(text for _, text in _texts(own.config))


def _texts(config: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Every text in a configuration, with the JSON pointer to it."""
    left: list[tuple[str, object]] = [("", config)]
    while left:
        place, value = left.pop()
        if isinstance(value, Mapping):
            left += [(f"{place}/{key}", inner) for key, inner in cast("Mapping[str, object]", value).items()]
        elif isinstance(value, list | tuple):
            left += [(f"{place}/{index}", inner) for index, inner in enumerate(cast("Sequence[object]", value))]
        elif isinstance(value, str):
            yield place, value


def _flow(template: type[Template], context: BuildContext, caps: Mapping[str, object]) -> Flow:
    config = capped(_config(template, context.definition), caps)
    try:
        return plugins.guarded(f"template {template.name!r}", template().build, config, context)
    except ConfigError as error:
        raise _in_definition(error) from error


def _config(template: type[Template], definition: Definition) -> BaseModel:
    """The configuration, checked. A rule about all of it stands where it is written. Raises ConfigError."""
    try:
        return validate(template.Config, definition.config)
    except ConfigError as error:
        whole = "" if definition.config.keys() <= set(SHARED) else "/config"
        raise config_error((in_config(place) or whole, detail) for place, detail in error.problems) from None


def _in_definition(error: ConfigError) -> ConfigError:
    """Places inside the configuration become places inside the definition."""
    if not error.problems:
        return config_error([("", error.message)])
    return config_error(
        (in_config(place), detail) if place.startswith("/") or not place else ("", f"{place}: {detail}")
        for place, detail in error.problems
    )


def _output_schema(flow: Flow) -> dict[str, object]:
    if isinstance(flow, CodeFlow) or flow.output_schema:
        return flow.output_schema
    return flow.output.spec.schema if flow.output else {"type": "string"}


def _fingerprint(definition: Definition, template: type[Template], flow: Flow) -> str:
    tools = sorted((name, tool.fingerprint) for name, tool in flow.tools.items())
    # Policies change no request: what a run asked under others is answered and goes on as before.
    parts: tuple[object, ...] = (write_definition(replace(definition, guard={})), template.version, tools)
    if isinstance(flow, CodeFlow) and flow.digest:
        parts = (*parts, flow.digest)
    return digest(msgspec.json.encode(parts, order="sorted")).hex()

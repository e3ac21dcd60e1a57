"""The agents that can be run now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from threading import Lock
from types import MappingProxyType

import msgspec

from runwright.agents.base import UNSEEN, Declared, DeclaredSchedule, Face, Origin, Template
from runwright.agents.bridges.templates import LangGraph, PydanticAI
from runwright.agents.caps import Caps, wrong_caps
from runwright.agents.chain import Chain
from runwright.agents.conversation import Conversation
from runwright.agents.custom import Custom
from runwright.agents.discover import Discovery
from runwright.agents.factory import NO_CAPS, Premises, build
from runwright.agents.function import FunctionTemplate
from runwright.agents.load import located
from runwright.agents.parallel import Parallel
from runwright.agents.repository import Repository
from runwright.agents.schedules import refuse_unfit
from runwright.agents.schema import config_error, did_you_mean, in_config
from runwright.agents.supervisor import Supervisor
from runwright.agents.task import Task
from runwright.agents.templates import Surrounding, Templates, joined, registered
from runwright.core.agent import BuiltAgent, Definition, Tool
from runwright.core.policy import Fallback, Guard, GuardSettings
from runwright.core.policy_reader import read_guard, refuse_similar
from runwright.errors import ConfigError, InvalidRequest, NotFound
from runwright.tools.git import Repositories
from runwright.tools.sandbox.workshop import Workshop

BUILT_IN: tuple[type[Template], ...] = (
    Conversation,
    FunctionTemplate,
    Chain,
    Parallel,
    Supervisor,
    Task,
    PydanticAI,
    LangGraph,
    Custom,
    Repository,
)

OWN = (
    Definition(
        name="chain", template="chain", config={"steps": []}, description="The agents that a run names, in order."
    ),
    Definition(
        name="parallel",
        template="parallel",
        config={"branches": []},
        description="The agents that a run names, side by side.",
    ),
)
"""Agents that are always there: what they do stands in the configuration of each run."""


VARIANTS = 128
"""Agents with another configuration that are kept for the next run that asks for the same one."""

VARIANT_BYTES = 16 * 1024
"""A larger configuration is built anew for each run, so that what is kept has a bound."""


NONE = "name a folder or file with definitions (--agents PATH), or let `runwright init` write some"
"""What to do where there is no agent at all."""


class Entry(msgspec.Struct, frozen=True, eq=False):
    """An agent, and what it was built from. Building again makes another entry, equal to none before."""

    agent: BuiltAgent
    declared: Declared


class _State(msgspec.Struct, frozen=True, kw_only=True):
    """One consistent picture; `current` are entries by name, `versions` by name and version."""

    current: Mapping[str, Entry] = MappingProxyType({})
    versions: Mapping[tuple[str, str], Entry] = MappingProxyType({})
    templates: Templates = Templates()
    toolbox: Mapping[str, Tool] = MappingProxyType({})
    schedules: tuple[DeclaredSchedule, ...] = ()


class Registry:
    """Built agents by name and version. A change swaps the whole picture, so readers on any thread see one state.
    Changes come one after the other, and build agents meanwhile: a loop makes them in a thread.

    Whoever holds a BuiltAgent keeps it: a run goes on with the version it started with.
    """

    def __init__(
        self,
        templates: Sequence[type[Template]] = BUILT_IN,
        *,
        refuse: Callable[[Mapping[str, Guard | None]], None] = lambda _guards: None,
        has_key: Callable[[str], bool] = lambda _name: True,
        caps: Caps = NO_CAPS,
        workshop: Workshop | None = None,
        repositories: Repositories | None = None,
    ) -> None:
        """`refuse` raises ConfigError for guards, by their places, that name what is not there; `has_key` says whether
        a variable is set.

        `caps` bound the limits of all agents of a template; `workshop` is what code in a sandbox needs;
        `repositories` reads those of git.
        """
        self._built_in = Templates(templates)
        for each in templates:
            registered(each)
        self._refuse = refuse
        self._has_key = has_key
        self._caps = caps
        reads = repositories or Repositories()
        premises = Premises(has_key=has_key, caps=caps, workshop=workshop, repositories=reads)
        self._made = partial(build, premises=premises)
        self._state = _State(templates=self._built_in)
        self._changing = Lock()
        self._variant = lru_cache(VARIANTS)(self._configured)
        self._own = {each.name: _own(each, self._built_in) for each in OWN if each.template in self._built_in}

    @property
    def templates(self) -> Templates:
        """Templates by name, in all their versions."""
        return self._state.templates

    @property
    def surrounding(self) -> Surrounding:
        """What templates find around them."""
        return Surrounding(self._has_key, tuple(self.toolbox))

    @property
    def toolbox(self) -> Mapping[str, Tool]:
        """Tools that definitions may name."""
        return self._state.toolbox

    def get(self, name: str, version: str | None = None, *, config: Mapping[str, object] | None = None) -> BuiltAgent:
        """An agent, by default its current version; `config` replaces fields of its configuration for one run.

        Raises NotFound, and InvalidRequest for a `config` that does not fit.
        """
        entry = self.entry(name, version)
        # Fields stay in the caller's order: that of a schema is the order in which a model fills it.
        if not config:
            return entry.agent
        overrides = msgspec.json.encode(config)
        return (self._variant if len(overrides) <= VARIANT_BYTES else self._configured)(entry, overrides)

    def entry(self, name: str, version: str | None = None) -> Entry:
        """An agent and what it was built from. Raises NotFound."""
        state = self._state
        current = state.current.get(name) or self._own.get(name)
        if current is None:
            hint = did_you_mean(name, state.current) or f"; none is defined: {NONE}"
            raise NotFound(f"there is no agent {name!r}{hint}")
        if version is None or version == current.agent.version:
            return current
        found = state.versions.get((name, version))
        if found is None:
            known = ", ".join(sorted(each for named, each in state.versions if named == name))
            raise NotFound(f"agent {name!r} has no version {version!r}; known: {known}")
        return found

    def all(self) -> Sequence[Entry]:
        """The current version of every agent, by name."""
        current = self._state.current
        return [current[name] for name in sorted(current)]

    @property
    def schedules(self) -> Sequence[DeclaredSchedule]:
        """The schedules that code and files define."""
        return self._state.schedules

    def dangling(self) -> tuple[tuple[str, str], ...]:
        """Where a current agent or a schedule names an agent that is not there, or a schedule has it do what it cannot,
        as (place, detail) pairs.
        """
        found: list[tuple[str, str]] = []
        for declared in self.schedules:
            try:
                refuse_unfit(declared.schedule, self)
            except InvalidRequest as error:
                found += declared.located(error)
        for entry in self.all():
            for each in entry.agent.flow.agents:
                try:
                    self.entry(each.name, each.version)
                except NotFound as error:
                    found.append((entry.declared.origin.at(in_config(each.at)), error.message))
        return tuple(found)

    def replace(self, discovery: Discovery) -> tuple[tuple[str, str], ...]:
        """Take what was discovered in place of what was before; agents made over the API stay.

        Raises ConfigError with every problem at once, and changes nothing then. Gives the problems of agents made
        over the API that no longer fit; they keep running as they were built.
        """
        with self._changing:
            problems = list(discovery.problems)
            templates, refused = joined(self._built_in, discovery.templates)
            problems += refused
            if wrong := list(wrong_caps(self._caps, templates)):
                # Else every agent would be blamed for them.
                raise located([*problems, *wrong])
            current: dict[str, Entry] = {}
            for declared in discovery.agents:
                try:
                    agent = self._build(declared, templates=templates, toolbox=discovery.tools)
                except ConfigError as error:
                    problems.extend(declared.located(error))
                else:
                    current[declared.name] = Entry(agent, declared)
            schedules = _schedules(discovery, problems)
            if problems:
                raise located(problems)
            state = _State(templates=templates, toolbox=discovery.tools)
            kept, warnings = self._rebuilt(state, current)
            state = _State(
                current=current | dict(kept.current),
                versions=_by_version(current.values()) | dict(kept.versions),
                templates=templates,
                toolbox=discovery.tools,
                schedules=schedules,
            )
            self._swap(state)
            return warnings

    def check(self, declared: Declared) -> BuiltAgent:
        """Build an agent and keep nothing of it. Raises ConfigError whose places are JSON pointers."""
        return self._build(declared, templates=self.templates, toolbox=self.toolbox)

    def put(self, declared: Declared, *, is_current: bool = True) -> None:
        """Add a version of an agent. Raises ConfigError whose places are JSON pointers."""
        with self._changing:
            entry = Entry(self.check(declared), declared)
            state = self._state
            current = dict(state.current) | ({declared.name: entry} if is_current else {})
            versions = dict(state.versions) | _by_version([entry])
            self._swap(msgspec.structs.replace(state, current=current, versions=versions))

    def drop(self, name: str) -> None:
        """Make an agent unknown. Raises NotFound."""
        with self._changing:
            self.entry(name)
            state = self._state
            current = {each: entry for each, entry in state.current.items() if each != name}
            versions = {key: entry for key, entry in state.versions.items() if key[0] != name}
            self._swap(msgspec.structs.replace(state, current=current, versions=versions))

    def _build(self, declared: Declared, *, templates: Templates, toolbox: Mapping[str, Tool]) -> BuiltAgent:
        if declared.name in self._own:
            told = f"{declared.name!r} is an agent of Runwright's own: choose another name"
            raise config_error([("/name", told)])
        face = partial(self._face, self._state)
        agent = self._made(declared, templates=templates, toolbox=toolbox, face=face)
        self._refuse({"/guard": agent.guard})
        return agent

    def _swap(self, state: _State) -> None:
        self._state = self._faced(state)
        # What was built from the picture before would be kept for nobody.
        self._variant.cache_clear()

    def _faced(self, state: _State) -> _State:
        """The picture with those agents built again that name others which look different now."""
        fresh: dict[Entry, Entry] = {}
        for entry in {*state.current.values(), *state.versions.values()}:
            named = entry.agent.flow.agents
            if all(
                self._face(self._state, each.name, each.version) == self._face(state, each.name, each.version)
                for each in named
            ):
                continue
            # What does not fit any more stays as it was, and is refused when a run begins.
            with suppress(ConfigError):
                face = partial(self._face, state)
                declared, own = entry.declared, entry.declared.definition
                agent = self._made(declared, templates=state.templates, toolbox=state.toolbox, face=face, own=own)
                fresh[entry] = Entry(agent, entry.declared)
        if not fresh:
            return state
        current = {name: fresh.get(entry, entry) for name, entry in state.current.items()}
        versions = {key: fresh.get(entry, entry) for key, entry in state.versions.items()}
        return msgspec.structs.replace(state, current=current, versions=versions)

    def _face(self, state: _State, name: str, version: str | None) -> Face:
        found = state.current.get(name) or self._own.get(name)
        if version is not None and found is not None and found.agent.version != version:
            found = state.versions.get((name, version))
        if found is None:
            return UNSEEN
        return Face(description=found.agent.definition.description, input_schema=found.agent.input_schema)

    def _configured(self, entry: Entry, overrides: bytes) -> BuiltAgent:
        config = msgspec.json.decode(overrides, type=dict[str, object])
        guard = config.pop("guard", None)
        try:
            run_guard = None if guard is None else read_guard(guard, at="/config/guard")
            self._refuse({"/config/guard": run_guard})
            refuse_similar(run_guard, "/config/guard")
        except ConfigError as error:
            raise _unfit(error) from error
        agent = self._reconfigured(entry, config) if config else entry.agent
        return msgspec.structs.replace(agent, run_guard=run_guard)

    def _reconfigured(self, entry: Entry, config: dict[str, object]) -> BuiltAgent:
        definition = entry.declared.definition
        # A caller may ask for more approvals, never for fewer.
        own = {name: each for name, each in definition.config.items() if name != "approvals"}
        changed = msgspec.structs.replace(definition, config=own | config)
        parts = entry.declared.parts
        if "output" in config:
            parts = msgspec.structs.replace(parts, output=None)
        try:
            declared = msgspec.structs.replace(entry.declared, definition=changed, parts=parts)
            face = partial(self._face, self._state)
            agent = self._made(declared, templates=self.templates, toolbox=self.toolbox, face=face, own=definition)
        except ConfigError as error:
            raise _unfit(error) from error
        approvals = {**agent.flow.approvals, **entry.agent.flow.approvals}
        flow = msgspec.structs.replace(agent.flow, approvals=approvals)
        # The same guard object, by which the guard finds what it has made for the agent.
        return msgspec.structs.replace(agent, flow=flow, guard=entry.agent.guard)

    def _rebuilt(self, state: _State, taken: Mapping[str, Entry]) -> tuple[_State, tuple[tuple[str, str], ...]]:
        """The agents made over the API, built again; those whose name is taken now are left out."""
        current: dict[str, Entry] = {}
        versions: dict[tuple[str, str], Entry] = {}
        problems: list[tuple[str, str]] = []
        for key, entry in self._state.versions.items():
            if entry.agent.source != "api":
                continue
            if key[0] in taken:
                place = taken[key[0]].declared.origin.at()
                problems.append((f"agent {key[0]!r}", f"is hidden by the one in {place}: rename one of them"))
                continue
            try:
                agent = self._build(entry.declared, templates=state.templates, toolbox=state.toolbox)
                versions[key] = Entry(agent, entry.declared)
            except ConfigError as error:
                versions[key] = Entry(entry.agent, entry.declared)
                problems.append((f"agent {key[0]!r} {key[1]}", error.message))
            if self._state.current.get(key[0]) is entry:
                current[key[0]] = versions[key]
        return _State(current=current, versions=versions), tuple(problems)


def named_models(registry: Registry, policies: GuardSettings) -> set[str | None]:
    """The models that agents name, or None where one names none, and those that are fallen back on."""
    agents = [entry.agent for entry in registry.all()]
    guards = (policies.app, *policies.models.values(), *(agent.guard for agent in agents))
    backups = [guard.fallback.models for guard in guards if guard and isinstance(guard.fallback, Fallback)]
    further = [agent.flow.models for agent in agents]
    return {agent.flow.model for agent in agents}.union(*backups, *further)


def _own(definition: Definition, templates: Templates) -> Entry:
    declared = Declared(definition=definition, origin=Origin(source="code", file="runwright"))
    return Entry(build(declared, templates=templates, toolbox={}), declared)


def _schedules(discovery: Discovery, problems: list[tuple[str, str]]) -> tuple[DeclaredSchedule, ...]:
    """The schedules of definitions and of files of their own; names that stand twice are problems."""
    found: dict[str, DeclaredSchedule] = {}
    beside = (each for declared in discovery.agents for each in declared.schedules)
    for each in (*beside, *discovery.schedules):
        other = found.setdefault(each.schedule.name, each)
        if other is not each:
            told = f"there is another schedule {each.schedule.name!r} in {other.place}: name one of them otherwise"
            problems.append((each.origin.at(f"{each.at}/name"), told))
    return tuple(found.values())


def _by_version(entries: Iterable[Entry]) -> dict[tuple[str, str], Entry]:
    return {(each.agent.name, each.agent.version): each for each in entries}


def _unfit(error: ConfigError) -> InvalidRequest:
    problems = tuple((_in_run(place), detail) for place, detail in error.problems)
    return InvalidRequest(f"the config does not fit: {error.message}", problems=problems)


def _in_run(place: str) -> str:
    return place if place.startswith("/config") else f"/config{place}"

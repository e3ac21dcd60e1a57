"""Agents and templates: what callers can ask about them, and the definitions they make."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from runwright.agents.base import Declared, Origin, Template
from runwright.agents.load import load_body
from runwright.agents.registry import OWN, Entry, Registry
from runwright.agents.schema import write_definition
from runwright.agents.templates import place_of
from runwright.agents.version import Version
from runwright.core.agent import BuiltAgent, Definition, Tool
from runwright.core.ports import AgentRecord, AgentStore, Clock
from runwright.errors import ConfigError, Conflict, InvalidRequest, NotFound
from runwright.service.patch import merged
from runwright.service.views import AgentSchema, AgentView, Page, Problem, TemplateView, ToolView

Body = bytes | Mapping[str, object]


class Agents:
    """What a caller can ask about agents. Those of code and files are read only; those made here are stored."""

    def __init__(self, registry: Registry, store: AgentStore, clock: Clock) -> None:
        self._registry = registry
        self._store = store
        self._clock = clock
        self._changing = asyncio.Lock()

    async def load(self, *, is_recording: bool = True) -> tuple[tuple[str, str], ...]:
        """Take stored definitions into the registry, and record those of code and files, if `is_recording`.

        Gives (place, detail) pairs of stored definitions that can no longer be built; they stay stored.
        """
        own = _own(self._registry)
        records = await asyncio.to_thread(_every_version, self._store)
        problems = await asyncio.to_thread(_take, self._registry, records)
        known = {record.name: record for record in records if record.is_active}
        for name, entry in own.items():
            if is_recording and _is_news(entry.agent, known.get(name)):
                await asyncio.to_thread(self._store.put, _record(entry.agent, self._clock.now()))
        return problems

    async def list(self, *, after: str | None = None, limit: int = 50) -> Page[AgentView]:
        """A page of agents by name; `after` is the last name of the page before."""
        entries = [entry for entry in self._registry.all() if after is None or entry.agent.name > after]
        created = {record.name: record.created_at for record in await asyncio.to_thread(self._store.all)}
        shown = [_view(entry, created.get(entry.agent.name)) for entry in entries[:limit]]
        has_more = len(entries) > limit
        return Page(data=shown, has_more=has_more, next=shown[-1].name if has_more else None)

    async def get(self, name: str, version: str | None = None) -> AgentView:
        """An agent, by default its current version. Raises NotFound."""
        entry = self._registry.entry(name, version)
        record = await asyncio.to_thread(self._store.get, name, entry.agent.version)
        is_active = entry is self._registry.entry(name)
        return replace(_view(entry, record.created_at if record else None), is_active=is_active)

    async def create(self, body: Body) -> AgentView:
        """Make an agent of a definition. Raises InvalidRequest with pointers, and Conflict when the name is taken."""
        declared = load_body(body)
        async with self._changing:
            taken = next((entry for entry in self._registry.all() if entry.agent.name == declared.name), None)
            if taken is not None:
                raise Conflict(
                    f"There is an agent {declared.name!r} already ({_where(taken)}): choose another name, or PUT."
                )
            return await self._put(declared)

    async def update(self, name: str, body: Body) -> AgentView:
        """Replace a definition. Without a `version`, what changed becomes the next patch version.

        Raises NotFound, InvalidRequest with pointers, and Conflict for agents of code and files.
        """
        data = {"name": name} | _object(body)
        return await self._change(name, data, is_versioned="version" in data)

    async def patch(self, name: str, body: Body) -> AgentView:
        """Change parts of a definition by a JSON merge patch (RFC 7396). Raises as `update` does."""
        change = _object(body)
        current = write_definition(self._registry.entry(name).declared.definition)
        return await self._change(name, merged(current, change), is_versioned="version" in change)

    async def renew(self, name: str, move: Callable[[Declared], Definition | None]) -> AgentView | None:
        """Store what becomes of an agent made here as its next patch version, also if it cannot be built any more.

        `move` is called in a thread, with the definition as it stands then; None where it gives none, or there is none.
        Raises InvalidRequest with pointers.
        """
        async with self._changing:
            versions = await asyncio.to_thread(self._store.versions, name)
            active = next((each for each in versions if each.is_active and each.source == "api"), None)
            moved = None if active is None else await asyncio.to_thread(move, stored_as(active))
            if moved is None:
                return None
            known = {each.version for each in versions}
            version = _next_patch(moved.version, lambda each: each in known)
            return await self._put(Declared(definition=replace(moved, version=version), origin=Origin(source="api")))

    async def delete(self, name: str) -> None:
        """Make an agent unknown; its runs stay. Raises NotFound, and Conflict for agents of code and files."""
        async with self._changing:
            self._own(name)
            await asyncio.to_thread(self._store.delete, name)
            await asyncio.to_thread(self._registry.drop, name)

    async def validate(self, body: Body) -> Sequence[Problem]:
        """What is wrong with a definition; nothing is changed."""
        try:
            await asyncio.to_thread(self._check, load_body(body))
        except InvalidRequest as error:
            found = error.problems or (("", error.message),)
            return [Problem(pointer=place, detail=detail) for place, detail in found]
        return []

    async def versions(self, name: str) -> Page[AgentView]:
        """All versions of an agent that were served, newest first; `is_active` marks the current one."""
        current = self._registry.entry(name)
        records = await asyncio.to_thread(self._store.versions, name)
        views = [_recorded(record, current) for record in records]
        return Page(data=views or [_view(current, None)])

    async def schema(self, name: str, version: str | None = None) -> AgentSchema:
        """What an agent takes and gives. Raises NotFound."""
        agent = self._registry.get(name, version)
        return AgentSchema(
            agent=agent.name, version=agent.version, input=agent.input_schema, output=agent.output_schema
        )

    async def templates(self) -> Page[TemplateView]:
        """All versions of all templates, by name and the newest first."""
        # What a template requires is looked for on disk.
        return Page(data=await asyncio.to_thread(_template_views, self._registry))

    async def template(self, name: str) -> TemplateView:
        """One template: `report` in its newest version, `report@^1.2` in one that fits. Raises NotFound."""
        try:
            found = self._registry.templates.find(name)
            return await asyncio.to_thread(_template_view, found, self._registry)
        except ConfigError as error:
            raise NotFound(error.message) from error

    def template_names(self) -> Mapping[str, str]:
        """The names of the templates of all agents that are known, also of those of code and files that are gone."""
        # What is served now goes before what was recorded.
        named = [*OWN, *(record.definition for record in self._store.all())]
        named += [entry.declared.definition for entry in self._registry.all()]
        return {each.name: each.template.partition("@")[0] for each in named}

    async def tools(self) -> Page[ToolView]:
        """The tools that definitions may name."""
        toolbox = self._registry.toolbox
        return Page(data=[_tool_view(toolbox[name]) for name in sorted(toolbox)])

    async def _change(self, name: str, data: Mapping[str, object], *, is_versioned: bool) -> AgentView:
        async with self._changing:
            self._own(name)
            declared = load_body(data)
            if declared.name != name:
                raise _invalid("/name", f"an agent keeps its name: {name!r}, not {declared.name!r}")
            return await self._put(_numbered(self._registry, declared, is_versioned=is_versioned))

    async def _put(self, declared: Declared) -> AgentView:
        """Store a definition and then serve it, so that nothing is served that a restart would forget."""
        record = _record(await asyncio.to_thread(self._check, declared), self._clock.now())
        await asyncio.to_thread(self._store.put, record)
        await asyncio.to_thread(self._registry.put, declared)
        return _view(self._registry.entry(declared.name), record.created_at)

    def _check(self, declared: Declared) -> BuiltAgent:
        try:
            return self._registry.check(declared)
        except ConfigError as error:
            raise InvalidRequest(error.message, problems=error.problems) from error

    def _own(self, name: str) -> Entry:
        entry = self._registry.entry(name)
        if entry.agent.source != "api":
            raise Conflict(f"Agent {name!r} is defined in {_where(entry)}: change it there.")
        return entry


def take_stored(registry: Registry, store: AgentStore) -> tuple[tuple[str, str], ...]:
    """Take stored definitions into a registry, as `Agents.load` does."""
    return _take(registry, _every_version(store))


def _take(registry: Registry, records: Sequence[AgentRecord]) -> tuple[tuple[str, str], ...]:
    own = _own(registry)
    problems: list[tuple[str, str]] = []
    for record in records:
        if record.source != "api":
            continue
        try:
            _refuse_hidden(own.get(record.name))
            registry.put(stored_as(record), is_current=record.is_active)
        except ConfigError as error:
            problems.append((f"stored agent {record.name!r} {record.version}", error.message))
    return tuple(problems)


def _own(registry: Registry) -> dict[str, Entry]:
    """The agents of code and files."""
    return {entry.agent.name: entry for entry in registry.all() if entry.agent.source != "api"}


def _every_version(store: AgentStore) -> Sequence[AgentRecord]:
    """Every version of every stored agent, so that the active one of each is taken last."""
    found: list[AgentRecord] = []
    for active in store.all():
        found += [record for record in store.versions(active.name) if not record.is_active]
        found.append(active)
    return found


def _refuse_hidden(by: Entry | None) -> None:
    if by is not None:
        raise ConfigError(f"is hidden by the one in {_where(by)}: rename one of them")


def _record(agent: BuiltAgent, now: datetime) -> AgentRecord:
    return AgentRecord(
        name=agent.name,
        version=agent.version,
        definition=agent.definition,
        fingerprint=agent.fingerprint,
        source=agent.source,
        created_at=now,
    )


def _numbered(registry: Registry, declared: Declared, *, is_versioned: bool) -> Declared:
    """The definition under the version it gets; a version never changes what it means."""
    definition = declared.definition
    if is_versioned:
        known = _find(registry, definition.name, definition.version)
        if known is not None and known.declared.definition != definition:
            raise Conflict(
                f"Version {definition.version} of {definition.name!r} exists with other content: "
                "raise the version, or leave it out."
            )
        return declared
    current = registry.entry(definition.name).declared.definition
    definition = replace(definition, version=current.version)
    if definition != current:
        definition = replace(definition, version=_free_version(registry, current))
    return replace(declared, definition=definition)


def _free_version(registry: Registry, current: Definition) -> str:
    return _next_patch(current.version, lambda version: _find(registry, current.name, version) is not None)


def _next_patch(version: str, is_taken: Callable[[str], bool]) -> str:
    major, minor, patch = Version.read(version).release
    while is_taken(f"{major}.{minor}.{patch + 1}"):
        patch += 1
    return f"{major}.{minor}.{patch + 1}"


def _find(registry: Registry, name: str, version: str) -> Entry | None:
    try:
        return registry.entry(name, version)
    except NotFound:
        return None


def _is_news(agent: BuiltAgent, record: AgentRecord | None) -> bool:
    """Whether an agent of code or a file differs from what is recorded; a stored one of that name stays."""
    if record is None:
        return True
    known = (record.fingerprint, record.version, record.definition)
    return record.source != "api" and known != (agent.fingerprint, agent.version, agent.definition)


def stored_as(record: AgentRecord) -> Declared:
    """A stored definition as it is served."""
    return Declared(definition=record.definition, origin=Origin(source="api"))


def _where(entry: Entry) -> str:
    origin = entry.declared.origin
    return "made over the API" if origin.source == "api" else origin.at()


def _view(entry: Entry, created_at: datetime | None) -> AgentView:
    agent, origin = entry.agent, entry.declared.origin
    definition = agent.definition
    return AgentView(
        name=agent.name,
        version=agent.version,
        template=definition.template,
        template_version=agent.template_version,
        description=definition.description,
        source=agent.source,
        place=origin.at() or None,
        fingerprint=agent.fingerprint,
        definition=write_definition(definition),
        tools=[_tool_view(each) for each in agent.flow.tools.values()],
        created_at=created_at,
    )


def _recorded(record: AgentRecord, current: Entry) -> AgentView:
    definition = record.definition
    is_active = record.version == current.agent.version and record.source == current.agent.source
    return AgentView(
        name=record.name,
        version=record.version,
        template=definition.template,
        description=definition.description,
        source=record.source,
        is_active=is_active,
        fingerprint=record.fingerprint,
        definition=write_definition(definition),
        created_at=record.created_at,
    )


def _tool_view(tool: Tool) -> ToolView:
    spec = tool.spec
    return ToolView(name=spec.name, description=spec.description, effect=tool.effect, parameters=spec.parameters)


def _template_views(registry: Registry) -> Sequence[TemplateView]:
    return [_template_view(each, registry) for each in registry.templates.every()]


def _template_view(template: type[Template], registry: Registry) -> TemplateView:
    return TemplateView(
        name=template.name,
        version=template.version,
        description=inspect.getdoc(template) or "",
        place=place_of(template),
        is_newest=registry.templates[template.name] is template,
        requires={kind: list(names) for kind, names in template.requires.items()},
        missing=registry.surrounding.missing(template),
        migrations=sorted(template.migrations, key=lambda each: Version.read(each).key),
        schema=template.Config.model_json_schema(),
    )


def _object(body: Body) -> dict[str, object]:
    """A body as an object. Raises InvalidRequest."""
    try:
        return msgspec.json.decode(body, type=dict[str, object]) if isinstance(body, bytes) else dict(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid("", f"a JSON object is needed: {error}") from None


def _invalid(place: str, detail: str) -> InvalidRequest:
    return InvalidRequest(f"{place}: {detail}" if place else detail, problems=((place, detail),))

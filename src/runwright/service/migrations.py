"""Definitions that are behind their templates: what would change, and the change of those that are stored here."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from runwright.agents.base import Declared
from runwright.agents.migrate import State, standing
from runwright.agents.registry import Registry
from runwright.agents.schema import write_definition
from runwright.core.agent import Definition
from runwright.core.ports import AgentStore
from runwright.service.agents import Agents, stored_as
from runwright.service.views import Page, Problem


class MigrationView(msgspec.Struct, frozen=True, kw_only=True):
    """A definition beside the versions of its template. `diff` is what moving it to the newest would change.

    `steps` are the versions whose steps lead there. `place` is where it is written, null for one made over the API.
    The `pointer` of a problem is a JSON pointer, or the place in a file.
    """

    agent: str
    object: Literal["migration"] = "migration"
    template: str
    source: str
    place: str | None = None
    state: State
    serving: str | None = None
    newest: str | None = None
    can_move: bool = False
    steps: Sequence[str] = ()
    problems: Sequence[Problem] = ()
    diff: str = ""
    is_written: bool = False


class Asking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose definitions are meant: those of some agents, or all. `since` is the version that they were written for."""

    agents: tuple[str, ...] = ()
    since: str | None = None


EVERY = Asking()


class Migrations:
    """What a caller can ask about definitions that are behind. Only those made over the API are changed here."""

    def __init__(self, agents: Agents, registry: Registry, store: AgentStore) -> None:
        self._agents = agents
        self._registry = registry
        self._store = store

    async def list(self, asking: Asking = EVERY) -> Page[MigrationView]:
        """Every definition beside its template, by name. Nothing is changed."""
        meant = await self._meant(asking)
        # Agents are built for it.
        return Page(data=await asyncio.to_thread(self._views, meant, asking.since))

    async def perform(self, asking: Asking = EVERY) -> Page[MigrationView]:
        """Move stored definitions to the newest version of their template, each as a version of its own.

        Gives those that are behind or do not fit; a definition in a file is changed where it stands.
        """
        views: list[MigrationView] = []
        for declared in await self._meant(asking):
            (view,) = await asyncio.to_thread(self._views, [declared], asking.since)
            is_ours = view.can_move and view.source == "api"
            views.append(await self._moved(view, asking.since) if is_ours else view)
        return Page(data=[view for view in views if view.state != "current"])

    def _views(self, meant: Sequence[Declared], since: str | None) -> Sequence[MigrationView]:
        return [migration(each, self._registry, since=since)[0] for each in meant]

    async def _moved(self, view: MigrationView, since: str | None) -> MigrationView:
        """What became of a stored definition, which somebody may have changed since it was looked at."""
        told = [view]

        def move(declared: Declared) -> Definition | None:
            latest, moved = migration(declared, self._registry, since=since)
            told.append(latest)
            return moved

        is_written = await self._agents.renew(view.agent, move) is not None
        return replace(told[-1], is_written=is_written)

    async def _meant(self, asking: Asking) -> Sequence[Declared]:
        own = {each.agent.name: each.declared for each in self._registry.all() if each.agent.source != "api"}
        records = await asyncio.to_thread(self._store.all)
        stored = {each.name: stored_as(each) for each in records if each.source == "api"}
        found = stored | own
        return [found[name] for name in sorted(found) if not asking.agents or name in asking.agents]


def migration(
    declared: Declared, registry: Registry, *, since: str | None = None
) -> tuple[MigrationView, Definition | None]:
    """A definition beside its template, and the definition that it would become."""
    found = standing(declared, registry, since=since)
    moved = found.moved.definition if found.moved else None
    origin = declared.origin
    view = MigrationView(
        agent=declared.name,
        template=declared.definition.template,
        source=origin.source,
        place=None if origin.source == "api" else origin.at(),
        state=found.state,
        serving=found.serving,
        newest=found.newest,
        can_move=moved is not None,
        steps=found.moved.steps if found.moved else (),
        problems=[Problem(pointer=origin.at(place), detail=detail) for place, detail in found.problems],
        diff="" if moved is None else difference(_text(declared.definition), _text(moved), name=declared.name),
    )
    return view, moved


def difference(before: str, after: str, *, name: str) -> str:
    """Two texts as a unified diff."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), fromfile=name, tofile=name
    )
    return "".join(lines)


def _text(definition: Definition) -> str:
    return msgspec.yaml.encode(write_definition(definition)).decode()

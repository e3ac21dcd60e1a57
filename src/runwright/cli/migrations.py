"""Definitions of files, of code and of the data directory beside their templates, for `runwright templates`."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runwright.agents.load import read_text
from runwright.agents.migrate import rewritten
from runwright.agents.rewrite import rewrite
from runwright.app import DATABASE, App
from runwright.core.clock import SystemClock
from runwright.service.agents import Agents
from runwright.service.migrations import Asking, Migrations, MigrationView, difference, migration
from runwright.store import open_stores, open_stores_to_read

if TYPE_CHECKING:
    from runwright.agents.base import Declared
    from runwright.core.agent import Definition
    from runwright.settings import Settings

LOST = "# What stands above could not be changed in place: the file is written anew, without its comments.\n"


class Local:
    """What stands in the sources and in the data directory, also what cannot be built any more."""

    def __init__(self, settings: Settings, sources: Sequence[str]) -> None:
        """Raises ConfigError for templates that cannot be taken up."""
        app = App(settings, sources=sources)
        found = app.discover()
        app.registry.replace(replace(found, agents=(), problems=()))
        self.problems = found.problems
        self._registry = app.registry
        self._declared = found.agents
        self._database = settings.data / DATABASE

    async def views(self, asking: Asking, *, is_writing: bool) -> list[MigrationView]:
        """Every definition that is meant; those that can be moved are, when `is_writing`."""
        own = await asyncio.to_thread(lambda: [*self._of_files(asking, is_writing=is_writing)])
        names = {each.name for each in self._declared}
        return own + [each for each in await self._stored(asking, is_writing=is_writing) if each.agent not in names]

    def _of_files(self, asking: Asking, *, is_writing: bool) -> Iterator[MigrationView]:
        texts: dict[str, str] = {}
        for declared in self._declared:
            if asking.agents and declared.name not in asking.agents:
                continue
            view, moved = migration(declared, self._registry, since=asking.since)
            if moved is not None and declared.origin.source == "file":
                file = declared.origin.file
                before = texts.setdefault(file, read_text(Path(file), file))
                after, told = _in_file(before, declared, moved)
                texts[file] = after
                view = replace(view, diff=difference(before, after, name=file) + told, is_written=is_writing)
                if is_writing:
                    _write(Path(file), after)
            yield view

    async def _stored(self, asking: Asking, *, is_writing: bool) -> Sequence[MigrationView]:
        if not await asyncio.to_thread(self._database.is_file):
            return []
        opened = open_stores if is_writing else open_stores_to_read
        stores = await asyncio.to_thread(lambda: opened(self._database))
        try:
            agents = Agents(self._registry, stores.agents, SystemClock())
            migrations = Migrations(agents, self._registry, stores.agents)
            page = await (migrations.perform(asking) if is_writing else migrations.list(asking))
            return page.data
        finally:
            await asyncio.to_thread(stores.close)


def _in_file(text: str, declared: Declared, moved: Definition) -> tuple[str, str]:
    """The text of a file with a definition as it would be, and what is lost."""
    inside = declared.origin.path
    index = int(inside.strip("[]")) if inside else None
    changed = rewrite(text, partial(rewritten, definition=moved), index=index)
    return changed.text, "" if changed.has_comments else LOST


def _write(path: Path, text: str) -> None:
    """Put a file in place at once, so that nobody reads half of it."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(text.encode())
    shutil.copymode(path, beside)
    os.replace(beside, path)

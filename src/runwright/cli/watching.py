"""Changes of files as they happen, in groups: an editor that saves touches a file several times."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

_logger = logging.getLogger("runwright.cli")

QUIET_S = 0.02
"""Silence that ends a group."""
LONGEST_S = 0.1
"""A group ends then, however much still happens."""
LOOK_S = 0.5
"""How often folders are looked at that may be others by now, while nothing happens."""
KINDS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileDeletedEvent,
]


Identity = tuple[int, int]
"""Which folder it is that has a path: its device and its number there."""


class Watched(NamedTuple):
    """A folder that the system watches."""

    watch: ObservedWatch
    identity: Identity | None


class Changes(FileSystemEventHandler):
    """What happened to files, kept until somebody asks. The observer calls it in a thread of its own."""

    def __init__(self, is_wanted: Callable[[Path], bool], observer: BaseObserver) -> None:
        self._is_wanted = is_wanted
        self._observer = observer
        self._sources: frozenset[Path] = frozenset()
        self._wanted: dict[Path, bool] = {}
        self._watched: dict[Path, Watched] = {}
        self._unwatched: set[Path] = set()
        self._files: frozenset[Path] = frozenset()
        self._loop = asyncio.get_running_loop()
        self._seen: asyncio.Queue[Path] = asyncio.Queue()

    def below(self, paths: Iterable[Path]) -> None:
        """Want what is wanted at or below these paths."""
        self._sources = frozenset(path.resolve() for path in paths)
        for path in self._sources:
            self._observe(path if path.is_dir() else path.parent, is_deep=path.is_dir())

    def also(self, files: Iterable[Path]) -> None:
        """Want these files from now on, whatever they are called and wherever they are, and not those before."""
        self._files = frozenset(file.resolve() for file in files)
        for folder in {file.parent for file in self._files if not _is_below(file, self._sources)}:
            self._observe(folder, is_deep=False)

    def _observe(self, folder: Path, *, is_deep: bool) -> None:
        """A file that is saved by a rename is another file then: its folder is what stays."""
        self._wanted.setdefault(folder, is_deep)
        if folder in self._watched:
            return
        identity = _identity(folder)
        try:
            watch = self._observer.schedule(self, folder, recursive=self._wanted[folder], event_filter=KINDS)
        # It is gone, or the system watches no more folders: tried again at the next change.
        except OSError as error:
            if folder not in self._unwatched:
                _logger.warning("changes in %s are not seen: %s", folder, error)
            self._unwatched.add(folder)
        else:
            self._unwatched.discard(folder)
            self._watched[folder] = Watched(watch, identity)

    def look(self) -> None:
        """Watch folders that were made again in the place of those that are watched, and tell them as changed.

        The system watches a folder and not its path, and is silent when it is moved away with what stands above it.
        """
        alive = {each.watch for each in self._observer.emitters if each.should_keep_running()}
        for folder, is_deep in self._wanted.items():
            watched = self._watched.get(folder)
            if watched and watched.watch in alive and watched.identity == _identity(folder):
                continue
            if watched:
                self._observer.unschedule(watched.watch)
                del self._watched[folder]
            self._observe(folder, is_deep=is_deep)
            if watched or folder in self._watched:
                self._seen_at(folder)

    def _seen_at(self, path: Path) -> None:
        self._loop.call_soon_threadsafe(self._seen.put_nowait, path)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Keep the files of an event: a move has two."""
        for name in (event.src_path, event.dest_path):
            path = Path(str(name))
            if name and (path in self._files or (self._is_wanted(path) and _is_below(path, self._sources))):
                self._seen_at(path)

    async def group(self) -> set[Path]:
        """The next files that were written, moved or removed, and folders that were removed or made again."""
        found = {await self._next()}
        try:
            async with asyncio.timeout(LONGEST_S):
                while True:
                    found.add(await asyncio.wait_for(self._seen.get(), QUIET_S))
        except TimeoutError:
            return found

    async def _next(self) -> Path:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    return await self._seen.get()
            await asyncio.to_thread(self.look)


@asynccontextmanager
async def watching(
    paths: Iterable[Path], is_wanted: Callable[[Path], bool], *, also: Iterable[Path] = ()
) -> AsyncGenerator[Changes]:
    """The changes of wanted files at or below the paths, and of other ones, while the block lasts."""
    observer = Observer()
    changes = Changes(is_wanted, observer)
    # First, since each folder that cannot be watched is told then, and the others are.
    await asyncio.to_thread(observer.start)
    try:
        await asyncio.to_thread(changes.below, paths)
        await asyncio.to_thread(changes.also, also)
        yield changes
    finally:
        await asyncio.to_thread(observer.stop)


def _is_below(path: Path, sources: Collection[Path]) -> bool:
    return any(path == source or source in path.parents for source in sources)


def _identity(folder: Path) -> Identity | None:
    """None where there is no such folder."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino

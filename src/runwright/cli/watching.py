"""Changes of files as they happen, in groups: an editor that saves touches a file several times."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

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
from watchdog.observers.api import BaseObserver

_logger = logging.getLogger("runwright.cli")

QUIET_S = 0.02
"""Silence that ends a group."""
LONGEST_S = 0.1
"""A group ends then, however much still happens."""
KINDS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileDeletedEvent,
]


class Changes(FileSystemEventHandler):
    """What happened to files, kept until somebody asks. The observer calls it in a thread of its own."""

    def __init__(self, is_wanted: Callable[[Path], bool], observer: BaseObserver) -> None:
        self._is_wanted = is_wanted
        self._observer = observer
        self._sources: frozenset[Path] = frozenset()
        self._folders: set[Path] = set()
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
        if folder in self._folders:
            return
        try:
            self._observer.schedule(self, folder, recursive=is_deep, event_filter=KINDS)
        # It is gone, or the system watches no more folders: tried again at the next change.
        except OSError as error:
            if folder not in self._unwatched:
                _logger.warning("changes in %s are not seen: %s", folder, error)
            self._unwatched.add(folder)
        else:
            self._folders.add(folder)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Keep the files of an event: a move has two."""
        for name in (event.src_path, event.dest_path):
            path = Path(str(name))
            if name and (path in self._files or (self._is_wanted(path) and _is_below(path, self._sources))):
                self._loop.call_soon_threadsafe(self._seen.put_nowait, path)

    async def group(self) -> set[Path]:
        """The next files that were written, moved or removed."""
        found = {await self._seen.get()}
        try:
            async with asyncio.timeout(LONGEST_S):
                while True:
                    found.add(await asyncio.wait_for(self._seen.get(), QUIET_S))
        except TimeoutError:
            return found


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

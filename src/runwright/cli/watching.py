"""Changes of files as they happen, in groups: an editor that saves touches a file several times."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
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

    def __init__(self, is_wanted: Callable[[Path], bool]) -> None:
        self._is_wanted = is_wanted
        self._loop = asyncio.get_running_loop()
        self._seen: asyncio.Queue[Path] = asyncio.Queue()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Keep the files of an event: a move has two."""
        for name in (event.src_path, event.dest_path):
            path = Path(str(name))
            if name and self._is_wanted(path):
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
async def watching(paths: Iterable[Path], is_wanted: Callable[[Path], bool]) -> AsyncGenerator[Changes]:
    """The changes of wanted files at or below the paths, while the block lasts."""
    sources = await asyncio.to_thread(lambda: [path.resolve() for path in paths])
    changes = Changes(lambda path: is_wanted(path) and _is_below(path, sources))
    observer = await asyncio.to_thread(_observe, changes, sources)
    try:
        yield changes
    finally:
        await asyncio.to_thread(observer.stop)


def _observe(changes: Changes, sources: list[Path]) -> BaseObserver:
    """A file that is saved by a rename is another file then: its folder is what stays."""
    observer = Observer()
    for path in {path if path.is_dir() else path.parent for path in sources}:
        observer.schedule(changes, path, recursive=path in sources, event_filter=KINDS)
    observer.start()
    return observer


def _is_below(path: Path, sources: list[Path]) -> bool:
    return any(path == source or source in path.parents for source in sources)

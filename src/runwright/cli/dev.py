"""`runwright dev`: a server that takes up changes of the definitions at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from runwright.cli.call import Call, Called, agent_sources
from runwright.cli.serve import announcement, logs, on_uvloop
from runwright.errors import ConfigError

if TYPE_CHECKING:
    from runwright.agents.discover import Discovery
    from runwright.app import App
    from runwright.cli.watching import Changes
    from runwright.settings import Settings

ATTEMPTS = 5
"""How often files are read again that change while they are read."""
BACK_S = 0.2
"""How long a file may be gone that is there again then."""


def dev(path: Path | None = None, /, *, host: str | None = None, port: int | None = None, call: Called) -> None:
    """Serve the agents and take up changes of their files at once; a broken change leaves the last good version.

    Args:
        path: A folder or file with agent definitions, as --agents.
        host: The address to listen on (default: 127.0.0.1).
        port: The port to listen on; 0 takes a free one (default: 8321).
        call: What every command is handed.
    """
    on_uvloop(_dev(call.settings(agents=path, host=host, port=port), call))


async def _dev(settings: Settings, call: Call) -> None:
    from runwright.app import App, AppOptions
    from runwright.cli.watching import watching
    from runwright.server import serve

    sources = agent_sources(settings)
    if not sources:
        raise ConfigError("There is nothing to watch: name a folder or file with definitions, or run `runwright init`.")
    with logs(settings) as reader:
        options = AppOptions(is_server=True, readers=(reader,))
        async with (
            App(settings, sources=sources, options=options) as app,
            watching(watched(app, sources), is_source, also=app.files) as changes,
            asyncio.TaskGroup() as group,
        ):
            following = group.create_task(follow(changes, app, call))
            try:
                await serve(app, on_start=announcement(app, call))
            finally:
                following.cancel()


async def follow(changes: Changes, app: App, call: Call) -> None:
    """Reload at each change, until this is cancelled."""
    files: set[Path] = set()
    while True:
        files = await asyncio.to_thread(_known, app, files)
        await _reload(app, await changes.group(), call, files=files)
        await asyncio.to_thread(changes.also, app.files)


def watched(app: App, sources: Sequence[str]) -> set[Path]:
    """The folders to watch: sources themselves, and where the files of modules are."""
    paths = {Path(source) for source in sources if Path(source).exists()}
    return paths or {file.parent for file in app.discover().files}


async def _reload(app: App, changed: set[Path], call: Call, *, files: set[Path]) -> None:
    """Take what is there now. `files` are those that the agents come from which are at work."""
    names = ", ".join(sorted({path.name for path in changed}))
    sizes = await asyncio.to_thread(_sizes, files)
    if None in sizes.values():
        # An editor may take one file away before it puts another one there.
        await asyncio.sleep(BACK_S)
        sizes = await asyncio.to_thread(_sizes, files)
    if empty := sorted(file.name for file, size in sizes.items() if size == 0):
        # An editor may empty a file before it writes it: that is the next change.
        told = "is empty, so the last good version serves on; delete the file to take away what it said"
        call.out.note(f"{', '.join(empty)} {told}")
        return
    try:
        problems = await asyncio.to_thread(lambda: app.reload(read(app, changed)))
    except ConfigError as error:
        call.out.error(ConfigError(f"{names} changed and cannot be used, so the last good version serves on.\n{error}"))
        return
    call.out.note(f"{names} changed; agents: {', '.join(entry.agent.name for entry in app.registry.all())}")
    for place, detail in problems:
        call.out.note(f"  {place}: {detail}")


def read(app: App, changed: set[Path]) -> Discovery:
    """What the sources say when nobody writes them meanwhile: half a file would take agents away."""
    files = changed | app.files
    before = stamps(files)
    found = app.discover()
    for _ in range(ATTEMPTS):
        after = stamps(files)
        if after == before:
            break
        before, found = after, app.discover()
    return found


def is_source(path: Path) -> bool:
    """Whether a file by its name may hold definitions."""
    is_hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts[-2:])
    return path.suffix in {".py", ".yaml", ".yml"} and not is_hidden


def _known(app: App, before: set[Path]) -> set[Path]:
    """The files that the agents come from: what is named so and is none, as for agents in memory, never was there."""
    return {file for file in app.files if file in before or file.is_file()}


def _sizes(files: set[Path]) -> dict[Path, int | None]:
    """How long files are; None for those that are gone."""
    found = stamps(files)
    return {file: found[file][1] if file in found else None for file in files}


def stamps(files: set[Path]) -> dict[Path, tuple[int, int]]:
    """When files were written last, and how long they are; nothing of those that are gone."""
    found: dict[Path, tuple[int, int]] = {}
    for path in files:
        with suppress(OSError):
            status = path.stat()
            found[path] = (status.st_mtime_ns, status.st_size)
    return found

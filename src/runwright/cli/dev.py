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
            watching(watched(app, sources), _is_source) as changes,
            asyncio.TaskGroup() as group,
        ):
            following = group.create_task(_follow(changes, app, call))
            try:
                await serve(app, on_start=announcement(app, call))
            finally:
                following.cancel()


async def _follow(changes: Changes, app: App, call: Call) -> None:
    while True:
        await _reload(app, await changes.group(), call)


def watched(app: App, sources: Sequence[str]) -> set[Path]:
    """The folders to watch: sources themselves, and where the files of modules are."""
    paths = {Path(source) for source in sources if Path(source).exists()}
    return paths or {file.parent for file in app.discover().files}


async def _reload(app: App, changed: set[Path], call: Call) -> None:
    names = ", ".join(sorted({path.name for path in changed}))
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
    files = changed | {Path(entry.declared.origin.file) for entry in app.registry.all()}
    before = stamps(files)
    found = app.discover()
    for _ in range(ATTEMPTS):
        after = stamps(files)
        if after == before:
            break
        before, found = after, app.discover()
    return found


def _is_source(path: Path) -> bool:
    is_hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts[-2:])
    return path.suffix in {".py", ".yaml", ".yml"} and not is_hidden


def stamps(files: set[Path]) -> dict[Path, tuple[int, int]]:
    """When files were written last, and how long they are; nothing of those that are gone."""
    found: dict[Path, tuple[int, int]] = {}
    for path in files:
        with suppress(OSError):
            status = path.stat()
            found[path] = (status.st_mtime_ns, status.st_size)
    return found

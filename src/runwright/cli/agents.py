"""`runwright agents`: look at agents and their definitions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runwright.cli.call import Called, agent_sources

if TYPE_CHECKING:
    from runwright.settings import Settings

PAGE = 200


async def ls(*, call: Called) -> None:
    """List the agents.

    Args:
        call: What every command is handed.
    """
    async with call.open(is_reading=True) as access:
        page = await access.agents.list(limit=PAGE)
    if call.out.is_json:
        call.out.json(page)
        return
    rows = [(view.name, view.version, view.template, view.place or view.source, view.description) for view in page.data]
    call.out.table(("agent", "version", "template", "where", "description"), rows)
    if not rows:
        from runwright.agents.registry import NONE

        call.out.note(f"There are no agents: {NONE}.")


async def show(name: str, /, *, version: str | None = None, call: Called) -> None:
    """Show the definition of an agent.

    Args:
        name: The agent.
        version: A version other than the current one.
        call: What every command is handed.
    """
    async with call.open(is_reading=True) as access:
        view = await access.agents.get(name, version)
    if call.out.is_json:
        call.out.json(view)
        return
    call.out.text(f"{view.name} {view.version}, template {view.template}, from {view.place or view.source}")
    if view.description:
        call.out.text(view.description)
    call.out.text("\n" + msgspec.yaml.encode(view.definition).decode().rstrip())
    for tool in view.tools:
        call.out.text(f"\ntool {tool.name} ({tool.effect}): {tool.description}")


async def schema(name: str, /, *, version: str | None = None, call: Called) -> None:
    """Print the JSON Schemas of an agent's input and output.

    Args:
        name: The agent.
        version: A version other than the current one.
        call: What every command is handed.
    """
    async with call.open(is_reading=True) as access:
        call.out.json(await access.agents.schema(name, version))


def check(path: Path | None = None, /, *, call: Called) -> None:
    """Check the definitions and say what is wrong where. Nothing is stored.

    Args:
        path: A folder or file with agent definitions, as --agents.
        call: What every command is handed.
    """
    settings = call.settings(agents=path)
    names = fitting(settings, agent_sources(settings))
    call.out.show({"ok": True, "agents": names}, f"ok: {', '.join(names) or 'no agents'}")


def fitting(settings: Settings, sources: Sequence[str]) -> list[str]:
    """The names of all agents that the sources define. Raises ConfigError with everything that is wrong.

    They may name agents that were made over the API.
    """
    from runwright.agents.load import located
    from runwright.app import DATABASE, App
    from runwright.service.agents import take_stored
    from runwright.store import open_stores_to_read

    app = App(settings, sources=sources)
    problems = app.reload()
    names = [entry.agent.name for entry in app.registry.all()]
    if problems and (path := settings.data / DATABASE).is_file():
        stores = open_stores_to_read(path)
        try:
            take_stored(app.registry, stores.agents)
        finally:
            stores.close()
        problems = app.registry.dangling()
    if problems:
        raise located(list(problems))
    return names

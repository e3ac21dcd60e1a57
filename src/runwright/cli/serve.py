"""`runwright serve`: the agents over HTTP, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runwright.cli.call import Call, Called, agent_sources

if TYPE_CHECKING:
    from runwright.app import App
    from runwright.sections import LogSettings
    from runwright.settings import Settings
    from runwright.watch.logs import Logs


def serve(
    path: Path | None = None,
    /,
    *,
    host: str | None = None,
    port: int | None = None,
    recover: bool | None = None,
    call: Called,
) -> None:
    """Serve the agents over HTTP.

    Args:
        path: A folder or file with agent definitions, as --agents.
        host: The address to listen on (default: 127.0.0.1). Beyond loopback an API key is needed.
        port: The port to listen on; 0 takes a free one (default: 8321).
        recover: Take up the runs of dead processes (default), or leave them to `runwright runs resume`.
        call: What every command is handed.
    """
    on_uvloop(_serve(call.settings(agents=path, host=host, port=port, recover=recover), call))


async def _serve(settings: Settings, call: Call) -> None:
    from runwright.app import App, AppOptions
    from runwright.server import serve

    with logs(settings) as reader:
        options = AppOptions(is_server=True, readers=(reader,))
        async with App(settings, sources=agent_sources(settings), options=options) as app:
            await serve(app, on_start=announcement(app, call))


def announcement(app: App, call: Call) -> Callable[[str, str | None], None]:
    """Tells where the server listens, what it serves, which model answers and how to log in."""
    from runwright import __version__

    def announce(url: str, login: str | None) -> None:
        names = [entry.agent.name for entry in app.registry.all()]
        default = app.models.default_ref
        if call.out.is_json:
            model = {"ref": default.ref, "reason": default.reason}
            call.out.json({"url": url, "agents": names, "model": model, "data": str(app.settings.data), "login": login})
            return
        places = ", ".join(str(source) for source in agent_sources(app.settings))
        hint = f" (from {places})" if places else " (name a folder with definitions: runwright serve PATH)"
        call.out.text(f"Runwright {__version__} at {url}")
        call.out.text(f"agents  {', '.join(names) or 'none'}{hint}")
        call.out.text(f"model   {default.ref}: {default.reason}")
        call.out.text(f"data    {app.settings.data}")
        if login is not None:
            call.out.text(f"login   {login} (once, within 10 minutes)")
        if not app.settings.recover:
            call.out.text("runs    those of dead processes stay as they are: runwright runs resume RUN takes one up")

    return announce


def logs(settings: Settings) -> Logs:
    """The server's log as the settings have it."""
    from runwright.models import PROVIDERS
    from runwright.settings import provider_settings, wants_color
    from runwright.watch.logs import Logs

    asked: LogSettings = settings.log
    specs = (*PROVIDERS.values(), *settings.providers.values())
    keys = provider_settings([spec.key_env for spec in specs if spec.key_env])
    is_json = asked.format == "json" or (asked.format == "auto" and not sys.stderr.isatty())
    return Logs(
        level=asked.level,
        is_json=is_json,
        is_colored=wants_color(sys.stderr),
        file=asked.file,
        keep_days=asked.keep_days,
        secrets=settings.secret_values() | set(keys.values()),
    )


def on_uvloop(work: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop, which is not made for Windows."""
    if sys.platform == "win32":
        asyncio.run(work)
        return
    import uvloop

    uvloop.run(work)

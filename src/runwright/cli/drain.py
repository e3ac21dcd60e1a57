"""`runwright drain`: have a running server begin no more runs, and wait until nothing is at work there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runwright.cli.call import Called, Flag, Seconds
from runwright.cli.output import Output

if TYPE_CHECKING:
    from runwright.cli.remote import RemoteDrains
    from runwright.service.drains import DrainBody, DrainView

LOOK_S = 0.25


def drain(*, timeout: Seconds | None = None, no_wait: Flag = False, call: Called) -> None:
    """Have a running server take no more work: of `--server`, else of the address in the settings.

    It says that it is not ready, begins no runs, and gives those at work time to finish; what is not over goes on at
    the next start. It still answers questions until it is stopped. Ctrl-C stops waiting, not the drain.

    Args:
        timeout: Seconds that runs at work get (default: `drain_s`).
        no_wait: Do not wait for the end of it.
        call: What every command is handed.
    """
    settings = call.settings()
    key = None if settings.api_key is None else settings.api_key.get_secret_value()
    url = settings.server or f"http://{settings.host}:{settings.port}"
    asyncio.run(_ask(url, key=key, timeout_s=timeout, is_waiting=not no_wait, out=call.out))


async def _ask(url: str, *, key: str | None, timeout_s: float | None, is_waiting: bool, out: Output) -> None:
    from runwright.cli.remote import connect
    from runwright.service.drains import DrainBody

    async with connect(url, key=key) as server:
        await follow(server.drains, DrainBody(timeout_s=timeout_s), is_waiting=is_waiting, out=out)


async def follow(drains: RemoteDrains, body: DrainBody, *, is_waiting: bool, out: Output) -> None:
    """Have a server drain, and show how far it is."""
    view = await drains.begin(body)
    shown = 0
    while view.status != "drained" and is_waiting:
        if view.executing != shown:
            shown = view.executing
            out.note(f"draining: {shown} runs are at work")
        await asyncio.sleep(LOOK_S)
        view = await drains.get()
    out.show(view, _told(view))


def _told(view: DrainView) -> str:
    if view.status != "drained":
        return f"{view.status}: {view.executing} runs are at work"
    return f"drained: {view.left} runs were left for the next start"

"""The server itself: whether it takes work, what it is, what it uses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from runwright import __version__
from runwright.studio.page import Ask, Page
from runwright.watch.health import ProcessHealth


class CheckView(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the server needs."""

    name: str
    is_ok: bool
    detail: str


class SystemView(msgspec.Struct, frozen=True, kw_only=True):
    """How the server is."""

    version: str
    checks: Sequence[CheckView]
    model: str | None
    model_reason: str
    process: ProcessHealth


async def show_system(ask: Ask) -> SystemView:
    """How the server is."""
    app = ask.app
    default = app.models.default_ref
    return SystemView(
        version=__version__,
        checks=[CheckView(name=name, is_ok=ok, detail=detail) for name, ok, detail in await app.ready()],
        model=default.ref,
        model_reason=default.reason,
        process=await asyncio.to_thread(app.health.measure),
    )


PAGES = (Page(path="/system", view=show_system, template="system.html", title="System", nav="System"),)

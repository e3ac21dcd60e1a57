"""The server itself: whether it takes work, what it is, what it uses."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Sequence

import msgspec

from runwright import __version__
from runwright.core.sizes import Sizes
from runwright.service.drains import DrainView
from runwright.studio.page import Ask, Page
from runwright.watch.health import ProcessHealth


class CheckView(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the server needs."""

    name: str
    is_ok: bool
    detail: str


class SystemView(msgspec.Struct, frozen=True, kw_only=True):
    """How the server is. `warnings` are places and what will fail there; `sizes` are measured when asked for."""

    version: str
    python: str
    machine: str
    checks: Sequence[CheckView]
    warnings: Sequence[tuple[str, str]]
    drain: DrainView
    model: str | None
    model_reason: str
    process: ProcessHealth
    data: str
    retention_days: int | None
    retention_bytes: int | None
    sizes: Sizes | None


async def show_system(ask: Ask) -> SystemView:
    """How the server is."""
    app = ask.app
    default = app.models.default_ref
    retention = app.settings.retention
    return SystemView(
        version=__version__,
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.release()} {platform.machine()}",
        checks=[CheckView(name=name, is_ok=ok, detail=detail) for name, ok, detail in await app.ready()],
        warnings=await asyncio.to_thread(app.schedules.troubles),
        drain=await app.drains.get(),
        model=default.ref,
        model_reason=default.reason,
        process=await asyncio.to_thread(app.health.measure),
        data="in memory" if app.options.is_in_memory else str(app.settings.data),
        retention_days=retention.days,
        retention_bytes=retention.size_bytes,
        sizes=await app.storage.sizes() if "sizes" in ask.query else None,
    )


PAGES = (Page(path="/system", view=show_system, template="system.html", title="System", nav="System"),)

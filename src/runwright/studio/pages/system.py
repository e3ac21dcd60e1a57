"""The server itself: whether it takes work, what it is, what it uses."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Sequence
from typing import get_args

import msgspec

from runwright import __version__
from runwright.core.sandbox import LEVELS, IsolationReport, Language, level
from runwright.core.sizes import Sizes
from runwright.models import ModelEntry
from runwright.service.drains import DrainView
from runwright.studio.page import Ask, Page
from runwright.watch.health import ProcessHealth

LANGUAGES: tuple[Language, ...] = get_args(Language)


class CheckView(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the server needs."""

    name: str
    is_ok: bool
    detail: str


class LevelView(msgspec.Struct, frozen=True, kw_only=True):
    """The isolation that code in a language gets, and what stops it there."""

    language: Language
    isolation: int
    by: str


class SystemView(msgspec.Struct, frozen=True, kw_only=True):
    """How the server is. `warnings` are places and what will fail there.

    When asked for, `sizes` are measured, `ways` to contain code tried, and the model providers of this machine asked
    whether they are there (`is_asked`). `levels` are the isolation that code in each
    language gets.
    """

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
    models: Sequence[ModelEntry]
    is_asked: bool
    sandbox: Sequence[str]
    ways: Sequence[IsolationReport] | None
    levels: Sequence[LevelView]


async def show_system(ask: Ask) -> SystemView:
    """How the server is."""
    app = ask.app
    default = app.models.default_ref
    retention = app.settings.retention
    is_asked = "models" in ask.query
    if is_asked:
        await app.models.probe()
    ways = await app.workshop.sandbox.probe() if "sandbox" in ask.query else None
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
        models=await asyncio.to_thread(app.models.catalog),
        is_asked=is_asked,
        sandbox=app.settings.sandbox.ways.split(),
        ways=ways,
        levels=[] if ways is None else [_level(ways, language) for language in LANGUAGES],
    )


def _level(ways: Sequence[IsolationReport], language: Language) -> LevelView:
    reached = level(ways, language)
    return LevelView(language=language, isolation=reached, by=LEVELS[reached])


PAGES = (Page(path="/system", view=show_system, template="system.html", title="System", nav="System"),)

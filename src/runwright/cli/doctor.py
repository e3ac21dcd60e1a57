"""`runwright doctor`: is this machine fit, and what to do where it is not."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from runwright.cli.call import Called
from runwright.cli.failures import CONFIG, Exit

if TYPE_CHECKING:
    from runwright.models import ModelRegistry
    from runwright.settings import Settings

PYTHON_AT_LEAST = (3, 11)
SQLITE_AT_LEAST = (3, 37, 0)
DISK_AT_LEAST = 500 * 1024 * 1024
MIB = 1024 * 1024
MARKS = {"ok": "ok  ", "note": "note", "problem": "BAD "}


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at: a `problem` needs doing before anything works, a `note` does not."""

    name: str
    status: Literal["ok", "note", "problem"]
    detail: str
    todo: str = ""


async def doctor(part: Literal["sandbox"] | None = None, /, *, call: Called) -> None:
    """Check this machine and say what to do. The exit code is 3 when something must be done.

    Args:
        part: `sandbox` tries out what code in a sandbox could do to this machine, which takes a minute.
        call: What every command is handed.
    """
    if part == "sandbox":
        from runwright.cli.isolation import attack_sandbox

        return await attack_sandbox(call)
    from runwright.app import App

    settings = call.settings()
    models = App(settings).models
    try:
        await models.discover()
        checks = await asyncio.to_thread(lambda: [*machine(settings), *model_checks(models)])
    finally:
        await models.close()
    if call.out.is_json:
        call.out.json({"data": checks})
    else:
        for check in checks:
            call.out.text(f"{MARKS[check.status]}  {check.name}: {check.detail}")
            if check.todo:
                call.out.text(f"      -> {check.todo}")
    if any(check.status == "problem" for check in checks):
        raise Exit(CONFIG)


def machine(settings: Settings) -> Iterator[Check]:
    """What Runwright asks of a machine."""
    yield python_check(sys.version_info[:3])
    yield sqlite_check(sqlite3.sqlite_version_info)
    yield data_check(settings.data)
    yield disk_check(settings.data)
    yield port_check(settings.host, settings.port)


def python_check(version: tuple[int, int, int]) -> Check:
    """Whether the Python is new enough."""
    detail = ".".join(map(str, version))
    if version < PYTHON_AT_LEAST:
        todo = "install Python 3.11 or later and Runwright in it"
        return Check(name="python", status="problem", detail=detail, todo=todo)
    return Check(name="python", status="ok", detail=detail)


def sqlite_check(version: tuple[int, int, int]) -> Check:
    """Whether the SQLite that Python brings is new enough."""
    detail = ".".join(map(str, version))
    if version < SQLITE_AT_LEAST:
        wanted = ".".join(map(str, SQLITE_AT_LEAST))
        todo = f"use a Python that is linked against SQLite {wanted} or later"
        return Check(name="sqlite", status="problem", detail=detail, todo=todo)
    return Check(name="sqlite", status="ok", detail=detail)


def data_check(data: Path) -> Check:
    """Whether the data directory can be written, or made."""
    place = _nearest(data)
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        todo = f"make {place} writable for this user, or name another directory with --data"
        return Check(name="data directory", status="problem", detail=f"{data} cannot be written", todo=todo)
    detail = f"{data} is writable" if data.is_dir() else f"{data} can be made"
    return Check(name="data directory", status="ok", detail=detail)


def disk_check(data: Path) -> Check:
    """Whether there is room for the record."""
    free = shutil.disk_usage(_nearest(data)).free
    detail = f"{free // MIB:,} MiB free"
    if free < DISK_AT_LEAST:
        todo = f"free space: with less than {DISK_AT_LEAST // MIB} MiB runs may have to wait for it"
        return Check(name="disk", status="note", detail=detail, todo=todo)
    return Check(name="disk", status="ok", detail=detail)


def port_check(host: str, port: int) -> Check:
    """Whether the port to listen on is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host.strip("[]"), port), family=family).close()
    except OSError as error:
        todo = "if that is not a server of yours, choose another with --port or RUNWRIGHT_PORT"
        detail = f"{host}:{port} cannot be had: {error.strerror or error}"
        return Check(name="port", status="note", detail=detail, todo=todo)
    return Check(name="port", status="ok", detail=f"{host}:{port} is free")


def model_checks(models: ModelRegistry) -> Iterator[Check]:
    """Which model agents get that name none, and what the others need."""
    default = models.default_ref
    if default.ref == "demo":
        todo = "set OPENAI_API_KEY or another provider's key, start Ollama, or `runwright models pull smollm2-135m`"
        yield Check(name="default model", status="note", detail=f"demo: {default.reason}", todo=todo)
    else:
        yield Check(name="default model", status="ok", detail=f"{default.ref}: {default.reason}")
    for entry in models.catalog():
        if entry.provider == "local":
            status = "ok" if entry.is_available else "note"
            yield Check(name=entry.ref, status=status, detail=entry.why_not or "ready")


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest parent that is there."""
    path = path.absolute()
    return next(each for each in (path, *path.parents) if each.exists())

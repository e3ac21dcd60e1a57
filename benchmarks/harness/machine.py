"""Where and with what a run was made."""

import datetime
import os
import platform
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.targets import HERE, VENV_PYTHON

_LISTING = (
    "import importlib.metadata as m, sys\n"
    "for name in sys.argv[1:]:\n"
    "    try: print(name, m.version(name))\n"
    "    except m.PackageNotFoundError: pass"
)
_PACKAGES = {
    "floor": ("aiohttp", "httptools", "msgspec", "starlette", "uvicorn", "uvloop"),
    "bare": ("fastapi", "openai", "pydantic", "pydantic-ai-slim", "starlette", "uvicorn", "uvloop"),
    "runwright": ("runwright", "aiohttp", "fastapi", "msgspec", "sqlalchemy", "starlette", "uvicorn", "uvloop"),
}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The facts that stand beside a table."""

    date: str
    commit: str
    cpu: str
    cores: int
    memory_gb: float
    system: str
    filesystem: str
    versions: dict[str, str]


def describe(targets: list[str], scratch: Path) -> Machine:
    """Look at this machine and at the environments of the targets."""
    versions = {"Python": f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}"}
    versions |= {name: _versions(name) for name in targets}
    return Machine(
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=_commit(),
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        system=f"{platform.system()} {platform.release()}",
        filesystem=_filesystem(scratch),
        versions=versions,
    )


def _versions(target: str) -> str:
    python = str(VENV_PYTHON) if target == "bare" else sys.executable
    return ", ".join(_output([python, "-c", _LISTING, *_PACKAGES[target]]).splitlines()) or "not installed"


def _commit() -> str:
    commit = _output(["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]) or "unknown"
    changed = _output(["git", "-C", str(HERE), "status", "--porcelain", "--", "../src"])
    return f"{commit} (src changed since)" if changed else commit


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _filesystem(scratch: Path) -> str:
    """The kind of file system the data of the targets is on: commits cost what it makes them cost."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [(point, kind) for point, kind in mounts if scratch.is_relative_to(point)]
    return max(holding, key=lambda mount: len(mount[0]))[1] if holding else "unknown file system"


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""

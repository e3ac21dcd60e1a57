"""What agents need whose code runs in a sandbox: the sandbox, their packages, and code from elsewhere."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
from anyio import to_thread

from runwright.core.sandbox import MIB, Sandbox
from runwright.errors import ConfigError, ToolFailed
from runwright.sections import SandboxSettings
from runwright.tools.http import HttpClient
from runwright.tools.sandbox.dependencies import Dependencies
from runwright.tools.sandbox.local import LocalSandbox

LARGEST_CODE = MIB
"""Bytes of code that are taken."""


class Pinned:
    """Code from URLs, each fetched once and kept under its hash."""

    def __init__(self, folder: Path, http: HttpClient) -> None:
        self._folder = folder
        self._http = http

    async def code(self, url: str, sha256: str) -> str:
        """The code with this hash. Raises ConfigError when it cannot be had, or what stands there is another one."""
        place = self._folder / sha256
        kept = await to_thread.run_sync(_read, place)
        if kept is not None and hashlib.sha256(kept).hexdigest() == sha256:
            return _text(kept, url)
        try:
            found = await self._http.fetch(url, largest=LARGEST_CODE)
        except ToolFailed as error:
            raise ConfigError(f"The code cannot be fetched: {error.message}") from error
        actual = hashlib.sha256(found).hexdigest()
        if actual != sha256:
            raise ConfigError(f"What stands at {url!r} has another hash than the definition says: sha256 is {actual}.")
        text = _text(found, url)
        await to_thread.run_sync(_write, place, found)
        return text


class Workshop(msgspec.Struct, frozen=True):
    """All that code in a sandbox needs here. `api_hosts` and `api_limits` bound what code from the API may ask for.

    The latter are by the name of a limit.
    """

    sandbox: Sandbox
    dependencies: Dependencies
    pinned: Pinned
    api_hosts: tuple[str, ...] = ()
    api_limits: Mapping[str, float] = {}
    files: dict[Path, str] = msgspec.field(default_factory=dict[Path, str])

    def read(self, place: Path, *, is_fresh: bool) -> str:
        """Code of a file, as it was read before unless it is to be fresh. Raises OSError and UnicodeDecodeError."""
        if is_fresh or place not in self.files:
            self.files[place] = read_file(place)
        return self.files[place]

    @classmethod
    def at(cls, folder: Path, chosen: SandboxSettings, http: HttpClient) -> Workshop:
        """One that keeps its things in a folder, as the settings say."""
        return cls(
            LocalSandbox(ways=chosen.ways.split(), warm=chosen.warm),
            Dependencies(folder),
            Pinned(folder / "code", http),
            api_hosts=tuple(chosen.api_hosts.split()),
            api_limits=chosen.api_limits,
        )


def read_file(place: Path) -> str:
    """The text of a file, and no more of it than shows that it is too large. Raises OSError, UnicodeDecodeError."""
    with place.open(encoding="utf-8") as opened:
        return opened.read(LARGEST_CODE + 1)


def _read(place: Path) -> bytes | None:
    try:
        return place.read_bytes()
    except FileNotFoundError:
        return None


def _write(place: Path, data: bytes) -> None:
    """Write a file that is whole as soon as it is there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(dir=place.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    os.replace(beside, place)


def _text(data: bytes, url: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"What stands at {url!r} is no text in UTF-8.") from error

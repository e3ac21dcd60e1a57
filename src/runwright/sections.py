"""The sections of the settings that belong together: logs, retention, the cache, Redis, the sandbox, repositories."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import NoDecode

from runwright.errors import InvalidRequest

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = r"^\d{1,6}(\.\d{1,3})? ?(KB|MB|GB|TB)$"


def _words(given: object) -> object:
    """A list of texts that a variable holds."""
    if not isinstance(given, str):
        return given
    try:
        return msgspec.json.decode(given, type=tuple[str, ...])
    except msgspec.MsgspecError:
        return tuple(given.split())


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]


class LogSettings(BaseModel):
    """How the server tells what it does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important lines that are written. `debug` has one line per event."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto` is `console` on a terminal and `json` elsewhere."
    )
    file: Path | None = Field(
        default=None, description="A file that gets every line as JSON, besides stderr. Rotated daily."
    )
    keep_days: int = Field(default=14, ge=1, description="Days that rotated log files are kept.")


class RetentionSettings(BaseModel):
    """How long runs are kept. Pinned ones stay, and so do those that are not over or that something goes on from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: int | None = Field(
        default=None, ge=1, description="Days after which a server deletes runs that are over. Unset, they stay."
    )
    size: str | None = Field(
        default=None,
        pattern=_SIZE,
        description="The size of the database, such as `5GB`, above which a server deletes the oldest runs.",
    )

    @property
    def age(self) -> timedelta | None:
        """The days as a duration."""
        return None if self.days is None else timedelta(days=self.days)

    @property
    def size_bytes(self) -> int | None:
        """The size in bytes."""
        return None if self.size is None else _bytes(self.size)

    @classmethod
    def of(cls, size: str) -> RetentionSettings:
        """Those of a size. Raises InvalidRequest."""
        try:
            return cls(size=size)
        except ValidationError:
            raise InvalidRequest(f"The size {size!r} cannot be read: write it as 500MB or 5GB.") from None


class CacheSettings(BaseModel):
    """How much room the answers have that the guard keeps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory: str = Field(
        default="64MB", pattern=_SIZE, description="Memory for kept answers; those go first that were not asked for."
    )
    database: str = Field(
        default="256MB",
        pattern=_SIZE,
        description="Room for kept answers in the database; those go first whose time is over first.",
    )

    @property
    def memory_bytes(self) -> int:
        """The memory in bytes."""
        return _bytes(self.memory)

    @property
    def database_bytes(self) -> int:
        """The room in the database in bytes."""
        return _bytes(self.database)


class RedisSettings(BaseModel):
    """A Redis or Valkey server, for what several processes share. Needs the extra `redis`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr | None = Field(
        default=None, description="The server, as `redis://:PASSWORD@HOST:6379/0`, or `rediss://` for TLS."
    )
    cache: bool = Field(
        default=True, description="Whether kept answers stand there, for all processes, in place of the database."
    )
    guard: bool = Field(default=True, description="Whether limits, breakers and budgets are those of all processes.")
    without: Literal["refuse", "alone"] = Field(
        default="refuse",
        description="What becomes of calls with a budget while the server is away: they are refused, "
        "or each process counts by itself.",
    )
    prefix: str = Field(default="runwright", min_length=1, description="What its keys begin with.")
    max_connections: int = Field(default=16, ge=1, description="Connections of one process at the most.")
    connect_timeout_s: float = Field(default=1.0, gt=0, description="Seconds to connect.")
    timeout_s: float = Field(default=1.0, gt=0, description="Seconds for an answer, or for a free connection.")
    idle_s: float = Field(default=60.0, gt=0, description="Seconds after which an idle connection is closed.")

    @property
    def secret_values(self) -> frozenset[str]:
        """The URL and its password."""
        url = "" if self.url is None else self.url.get_secret_value()
        try:
            password = urlsplit(url).password
        except ValueError:
            password = None
        return frozenset(value for value in (url, password) if value)


class SandboxSettings(BaseModel):
    """How code of agents is contained, what of it is kept, and what code from the API may ask for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ways: str = Field(
        default="bubblewrap landlock deno",
        pattern=r"^((bubblewrap|docker|landlock|deno|unsafe)( +|$))+$",
        description="The ways to contain code that may be taken; the strongest that works is. "
        "`docker` among them is taken where bubblewrap does not work and an engine is there. "
        "`unsafe` among them is taken for code whose definition says `isolation: 0`, where nothing else works.",
    )
    warm: int = Field(
        default=0, ge=0, le=16, description="Processes that wait, already begun, for code like that which ran last."
    )
    folder: Path | None = Field(
        default=None,
        description="Where packages, and code from URLs, are kept. In the user's cache directory when unset.",
    )
    api_hosts: str = Field(
        default="",
        description="Hosts, with spaces between them, that agents from the API may name in `http`, "
        "and fetch their code from; `*` for all.",
    )
    api_memory_mb: int = Field(
        default=1024, ge=64, description="The most memory, in MiB, that agents from the API may give their code."
    )
    api_output_kb: int = Field(
        default=1024,
        ge=1,
        description="The most that code of agents from the API may print, and send in one call or as its result, "
        "in KiB: nothing else goes on while such a line is read, up to 0.3 s for a MiB.",
    )
    api_code_timeout_s: float = Field(
        default=300.0, ge=1, description="The most seconds that agents from the API may give their code."
    )
    api_threads: int = Field(
        default=64, ge=1, description="The most threads that agents from the API may give their code."
    )
    api_calls: int = Field(
        default=10_000, ge=1, description="The most calls that agents from the API may give their code."
    )

    @property
    def api_limits(self) -> Mapping[str, float]:
        """The most that agents from the API may have, by the field of their limits."""
        names = ("code_timeout_s", "memory_mb", "output_kb", "threads", "calls")
        return {name: getattr(self, f"api_{name}") for name in names}


class RepositorySettings(BaseModel):
    """Git repositories that agents read, beside those that definitions in files name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: Words = Field(
        default=(),
        description="Folders and beginnings of URLs, such as `https://github.com/acme/`, that whoever may run or "
        "define an agent may name; in a variable between spaces, or as JSON. `https://` is every public host.",
    )
    size: str = Field(default="1GB", pattern=_SIZE, description="The size of one copy, beyond which it is not fetched.")
    total: str = Field(
        default="10GB",
        pattern=_SIZE,
        description="The size of all copies, beyond which those that were not read for longest make room for a fetch.",
    )
    time_s: float = Field(default=600.0, gt=0, description="Seconds for one fetch.")

    @property
    def options(self) -> dict[str, Any]:
        """What is set, with sizes in bytes."""
        sizes = {"size": _bytes(self.size), "total": _bytes(self.total)}
        return {"allow": self.allow, **sizes, "time_s": self.time_s}


def _bytes(size: str) -> int:
    return int(float(size[:-2]) * _UNITS[size[-2:]])

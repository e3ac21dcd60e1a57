"""What a way to run guests is: what each makes of an interpreter's command, and where things stand for a guest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from runwright.core.sandbox import Language, SandboxLimits
from runwright.tools.sandbox.interpreters import ENVIRONMENT

INODES: Final = 10_000
BOX: Final = "/box"
DEPENDENCIES: Final = "/deps"
SYSTEM: Final = ("/usr", "/lib", "/lib32", "/lib64", "/bin")
LOADER_CACHE: Final = "/etc/ld.so.cache"


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a guest is made for. `box` is a folder of its own, which only JavaScript has."""

    language: Language
    limits: SandboxLimits
    dependencies: Path | None = None
    box: Path | None = None


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """How a guest is started.

    `{0}`, `{1}`, ... in `argv` stand for descriptors from which `feeds` are read, `{info}` for one on which the number
    of the guest's process is told, `{out}` for one on which the guest writes. `order` is the first line that it reads.
    `path` and `url` are where the guest finds its dependencies and its code. With `is_piped` it has no descriptors but
    the first three, so its stdout is the channel. Without `env` it has that of this process.
    """

    argv: Sequence[str]
    env: dict[str, str] | None = {}
    feeds: Sequence[bytes] = ()
    order: Callable[[int], bytes] | None = None
    path: str = ""
    url: str = ""
    is_limited: bool = True
    is_apart: bool = False
    is_piped: bool = False


class Way(Protocol):
    """One way to run guests."""

    name: str
    isolation: int

    def why_not(self, language: Language) -> str | None:
        """What is missing for it, as far as that can be seen without trying."""
        ...

    def command(self, setup: Setup) -> Command:
        """How to start a guest."""
        ...


def guest_environment(deno: str) -> dict[str, str]:
    """The variables of a guest whose Deno keeps its files there."""
    return {**ENVIRONMENT, "DENO_DIR": f"{deno}/.deno"}

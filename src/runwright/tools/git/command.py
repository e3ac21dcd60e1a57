"""The `git` command, with nothing of the machine's or a repository's configuration but what stands here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from runwright.errors import ToolFailed, ToolTimeout

MISSING: Final = "The git command is not there: install git to let agents read repositories."
TOLD_AT_MOST: Final = 4_000
"""Characters of what git says about a failure."""

CHUNK: Final = 64 * 1024
MEMORY: Final = 1024**3
"""Bytes of address space of one git. What a repository holds can take far more of it than of the disk."""

# A limit that is set after git has begun would miss what it starts.
LIMITED: Final = ("/bin/sh", "-c", 'ulimit -v "$1" && shift && exec "$@"', "sh")
_TOO_MUCH: Final = re.compile(r"out of memory|cannot allocate memory|memory exhausted", re.IGNORECASE)

# Read in place of ~/.gitconfig, also by the half of git that serves a local repository. That half reads the config of
# the repository it serves too, but takes commands to run and safe.directory from here alone.
CONFIG: Final = """\
[safe]
    directory = *
[core]
    hooksPath = /dev/null
    fsmonitor = false
    attributesFile = /dev/null
    excludesFile = /dev/null
    packedGitWindowSize = 16m
    packedGitLimit = 128m
    bigFileThreshold = 8m
[credential]
    helper =
[protocol]
    allow = never
[fetch]
    recurseSubmodules = false
    writeCommitGraph = false
[submodule]
    recurse = false
[uploadpack]
    allowAnySHA1InWant = true
[gc]
    auto = 0
[maintenance]
    auto = false
[http]
    followRedirects = false
[log]
    showSignature = false
"""

MACHINE: Final = ("http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "GIT_SSL_CAINFO")
"""Variables of the machine's environment that git is told of."""

# GIT_ALLOW_PROTOCOL stands above the configuration of protocols; a command that fetches names the one it takes.
ENVIRONMENT: Final[Mapping[str, str]] = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_ASKPASS": "",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "LANGUAGE": "",
    "LC_ALL": "C.UTF-8",
    "SSH_ASKPASS": "",
}


Variables = Callable[[Sequence[str]], Mapping[str, str]]
"""Gives those of these variables that are set."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What a command gave. `is_cut` says that it gave more, and was stopped."""

    status: int
    out: bytes
    told: str
    is_cut: bool = False


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One command: its bounds, and what is told of its progress."""

    limit: int = 1_000_000
    timeout_s: float = 30.0
    memory: int = MEMORY
    environment: Mapping[str, str] = {}
    input: bytes | None = None
    progress: Callable[[str], None] | None = None


class Git:
    """Runs git in folders of ours, never in a repository of others. `home` is where its configuration stands."""

    def __init__(self, home: Callable[[], Path], environment: Variables | None = None) -> None:
        self._home = home
        self._given = environment
        self._environment: dict[str, str] | None = None
        self._program = ""

    async def run(self, folder: Path | None, *arguments: str | bytes, ask: Ask | None = None) -> Done:
        """Run a command and take what it writes, up to a limit.

        Raises ToolTimeout, and ToolFailed where there is no git. The process and what it started end with the call.
        """
        ask = ask or Ask()
        if self._environment is None:
            self._environment = await asyncio.to_thread(self._prepared)
        where = () if folder is None else (f"--git-dir={folder}",)
        limited = (*LIMITED, str(ask.memory // 1024)) if sys.platform == "linux" else ()
        try:
            process = await asyncio.create_subprocess_exec(
                *limited,
                self._program,
                *where,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL if ask.input is None else asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**self._environment, **ask.environment},
                cwd="/",
                start_new_session=True,
            )
        except FileNotFoundError:
            raise ToolFailed(MISSING) from None
        try:
            async with asyncio.timeout(ask.timeout_s):
                done = await _taken(process, ask)
        except TimeoutError:
            raise ToolTimeout(
                f"git {_shown(arguments)} took longer than {ask.timeout_s:g} s and was stopped."
            ) from None
        finally:
            await _end(process)
        if done.status and _TOO_MUCH.search(done.told):
            raise ToolFailed(
                f"git {_shown(arguments)} needs more than {ask.memory >> 20:,} MiB of memory: ask for less."
            )
        return done

    def _prepared(self) -> dict[str, str]:
        """Write the configuration, and find git."""
        program = shutil.which("git")
        if program is None:
            raise ToolFailed(MISSING)
        self._program = program
        home = self._home()
        config = home / "gitconfig"
        if not config.is_file() or config.read_text() != CONFIG:
            partial = home / f"gitconfig.{os.getpid()}"
            partial.write_text(CONFIG)
            partial.replace(config)
        given: Mapping[str, str] = self._given(MACHINE) if self._given else {}
        own = {"GIT_CONFIG_GLOBAL": str(config), "HOME": str(home), "PATH": os.defpath}
        return {**given, **ENVIRONMENT, **own}


async def _taken(process: asyncio.subprocess.Process, ask: Ask) -> Done:
    told = bytearray()
    async with asyncio.TaskGroup() as group:
        group.create_task(_listen(process, told, ask))
        if ask.input is not None:
            group.create_task(_feed(process, ask.input))
        out, is_cut = await _read(process, ask.limit)
        if is_cut:
            _kill(process)
    status = await process.wait()
    return Done(status=0 if is_cut else status, out=out, told=told.decode(errors="replace").strip(), is_cut=is_cut)


async def _read(process: asyncio.subprocess.Process, limit: int) -> tuple[bytes, bool]:
    assert process.stdout is not None
    out = bytearray()
    while chunk := await process.stdout.read(CHUNK):
        out += chunk
        if len(out) > limit:
            return bytes(out[:limit]), True
    return bytes(out), False


async def _listen(process: asyncio.subprocess.Process, told: bytearray, ask: Ask) -> None:
    """What git says beside its output: progress is passed on, the end of it kept."""
    assert process.stderr is not None
    while chunk := await process.stderr.read(CHUNK):
        told += chunk
        if ask.progress is not None:
            # Its lines of progress end in a carriage return.
            lines = [line for line in bytes(told).decode(errors="replace").replace("\r", "\n").split("\n") if line]
            ask.progress(lines[-1].removeprefix("remote: ").strip() if lines else "")
        del told[: max(0, len(told) - TOLD_AT_MOST)]


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()


def _kill(process: asyncio.subprocess.Process) -> None:
    # The session that was made for it, with what it started.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        _kill(process)
        await process.wait()


def _shown(arguments: tuple[str | bytes, ...]) -> str:
    first = arguments[0]
    return first if isinstance(first, str) else first.decode(errors="replace")

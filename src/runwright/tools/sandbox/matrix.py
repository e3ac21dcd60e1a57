"""The attack matrix: what code tries to leave a sandbox, and whether it is stopped. `runwright doctor sandbox`."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from anyio import to_thread

from runwright.core.sandbox import MIB, Language, SandboxLimits, SandboxOutcome, SandboxSpec
from runwright.tools.sandbox import syscalls
from runwright.tools.sandbox.guest import DENO_ATTACKS, PYTHON_ATTACKS
from runwright.tools.sandbox.interpreters import ENVIRONMENT, Interpreters
from runwright.tools.sandbox.local import LocalSandbox
from runwright.tools.sandbox.seccomp import architecture

WALL_S: Final = 20.0
SHORT_S: Final = 1.0
AT_ONCE: Final = 2
"""Attacks that run side by side."""

ENDLESS: Final = frozenset({"loop_forever", "sleep_long", "replace_harness", "call_without_end"})
"""Attacks that end by the limit of time."""

BY_HOST: Final = ENDLESS | {
    *("read_own_environment", "use_descriptors", "print_much", "print_much_to_stderr", "give_much"),
    *("write_garbage", "write_endless_line", "write_deep", "write_unasked", "call_nonsense"),
    *("close_channel", "replace_globals"),
}
"""Attacks that Runwright's own process stops, so that they are stopped without any isolation too."""

KNOWN: Final = (*ENVIRONMENT, "DENO_DIR", "PWD", "LC_CTYPE", "PATH", "DENO_NODE_SHIM_ACTIVE")
"""Names that a guest's environment may hold: bubblewrap adds PWD, Python LC_CTYPE, and Deno the last two."""

STATIC: Final = {
    "import_file_as_text": "import found from 'file://SECRET' with { type: 'text' };",
    "import_file_as_json": "import json from 'file://SECRET' with { type: 'json' }; const found = json.marker;",
}
"""Imports that an engine reads before anything runs, and for which Deno asks for no permission in a main module."""

PYTHON_ATTACK: Final = re.compile(r"^def (\w+)\(host: Host\) -> (?:bool|str):", re.MULTILINE)
DENO_ATTACK: Final = re.compile(r"^export (?:async )?(?:const|function) (\w+)", re.MULTILINE)

STATIC_MAIN: Final = "export const main = ({ host }) => found.includes(host.marker);"


class Attack(msgspec.Struct, frozen=True):
    """One attempt: the code, and the function of it."""

    name: str
    language: Language
    code: str
    entry: str

    @property
    def is_stopped_by_host(self) -> bool:
        """Whether the host's own process stops it, whatever the isolation."""
        return self.name in BY_HOST


class AttackResult(msgspec.Struct, frozen=True, kw_only=True):
    """How an attack went. `detail` is what stopped it."""

    backend: str
    isolation: int
    language: Language
    attack: str
    is_stopped: bool
    detail: str


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is attacked: things of this machine that a guest has no business with."""

    secret: str
    marker: str
    folder: str
    port: int
    udp: int
    stream: str
    datagram: str
    abstract: str
    pid: int
    address: int
    calls: dict[str, int]
    known: Sequence[str] = KNOWN


def attacks(language: Language, target: Target) -> Iterator[Attack]:
    """Every attempt in a language."""
    for code, names in _sources(language):
        yield from (Attack(name, language, code, name) for name in names)
    if language != "python":
        for name, line in STATIC.items():
            yield Attack(name, language, f"{line}\n{STATIC_MAIN}".replace("SECRET", target.secret), "main")


async def attack(
    way: str, language: Language, target: Target, *, interpreters: Interpreters | None = None
) -> AsyncIterator[AttackResult]:
    """Try everything in one way."""
    sandbox = LocalSandbox(ways=(way,), interpreters=interpreters)
    slots = asyncio.Semaphore(AT_ONCE)

    async def attempted(each: Attack) -> AttackResult:
        async with slots:
            return await _attempt(sandbox, each, target)

    try:
        found = await to_thread.run_sync(lambda: list(attacks(language, target)))
        for result in await asyncio.gather(*map(attempted, found)):
            yield result
    finally:
        await sandbox.close()


async def _attempt(sandbox: LocalSandbox, attack: Attack, target: Target) -> AttackResult:
    wall_s = SHORT_S if attack.name in ENDLESS else WALL_S
    limits = SandboxLimits(wall_s=wall_s, memory=512 * MIB)
    spec = SandboxSpec(language=attack.language, code=attack.code, limits=limits, min_isolation=0)
    async with await sandbox.start(spec, _answer_nothing) as session:
        outcome = await session.run(attack.entry, {"host": msgspec.to_builtins(target)})
    is_through = outcome.result is not None and bytes(outcome.result) == b"true"
    return AttackResult(
        backend=outcome.backend,
        isolation=outcome.isolation,
        language=attack.language,
        attack=attack.name,
        is_stopped=not is_through,
        detail="" if is_through else _detail(outcome),
    )


def _detail(outcome: SandboxOutcome) -> str:
    if outcome.error is None:
        return "nothing was found"
    message = outcome.error.message.splitlines()[0] if outcome.error.message else ""
    return f"{outcome.error.type}: {message}" if outcome.reason == "error" else f"{outcome.reason}: {message}"


async def _answer_nothing(call: object) -> object:
    return None


@asynccontextmanager
async def targets() -> AsyncGenerator[Target]:
    """Files, servers and memory of this process to be attacked, for a while."""
    root = Path(await to_thread.run_sync(lambda: tempfile.mkdtemp(prefix="runwright-target-")))
    marker = f"secret-{secrets.token_hex(8)}"
    # It must stay where it is while somebody looks for it.
    memory = ctypes.create_string_buffer(marker.encode())
    abstract = root.name
    datagrams = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)]
    try:
        await to_thread.run_sync(_lay_out, root, marker)
        datagrams[0].bind(f"{root}/datagram")
        datagrams[1].bind(("127.0.0.1", 0))
        async with contextlib.AsyncExitStack() as servers:
            tcp = await servers.enter_async_context(await asyncio.start_server(_serve, "127.0.0.1", 0))
            await servers.enter_async_context(await asyncio.start_unix_server(_serve, f"{root}/stream"))
            await servers.enter_async_context(await asyncio.start_unix_server(_serve, "\0" + abstract))
            yield Target(
                secret=f"{root}/secret.json",
                marker=marker,
                folder=f"{root}/folder",
                port=tcp.sockets[0].getsockname()[1],
                udp=datagrams[1].getsockname()[1],
                stream=f"{root}/stream",
                datagram=f"{root}/datagram",
                abstract=abstract,
                pid=os.getpid(),
                address=ctypes.addressof(memory),
                calls=_calls(),
            )
    finally:
        for each in datagrams:
            each.close()
        await to_thread.run_sync(lambda: shutil.rmtree(root, ignore_errors=True))


def _lay_out(root: Path, marker: str) -> None:
    (root / "folder").mkdir()
    (root / "folder" / "file").write_text("x", encoding="utf-8")
    (root / "secret.json").write_bytes(msgspec.json.encode({"marker": marker}))


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # One that closes with something unread resets the connection, answer and all.
    await reader.read(1000)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()


def _calls() -> dict[str, int]:
    """Numbers of system calls that the C library has no function for."""
    arch = architecture()
    tables = {**syscalls.THREADS, **syscalls.REFUSED}
    named = ("clone", "io_uring_setup", "keyctl", "bpf", "userfaultfd", "perf_event_open")
    return {name: number for name in named if arch and (number := getattr(tables[name], arch)) is not None}


@cache
def _sources(language: Language) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The files of attacks in a language, each with the names of those functions in it that are one."""
    files, function = (PYTHON_ATTACKS, PYTHON_ATTACK) if language == "python" else (DENO_ATTACKS, DENO_ATTACK)
    texts = [file.read_text(encoding="utf-8") for file in files]
    return tuple((text, tuple(function.findall(text))) for text in texts)

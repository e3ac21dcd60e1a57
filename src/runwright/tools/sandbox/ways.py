"""The ways to run a guest, best first: what each makes of an interpreter's command."""

from __future__ import annotations

import base64
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from runwright.core.sandbox import Language
from runwright.tools.sandbox.docker import Docker
from runwright.tools.sandbox.guest import CONFINE, PYTHON_HARNESS, TIE
from runwright.tools.sandbox.interpreters import Interpreters
from runwright.tools.sandbox.seccomp import architecture, assemble
from runwright.tools.sandbox.way import (
    BOX,
    DEPENDENCIES,
    LOADER_CACHE,
    SYSTEM,
    Command,
    Setup,
    Way,
    guest_environment,
)

OUT: Final = "{out}"
"""Stands in a command for the number of the descriptor on which Python's harness writes."""

OWN_PROCESS: Final = Path("/proc/self")
DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")


class Bubblewrap:
    """Namespaces in which nothing else exists, and a filter of system calls."""

    name = "bubblewrap"
    isolation = 3

    def __init__(self, interpreters: Interpreters) -> None:
        self._interpreters = interpreters

    def why_not(self, language: Language) -> str | None:
        """Whether bwrap is there."""
        if architecture() is None:
            return "there is no table of system calls for this machine: it knows x86-64 and arm64 on Linux"
        if shutil.which("bwrap") is None:
            return "bwrap is not installed: apt-get install bubblewrap, dnf install bubblewrap"
        return self._interpreters.why_not(language)

    def command(self, setup: Setup) -> Command:
        """Start bwrap, which learns from a pipe what nobody else needs to see."""
        if setup.language == "python":
            inner = self._interpreters.python_command(f"{BOX}/harness.py", OUT)
        else:
            inner = self._interpreters.deno_command(BOX, setup.limits.memory)
        arch = architecture()
        assert arch is not None
        arguments = "\0".join(self._arguments(setup)) + "\0"
        return Command(
            argv=[
                shutil.which("bwrap") or "bwrap",
                *("--args", "{0}", "--seccomp", "{1}", "--info-fd", "{info}", "--"),
                *inner,
            ],
            feeds=(arguments.encode(), assemble(arch)),
            path=DEPENDENCIES if setup.dependencies and setup.language == "python" else "",
            url=f"file://{BOX}",
            is_apart=True,
        )

    def _arguments(self, setup: Setup) -> list[str]:
        return [
            *("--unshare-all", "--as-pid-1", "--die-with-parent", "--new-session"),
            *("--cap-drop", "ALL", "--uid", "1000", "--gid", "1000", "--hostname", "sandbox"),
            *("--clearenv", *(word for pair in guest_environment("/tmp").items() for word in ("--setenv", *pair))),
            *_system_mounts(),
            # See Landlock: of all processes there is only the guest itself.
            *(() if setup.language == "python" else ("--proc", "/proc")),
            *(word for device in DEVICES for word in ("--dev-bind-try", device, device)),
            # Before the rest: an interpreter can stand below it.
            *("--size", str(max(setup.limits.file_size, 4096)), "--tmpfs", "/tmp", "--chdir", "/tmp"),
            *(word for source, place in self._mounts(setup) for word in ("--ro-bind", source, place)),
            *("--remount-ro", "/"),
        ]

    def _mounts(self, setup: Setup) -> list[tuple[str, str]]:
        """What is mounted where, for reading."""
        if setup.language == "python":
            files = [str(path) for path in self._interpreters.python_files]
            mounts = [(path, path) for path in files if not path.startswith("/usr/")]
            mounts.append((str(PYTHON_HARNESS), f"{BOX}/harness.py"))
            if setup.dependencies:
                mounts.append((str(setup.dependencies), DEPENDENCIES))
            return mounts
        deno = str(self._interpreters.deno)
        mounts = [] if deno.startswith("/usr/") else [(deno, deno)]
        mounts.append((str(setup.box), BOX))
        if setup.dependencies:
            mounts.append((f"{setup.dependencies}/node_modules", f"{BOX}/node_modules"))
        return mounts


class Landlock:
    """The host's own name space with every file but a few taken away, and a filter of system calls."""

    name = "landlock"
    isolation = 2

    def __init__(self, interpreters: Interpreters) -> None:
        self._interpreters = interpreters

    def why_not(self, language: Language) -> str | None:
        """Whether there is a filter for this machine."""
        if architecture() is None:
            return "there is no table of system calls for this machine: it knows x86-64 and arm64 on Linux"
        return self._interpreters.why_not(language)

    def command(self, setup: Setup) -> Command:
        """Start Python, which takes its rights away and becomes the guest."""
        inner = [] if setup.language == "python" else _deno_among_files(self._interpreters, setup)
        readable = [*SYSTEM, LOADER_CACHE, *DEVICES, *map(str, self._readable(setup))]

        # Nothing can be written, so Deno keeps nothing.
        env = guest_environment("/nowhere")

        def order(pid: int) -> bytes:
            arch = architecture()
            assert arch is not None
            told = {
                "read": [path for path in readable if os.path.exists(path)],
                "write": ["/dev/null"],
                "filter": base64.b64encode(assemble(arch, pid=pid)).decode(),
                "command": inner,
                "env": env,
            }
            return msgspec.json.encode(told) + b"\n"

        return Command(
            argv=self._interpreters.python_command(CONFINE, str(PYTHON_HARNESS), OUT),
            env=env,
            order=order,
            path=str(setup.dependencies or "") if setup.language == "python" else "",
            url=f"file://{setup.box}",
        )

    def _readable(self, setup: Setup) -> list[Path]:
        # Deno looks at itself in /proc, and where it cannot it panics at the first exception of the code.
        own = self._interpreters.python_files if setup.language == "python" else [self._interpreters.deno, OWN_PROCESS]
        return [path for path in (*own, setup.dependencies, setup.box) if path is not None]


class DenoAlone:
    """Deno's own permissions, with nothing beneath them: no limit of memory holds."""

    name = "deno"
    isolation = 1

    def __init__(self, interpreters: Interpreters) -> None:
        self._interpreters = interpreters

    def why_not(self, language: Language) -> str | None:
        """Whether Deno is there."""
        return "it runs JavaScript and TypeScript" if language == "python" else self._interpreters.why_not(language)

    def command(self, setup: Setup) -> Command:
        """Start Deno."""
        argv = _tied(self._interpreters, _deno_among_files(self._interpreters, setup))
        return Command(argv=argv, env=guest_environment(f"{setup.box}"), url=f"file://{setup.box}", is_limited=False)


class Unsafe:
    """A plain process, which can do what its user can. Only its time and its output are bounded."""

    name = "unsafe"
    isolation = 0

    def __init__(self, interpreters: Interpreters) -> None:
        self._interpreters = interpreters

    def why_not(self, language: Language) -> str | None:
        """Whether the interpreter is there."""
        return self._interpreters.why_not(language)

    def command(self, setup: Setup) -> Command:
        """Start the interpreter."""
        if setup.language == "python":
            argv = self._interpreters.python_command(PYTHON_HARNESS, OUT)
        else:
            argv = self._interpreters.deno_unbound(str(setup.box))
        path = str(setup.dependencies or "") if setup.language == "python" else ""
        argv = _tied(self._interpreters, argv)
        return Command(
            argv=argv, env=guest_environment(f"{setup.box}"), path=path, url=f"file://{setup.box}", is_limited=False
        )


WAYS: Final[tuple[Callable[[Interpreters], Way], ...]] = (Bubblewrap, Docker, Landlock, DenoAlone, Unsafe)


def _tied(interpreters: Interpreters, command: list[str]) -> list[str]:
    """A command that ends with this process, however that ends, where the system knows how."""
    if sys.platform != "linux":
        return command
    return interpreters.python_command(TIE, *command)


def _deno_among_files(interpreters: Interpreters, setup: Setup) -> list[str]:
    return interpreters.deno_command(str(setup.box), setup.limits.memory, readable=str(setup.dependencies or ""))


def _system_mounts() -> list[str]:
    """The host's programs and libraries, in the same shape."""
    words: list[str] = []
    for place in SYSTEM:
        if os.path.islink(place):
            words += ["--symlink", os.readlink(place), place]
        elif os.path.isdir(place):
            words += ["--ro-bind", place, place]
    return [*words, "--ro-bind-try", LOADER_CACHE, LOADER_CACHE]

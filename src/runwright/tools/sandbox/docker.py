"""Guests in containers of a Docker engine."""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from typing import Final

import msgspec

from runwright.core.sandbox import MIB, Language
from runwright.tools.sandbox.guest import PYTHON_HARNESS
from runwright.tools.sandbox.interpreters import Interpreters
from runwright.tools.sandbox.seccomp import architecture, assemble
from runwright.tools.sandbox.way import (
    BOX,
    DEPENDENCIES,
    INODES,
    LOADER_CACHE,
    SYSTEM,
    Command,
    Setup,
    guest_environment,
)

IMAGE: Final = "runwright-sandbox:1"
DOCKER_S: Final = 10.0
NOBODY: Final = 65534
IDLE_THREADS: Final = 2
DENO_THREADS: Final = 40
"""What a container has before its code begins a thread: its first process and the guest, of which Deno has many."""

IDLE_DENO: Final = 128 * MIB
OVERHEAD: Final = 32 * MIB
"""Of the first process of a container, and of what the kernel counts with it."""


class Docker:
    """A container of an engine that is there, made of an empty image: files are mounted, as bubblewrap does.

    Beneath it is the filter of system calls. Nothing here ends a container but its own first process, which sees that
    the engine's client is gone.
    """

    name = "docker"
    isolation = 3

    def __init__(self, interpreters: Interpreters) -> None:
        self._interpreters = interpreters
        self._is_imported = False

    def why_not(self, language: Language) -> str | None:
        """Whether the engine's client is there."""
        if architecture() is None:
            return "there is no table of system calls for this machine: it knows x86-64 and arm64 on Linux"
        if shutil.which("docker") is None:
            return "docker is not installed"
        return self._interpreters.why_not(language)

    def command(self, setup: Setup) -> Command:
        """Run a container. Makes its image first, where the engine does not have it."""
        if not self._is_imported:
            import_image()
            self._is_imported = True
        arch = architecture()
        assert arch is not None
        told = {
            "read": [],
            # Of addresses, which engines do not bound; V8 reserves far more of them than it uses.
            "memory": setup.limits.memory if setup.language == "python" else 0,
            "filter": base64.b64encode(assemble(arch)).decode(),
            "command": [] if setup.language == "python" else self._interpreters.deno_command(BOX, setup.limits.memory),
            "env": guest_environment("/tmp"),
        }
        order = msgspec.json.encode(told) + b"\n"
        channel = "3" if setup.language == "python" else "1"
        guest = self._interpreters.python_command(f"{BOX}-guest/confine.py", f"{BOX}-guest/harness.py", channel)
        return Command(
            argv=[
                shutil.which("docker") or "docker",
                *self._options(setup),
                IMAGE,
                *self._interpreters.python_command(f"{BOX}-guest/outlive.py", channel, *guest),
            ],
            # The client's, which says where the engine is; the guest has none of it.
            env=None,
            order=lambda _: order,
            path=DEPENDENCIES if setup.dependencies and setup.language == "python" else "",
            url=f"file://{BOX}",
            is_limited=False,
            is_apart=True,
            is_piped=True,
        )

    def _options(self, setup: Setup) -> list[str]:
        limits = setup.limits
        # The engine cannot know what an idle Deno takes.
        is_python = setup.language == "python"
        memory = limits.memory + (0 if is_python else IDLE_DENO)
        return [
            *("run", "--rm", "--interactive", "--pull", "never", "--log-driver", "none", "--network", "none"),
            *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--ipc", "none"),
            *("--user", _user(setup), "--hostname", "sandbox", "--workdir", "/tmp"),
            *("--memory", str(memory + OVERHEAD), "--memory-swap", str(memory + OVERHEAD)),
            *("--pids-limit", str(limits.threads + (IDLE_THREADS if is_python else DENO_THREADS))),
            *("--ulimit", f"cpu={limits.cpu_s}:{limits.cpu_s + 1}", "--ulimit", f"fsize={limits.file_size}"),
            *("--ulimit", f"nofile={limits.files}", "--ulimit", "core=0"),
            *("--tmpfs", f"/tmp:rw,nosuid,nodev,size={max(limits.file_size, 4096)},nr_inodes={INODES},mode=1777"),
            *(word for pair in guest_environment("/tmp").items() for word in ("--env", "=".join(pair))),
            *(word for source, place in self._mounts(setup) for word in ("--mount", _bound(source, place))),
        ]

    def _mounts(self, setup: Setup) -> list[tuple[str, str]]:
        places = [*(place for place in SYSTEM if os.path.isdir(place) and not os.path.islink(place)), LOADER_CACHE]
        places += [str(path) for path in self._interpreters.python_files if not str(path).startswith("/usr/")]
        # Two names of a library lead to one file.
        mounts = [(place, place) for place in dict.fromkeys(places) if os.path.exists(place)]
        mounts.append((str(PYTHON_HARNESS.parent), f"{BOX}-guest"))
        if setup.language == "python":
            return [*mounts, *([(str(setup.dependencies), DEPENDENCIES)] if setup.dependencies else [])]
        deno = str(self._interpreters.deno)
        mounts += [(deno, deno), (str(setup.box), BOX)]
        return [
            *mounts,
            *([(f"{setup.dependencies}/node_modules", f"{BOX}/node_modules")] if setup.dependencies else []),
        ]


def import_image() -> None:
    """Give the engine an image with nothing in it but where things are mounted. Raises OSError with what it says."""
    docker = shutil.which("docker") or "docker"
    known = _docker([docker, "image", "inspect", IMAGE])
    if known.returncode == 0:
        return
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as files:
        for name in ("usr", "tmp", "proc", "dev", "etc", "deps", "box", "box-guest"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            files.addfile(info)
        for place in SYSTEM:
            if os.path.islink(place):
                info = tarfile.TarInfo(place.lstrip("/"))
                info.type, info.linkname = tarfile.SYMTYPE, os.readlink(place)
                files.addfile(info)
    done = _docker([docker, "import", "-", IMAGE], given=archive.getvalue())
    if done.returncode != 0:
        raise OSError(done.stderr.decode(errors="replace").strip())


def _docker(command: Sequence[str], *, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, input=given, capture_output=True, check=False, timeout=DOCKER_S)
    except subprocess.TimeoutExpired:
        raise OSError(f"docker does not answer within {DOCKER_S:g} s") from None


def _user(setup: Setup) -> str:
    """Who the guest is: one of the host's users without any right, who can read its code."""
    if os.getuid() != 0:
        return f"{os.getuid()}:{os.getgid()}"
    if setup.box is not None:
        os.chown(setup.box, NOBODY, NOBODY)
    return f"{NOBODY}:{NOBODY}"


def _bound(source: str, place: str) -> str:
    return f"type=bind,source={source},target={place},readonly"

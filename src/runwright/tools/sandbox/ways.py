"""The ways to run a guest, best first: what each makes of an interpreter's command."""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from runwright.core.sandbox import MIB, Language, SandboxLimits
from runwright.tools.sandbox.guest import CONFINE, PYTHON_HARNESS, TIE
from runwright.tools.sandbox.interpreters import ENVIRONMENT, Interpreters
from runwright.tools.sandbox.seccomp import architecture, assemble

OUT: Final = "{out}"
"""Stands in a command for the number of the descriptor on which Python's harness writes."""

IMAGE: Final = "runwright-sandbox:1"
DOCKER_S: Final = 10.0
NOBODY: Final = 65534
INODES: Final = 10_000
IDLE_THREADS: Final = 2
DENO_THREADS: Final = 40
"""What a container has before its code begins a thread: its first process and the guest, of which Deno has many."""

IDLE_DENO: Final = 128 * MIB
OVERHEAD: Final = 32 * MIB
"""Of the first process of a container, and of what the kernel counts with it."""

BOX: Final = "/box"
DEPENDENCIES: Final = "/deps"
SYSTEM: Final = ("/usr", "/lib", "/lib32", "/lib64", "/bin")
LOADER_CACHE: Final = "/etc/ld.so.cache"
OWN_PROCESS: Final = Path("/proc/self")
DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")


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
            *("--clearenv", *(word for pair in _env("/tmp").items() for word in ("--setenv", *pair))),
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
            "env": _env("/tmp"),
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
            *(word for pair in _env("/tmp").items() for word in ("--env", "=".join(pair))),
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
        env = _env("/nowhere")

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
        return Command(argv=argv, env=_env(f"{setup.box}"), url=f"file://{setup.box}", is_limited=False)


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
        return Command(argv=argv, env=_env(f"{setup.box}"), path=path, url=f"file://{setup.box}", is_limited=False)


WAYS: Final[tuple[Callable[[Interpreters], Way], ...]] = (Bubblewrap, Docker, Landlock, DenoAlone, Unsafe)


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


def _env(deno: str) -> dict[str, str]:
    return {**ENVIRONMENT, "DENO_DIR": f"{deno}/.deno"}


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

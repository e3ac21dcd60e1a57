"""One guest's process. A thread of its own starts, watches and reaps it, so that no cancellation leaves anything."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Final, Self

import msgspec

from runwright.core.sandbox import ExitReason
from runwright.errors import SandboxBusy, SandboxUnavailable
from runwright.tools.sandbox.boxes import box
from runwright.tools.sandbox.guest import DENO_HARNESS
from runwright.tools.sandbox.interpreters import FILES
from runwright.tools.sandbox.way import Command, Setup, Way

if sys.platform == "linux":
    import resource

LOOK_EVERY_S: Final = 0.05
"""How often a guest's memory, threads and files are looked at."""

LAST_LOOKS: Final = 20
"""How many looks bubblewrap has to end by itself, once what it runs was killed."""

FILES_AT_MOST: Final = 10_000
"""Files in a guest's /tmp: empty ones take memory of the kernel that its size does not bound."""

IDLE_MEMORY: Final = 1.25
"""A guest whose resident memory is beyond its limit by this much is stopped; the kernel's own limit comes first."""


class Verdict(msgspec.Struct, frozen=True):
    """Why a guest was stopped, by whoever stopped it first."""

    reason: ExitReason
    message: str = ""


class Ended(msgspec.Struct, frozen=True):
    """The end of a process: its wait status, the most resident memory in bytes, and the CPU it took in seconds."""

    status: int
    peak_rss: int
    cpu_s: float


class Guest:
    """A process that is started for one job. Everything of it is gone some moments after `stop`."""

    def __init__(self, way: Way, setup: Setup) -> None:
        """Open its pipes. Raises OSError, and leaves nothing, where no more can be opened."""
        self._way = way
        self._setup = setup
        self._pid = 0
        self._peak = 0
        self._idle_threads = 0
        self._idle_memory = 0
        self._is_restricted = False
        self._box: Path | None = None
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Ended] = self._loop.create_future()
        self.verdict: Verdict | None = None
        self.command: Command | None = None
        self._users = 0
        self._is_closed = False
        with contextlib.ExitStack() as opened:
            # Closing the write end wakes the thread, whatever it does.
            self._stopped, self._stop = os.pipe()
            opened.callback(os.close, self._stopped)
            opened.callback(os.close, self._stop)
            self.to_guest = _Pipe(opened, is_ours_written=True)
            # The thread's own: the loop may close what it writes to at any time, and the number is used again.
            self._order = opened.enter_context(os.fdopen(os.dup(self.to_guest.ours), "wb", buffering=0))
            self.from_guest = _Pipe(opened)
            self.stdout = _Pipe(opened) if setup.language == "python" else None
            self.stderr = _Pipe(opened)
            opened.pop_all()

    def start(self) -> None:
        """Begin, without waiting for anything. Raises SandboxBusy where there is no thread for it."""
        try:
            # A daemon: an interpreter that ends without closing the sandbox is not held up.
            threading.Thread(target=self._live, name="sandbox", daemon=True).start()
        except RuntimeError as error:
            self.stop("killed", "it was never begun")
            self.close()
            self._let_go()
            self._tell(Ended(0, 0, 0.0))
            raise SandboxBusy(f"A sandbox cannot be begun now: {error}") from error

    def stop(self, reason: ExitReason, message: str = "") -> None:
        """End the process at once; the first reason counts."""
        if self.verdict is None:
            self.verdict = Verdict(reason, message)
            os.close(self._stop)

    @property
    def is_over(self) -> bool:
        """Whether it was stopped, or ended by itself."""
        return self.verdict is not None or self.ended.done()

    def prepare(self, code: str) -> None:
        """Put limits on the process, which has started by now, and its code where it is read. Blocks.

        Raises SandboxUnavailable where it cannot be seen, because then its limits would not hold.
        """
        if self._box is not None:
            (self._box / FILES[self._setup.language]).write_text(code, encoding="utf-8")
        status = self._status()
        if not status and sys.platform == "linux":
            if self.command is not None and self.command.is_limited and not self._is_gone():
                raise SandboxUnavailable("No limits can be put on the sandbox: /proc does not show its process.")
            return
        self._idle_threads = status.get("Threads", 0)
        self._idle_memory = status.get("VmRSS", 0)
        if self.command is not None and self.command.is_limited:
            with contextlib.suppress(ProcessLookupError):
                _restrict(self._pid, self._setup, data=status.get("VmData", 0))
            self._is_restricted = True

    def _live(self) -> None:
        ended = Ended(0, 0, 0.0)
        try:
            with self._own_box():
                ended = self._run()
        except OSError as error:
            self._say(f"{type(error).__name__}: {error}")
        finally:
            self._let_go()
            with contextlib.suppress(RuntimeError):
                # The loop can be closed by now.
                self._loop.call_soon_threadsafe(self._tell, ended)

    def _let_go(self) -> None:
        """Close what the thread has."""
        self._order.close()
        for pipe in self._pipes():
            pipe.close_theirs()
        os.close(self._stopped)

    def _tell(self, ended: Ended) -> None:
        if not self.ended.done():
            self.ended.set_result(ended)

    @contextlib.contextmanager
    def _own_box(self) -> Generator[None]:
        """A folder for the code of languages that load it from a file."""
        if self._setup.language == "python":
            self.command = self._way.command(self._setup)
            yield
            return
        with box() as folder:
            self._box = folder
            shutil.copyfile(DENO_HARNESS, folder / DENO_HARNESS.name)
            command = self._way.command(msgspec.structs.replace(self._setup, box=folder))
            self._link_dependencies(folder, is_mounted=command.is_apart)
            self.command = command
            yield

    def _link_dependencies(self, box: Path, *, is_mounted: bool) -> None:
        if self._setup.dependencies is None:
            return
        if is_mounted:
            (box / "node_modules").mkdir()
        else:
            (box / "node_modules").symlink_to(self._setup.dependencies / "node_modules")

    def _run(self) -> Ended:
        assert self.command is not None
        with _descriptors(self.command) as (argv, passed, told):
            out, is_piped = self.from_guest.theirs, self.command.is_piped
            process = subprocess.Popen(
                [word.replace("{out}", str(out)) for word in argv],
                env=self.command.env,
                stdin=self.to_guest.theirs,
                stdout=out if is_piped or self.stdout is None else self.stdout.theirs,
                stderr=self.stderr.theirs,
                pass_fds=passed if is_piped or self.stdout is None else (*passed, out),
                start_new_session=True,
                cwd="/",
            )
        try:
            for pipe in self._pipes():
                pipe.close_theirs()
            if told is not None:
                self._pid = _told_pid(told, self._stopped)
            elif not is_piped:
                self._pid = process.pid
            if self.command.order is not None:
                self._order.write(self.command.order(self._pid))
            self._order.close()
            return self._watch(process.pid)
        except BaseException:
            _end(process.pid, None)
            os.waitpid(process.pid, 0)
            raise
        finally:
            # Reaped above, which the object cannot know.
            process.returncode = 0

    def _watch(self, process: int) -> Ended:
        """Wait until the process ends or is to end, and reap it."""
        inner = _pidfd(self._pid) if self._pid != process else None
        is_stopped = False
        patience = LAST_LOOKS
        with _Poll(self._stopped, process) as poll:
            while True:
                reaped, status, usage = os.wait4(process, os.WNOHANG)
                if reaped:
                    break
                is_stopped = poll.is_stopped() or is_stopped
                self._look()
                if is_stopped:
                    _end(process, inner if patience else None)
                    patience = max(0, patience - 1)
        if inner is not None:
            os.close(inner)
        # Linux counts kilobytes, macOS bytes.
        peak = usage.ru_maxrss * (1024 if sys.platform == "linux" else 1)
        if self.command is not None and self.command.is_piped:
            # Those of the client.
            return Ended(status, 0, 0.0)
        return Ended(status, self._peak or peak, usage.ru_utime + usage.ru_stime)

    def _look(self) -> None:
        """See what the guest takes, and have it stopped when that is too much."""
        status = self._status()
        self._peak = max(self._peak, status.get("VmHWM", 0))
        limits = self._setup.limits
        if not self._is_restricted:
            return
        if status.get("Threads", 0) > self._idle_threads + limits.threads:
            self._ask_stop("killed", f"the code has more than {limits.threads} threads")
        elif status.get("VmRSS", 0) > self._idle_memory + limits.memory * IDLE_MEMORY:
            self._ask_stop("memory", f"the code takes more than {limits.memory:,} bytes of memory")
        elif self.command is not None and self.command.is_apart and _files(self._pid) > FILES_AT_MOST:
            self._ask_stop("killed", f"the code has more than {FILES_AT_MOST:,} files")

    def _ask_stop(self, reason: ExitReason, message: str) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.stop, reason, message)

    def _is_gone(self) -> bool:
        """Whether it has ended, which its thread may not have told yet."""
        if self.is_over:
            return True
        try:
            # Of 0, which no process has, this is the group of ours.
            os.kill(self._pid, 0)
        except OSError as error:
            return isinstance(error, ProcessLookupError)
        return False

    def _status(self) -> dict[str, int]:
        """The figures of /proc/PID/status: sizes in bytes, and the number of threads."""
        try:
            text = Path(f"/proc/{self._pid}/status").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return {}
        lines = (line.split() for line in text.splitlines() if line.startswith(("Vm", "Threads")))
        return {words[0][:-1]: int(words[1]) * (1024 if words[-1] == "kB" else 1) for words in lines}

    def _say(self, message: str) -> None:
        """Tell in the guest's stderr what went wrong before it could."""
        if self.stderr.has_theirs:
            with contextlib.suppress(OSError):
                os.write(self.stderr.theirs, message.encode())

    def _pipes(self) -> Iterable[_Pipe]:
        return (pipe for pipe in (self.to_guest, self.from_guest, self.stdout, self.stderr) if pipe is not None)

    @contextlib.contextmanager
    def used(self) -> Generator[None]:
        """Keep the pipes open meanwhile. Raises SandboxUnavailable when they are closed."""
        if self._is_closed:
            raise SandboxUnavailable("The sandbox was closed before its code began.")
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._is_closed:
                self.close()

    def close(self) -> None:
        """Let go of the pipes as soon as nobody uses them; the process is stopped before."""
        self._is_closed = True
        if not self._users:
            for pipe in self._pipes():
                pipe.close_ours()


class _Pipe:
    """A pipe between host and guest. Our end never blocks."""

    def __init__(self, opened: contextlib.ExitStack, *, is_ours_written: bool = False) -> None:
        read, write = os.pipe()
        opened.callback(self.close_ours)
        opened.callback(self.close_theirs)
        self.ours, self.theirs = (write, read) if is_ours_written else (read, write)
        self._open = {self.ours, self.theirs}
        os.set_blocking(self.ours, False)

    @property
    def has_theirs(self) -> bool:
        """Whether the guest's end is still open here."""
        return self.theirs in self._open

    def close_theirs(self) -> None:
        """Close the guest's end here, once it has it."""
        self._close(self.theirs)

    def close_ours(self) -> None:
        """Close our end."""
        self._close(self.ours)

    def _close(self, descriptor: int) -> None:
        if descriptor in self._open:
            self._open.discard(descriptor)
            os.close(descriptor)


class _Poll:
    """Waits for the word to stop, the end of a process, or the time for the next look."""

    def __init__(self, stopped: int, pid: int) -> None:
        self._stopped = stopped
        self._poll = select.poll()
        self._poll.register(stopped, select.POLLIN)
        self._process = _pidfd(pid)
        if self._process is not None:
            self._poll.register(self._process, select.POLLIN)

    def is_stopped(self) -> bool:
        """Wait, and say whether somebody wants it to stop, which is said once."""
        if all(descriptor != self._stopped for descriptor, _ in self._poll.poll(LOOK_EVERY_S * 1000)):
            return False
        # It would never be quiet again.
        self._poll.unregister(self._stopped)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            os.close(self._process)


def _pidfd(pid: int) -> int | None:
    """A descriptor that can be read once the process has ended, where the system has such."""
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _end(process: int, inner: int | None) -> None:
    """Kill a process with its group, or first what bubblewrap runs, so that it is reaped by its parent.

    What outlives its parent is left to the first process of the machine, which in a container may reap nobody.
    """
    with contextlib.suppress(ProcessLookupError):
        if inner is not None and sys.platform == "linux":
            signal.pidfd_send_signal(inner, signal.SIGKILL)
        else:
            os.killpg(process, signal.SIGKILL)


@contextlib.contextmanager
def _descriptors(command: Command) -> Generator[tuple[list[str], tuple[int, ...], int | None]]:
    """The command with numbers of descriptors in it, those to pass on, and one on which a pid is told."""
    opened: list[int] = []
    names: dict[str, str] = {}
    told: int | None = None
    try:
        for number, feed in enumerate(command.feeds):
            read, write = os.pipe()
            opened.append(read)
            # Smaller than any pipe, so it waits for nobody.
            os.write(write, feed)
            os.close(write)
            names["{" + str(number) + "}"] = str(read)
        if "{info}" in command.argv:
            told, write = os.pipe()
            opened.append(write)
            names["{info}"] = str(write)
        yield [names.get(word, word) for word in command.argv], tuple(opened), told
    except OSError:
        # Nothing was started that would tell it.
        if told is not None:
            os.close(told)
        raise
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _told_pid(descriptor: int, stopped: int) -> int:
    """The number of the process that bubblewrap has started; 0 when it could not, or somebody wants it to stop."""
    text, poll = b"", select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.register(stopped, select.POLLIN)
    try:
        while stopped not in dict(poll.poll()) and (chunk := os.read(descriptor, 4096)):
            text += chunk
    finally:
        os.close(descriptor)
    try:
        return int(msgspec.json.decode(text)["child-pid"])
    except (msgspec.DecodeError, KeyError):
        return 0


def _restrict(pid: int, setup: Setup, *, data: int) -> None:
    """Put the limits of resources on a process."""
    if not pid or sys.platform != "linux":
        return
    limits = setup.limits
    resource.prlimit(pid, resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (limits.file_size, limits.file_size))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limits.files, limits.files))
    resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
    if setup.language == "python":
        resource.prlimit(pid, resource.RLIMIT_AS, (limits.memory, limits.memory))
    else:
        # V8 reserves far more addresses than it uses, so only what it can write to is counted.
        resource.prlimit(pid, resource.RLIMIT_DATA, (data + limits.memory, data + limits.memory))


def _files(pid: int) -> int:
    """How many files the guest has; 0 where its folder is the host's, whose files are not its own."""
    folder = f"/proc/{pid}/root/tmp"
    try:
        if Path(folder).samefile("/tmp"):
            return 0
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_files - found.f_ffree

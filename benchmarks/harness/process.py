"""Processes the benchmark starts: pinned to a core, measured through /proc, ended by their id."""

import os
import resource
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_STOP_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Of a process tree, in MB: proportional set size (shared pages divided) and resident set size."""

    pss_mb: float
    rss_mb: float


def cores() -> tuple[int, int]:
    """The core of the target, and the core of the upstream and the load; the same one where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextmanager
def pinned(core: int) -> Generator[None]:
    """Pin this process, and so what it starts meanwhile, to one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def start(command: list[str], *, core: int, env: dict[str, str], log: Path, cwd: Path) -> subprocess.Popen[bytes]:
    """Start a process on a core. Its output goes to `log`."""
    with pinned(core), log.open("wb") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=cwd
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end; after a while end it and its children."""
    tree = process_tree(process.pid)
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        for pid in tree:
            _kill(pid)
        process.wait()


def command_cpu_s(*command: str) -> float:
    """User and system time of a command from its start to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def process_tree(pid: int) -> list[int]:
    """The process and its living descendants."""
    parents = {int(entry.name): _parent(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    tree = [pid]
    for ancestor in tree:
        tree += [child for child, parent in parents.items() if parent == ancestor]
    return tree


def cpu_s(pid: int) -> float:
    """User and system time of the process tree since it started."""
    return sum(_cpu_s(member) for member in process_tree(pid))


def busy_s(core: int) -> float:
    """Time a core has spent on anything since boot."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _wait, irq, softirq, steal, *_ = map(int, fields)
            return (user + nice + system + irq + softirq + steal) * _TICK_S
    raise ValueError(f"core {core!r} is not in /proc/stat")


def memory(pid: int) -> Memory:
    """Memory of the process tree now."""
    sums = {"Pss": 0, "Rss": 0}
    for member in process_tree(pid):
        for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in sums:
                sums[name] += int(value.split()[0])
    return Memory(pss_mb=sums["Pss"] / 1024, rss_mb=sums["Rss"] / 1024)


def _stat(proc: Path) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold spaces; empty where the process is gone."""
    try:
        return (proc / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _parent(proc: Path) -> int:
    fields = _stat(proc)
    return int(fields[1]) if fields else 0


def _cpu_s(pid: int) -> float:
    fields = _stat(Path(f"/proc/{pid}"))
    return sum(map(int, fields[11:15])) * _TICK_S if fields else 0.0


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return

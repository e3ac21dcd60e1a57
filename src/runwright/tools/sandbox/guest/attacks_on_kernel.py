"""Attempts to reach other processes, the kernel and Runwright itself, one a function: true says that it got through.

They are bounded and harm no host. `host` says where what is attacked can be found (`Target` of the matrix).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import inspect
import json
import mmap
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

Host = dict[str, Any]

MIB = 1024 * 1024
libc = ctypes.CDLL(None, use_errno=True)


def fork_bomb(host: Host) -> bool:
    """Start forty processes."""
    children: list[int] = []
    try:
        for _ in range(40):
            child = os.fork()
            if child == 0:
                time.sleep(1)
                os._exit(0)
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return bool(children)


def run_program(host: Host) -> bool:
    """Run a program."""
    return subprocess.run(["/bin/true"], check=False).returncode == 0


def clone_user(host: Host) -> bool:
    """Start a process in a user namespace of its own."""
    return _forked(libc.syscall(host["calls"]["clone"], 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0))


def thread_bomb(host: Host) -> bool:
    """Start two hundred threads."""
    threading.stack_size(65536)
    event = threading.Event()
    threads = [threading.Thread(target=event.wait, args=(2,), daemon=True) for _ in range(200)]
    try:
        for thread in threads:
            thread.start()
        # Longer than it takes to be seen.
        time.sleep(0.7)
    finally:
        event.set()
    return True


def take_heap(host: Host) -> bool:
    """Fill 900 MB of heap."""
    held = [bytearray(64 * MIB) for _ in range(14)]
    return len(held) == 14


def take_shared_memory(host: Host) -> bool:
    """Map a gigabyte that is shared."""
    with mmap.mmap(-1, 1024 * MIB):
        return True


def take_memory_file(host: Host) -> bool:
    """Keep data in a file that is memory, which no limit of addresses counts."""
    with os.fdopen(os.memfd_create("x"), "wb") as file:
        return file.write(b"x" * MIB) == MIB


def raise_limits(host: Host) -> bool:
    """Lift the own limits, and take what that gives."""
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE):
        soft, hard = resource.getrlimit(limit)
        if soft != hard:
            resource.setrlimit(limit, (hard, hard))
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (hard, hard + 1 if hard > 0 else hard))
    return take_heap(host)


def share_sysv_memory(host: Host) -> bool:
    """Make shared memory of System V, which belongs to no file."""
    segment = libc.shmget(0, 4096, 0o600)
    if segment < 0:
        return False
    libc.shmctl(segment, 0, None)
    return True


def share_sysv_queue(host: Host) -> bool:
    """Make a queue of messages of System V."""
    queue = libc.msgget(0, 0o600)
    if queue < 0:
        return False
    libc.msgctl(queue, 0, None)
    return True


def share_posix_queue(host: Host) -> bool:
    """Make a queue of messages that has a name."""
    name = f"/runwright-{os.getpid()}".encode()
    queue = libc.mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, None)
    if queue < 0:
        return False
    libc.mq_unlink(name)
    return True


def trace_process(host: Host) -> bool:
    """Take another process over as a debugger does."""
    seize, pointer = 0x4206, ctypes.c_void_p
    return libc.ptrace(ctypes.c_long(seize), ctypes.c_long(host["pid"]), pointer(0), pointer(0)) == 0


def read_memory(host: Host) -> bool:
    """Read the memory of another process by a system call."""

    class Part(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    size = len(host["marker"])
    buffer = ctypes.create_string_buffer(size)
    own, other = Part(ctypes.addressof(buffer), size), Part(host["address"], size)
    one, none = ctypes.c_ulong(1), ctypes.c_ulong(0)
    libc.process_vm_readv(host["pid"], ctypes.byref(own), one, ctypes.byref(other), one, none)
    return buffer.raw == host["marker"].encode()


def read_memory_by_proc(host: Host) -> bool:
    """Read the memory of another process by its file."""
    with open(f"/proc/{host['pid']}/mem", "rb", buffering=0) as file:
        file.seek(host["address"])
        return file.read(len(host["marker"])) == host["marker"].encode()


def signal_process(host: Host) -> bool:
    """Send another process a signal, here none."""
    os.kill(host["pid"], 0)
    return True


def signal_everybody(host: Host) -> bool:
    """Send every process a signal, here none."""
    os.kill(-1, 0)
    return len([name for name in os.listdir("/proc") if name.isdigit()]) > 1


def signal_by_owner(host: Host) -> bool:
    """Have the kernel signal another process about a pipe; it is not told to begin."""
    read, _ = os.pipe()
    fcntl.fcntl(read, fcntl.F_SETOWN, int(host["pid"]))
    return fcntl.fcntl(read, fcntl.F_GETOWN) == host["pid"]


def look_at_limits(host: Host) -> bool:
    """Look at the limits of another process, and so set them."""
    resource.prlimit(host["pid"], resource.RLIMIT_CORE)
    return True


def move_process(host: Host) -> bool:
    """Say where another process runs."""
    os.sched_setaffinity(host["pid"], os.sched_getaffinity(host["pid"]))
    return True


def make_namespace(host: Host) -> bool:
    """Be root in a user namespace."""
    return libc.unshare(0x10000000) == 0


def change_root(host: Host) -> bool:
    """Take another folder for the root of all files."""
    os.chroot("/")
    return True


def use_io_uring(host: Host) -> bool:
    """Have the kernel do things in queues, past a filter of calls."""
    return _opened(libc.syscall(host["calls"]["io_uring_setup"], 1, ctypes.create_string_buffer(120)))


def use_keys(host: Host) -> bool:
    """Look for the keys of the session."""
    return libc.syscall(host["calls"]["keyctl"], 0, -4, 1) >= 0


def use_bpf(host: Host) -> bool:
    """Load a program into the kernel: a map for it at least."""
    attributes = (ctypes.c_uint32 * 32)(2, 4, 4, 1)
    return _opened(libc.syscall(host["calls"]["bpf"], 0, attributes, 128))


def use_userfaultfd(host: Host) -> bool:
    """Hold the kernel up at a fault of memory, which exploits do."""
    return _opened(libc.syscall(host["calls"]["userfaultfd"], 1))


def use_perf(host: Host) -> bool:
    """Count what happens in the processor."""
    attributes = (ctypes.c_uint32 * 32)(1, 128)
    return _opened(libc.syscall(host["calls"]["perf_event_open"], attributes, 0, -1, -1, 0))


def use_other_abi(host: Host) -> bool:
    """Make a system call as 32-bit programs do, whose numbers differ: getpid."""
    with mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as page:
        page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        return ctypes.CFUNCTYPE(ctypes.c_int)(address)() == os.getpid()


def loop_forever(host: Host) -> bool:
    """Never end."""
    while True:
        pass


def sleep_long(host: Host) -> bool:
    """Sleep for half a minute, deaf to every signal that can be ignored."""
    for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    time.sleep(30)
    return True


def print_much(host: Host) -> bool:
    """Print 100 MB."""
    for _ in range(100):
        sys.stdout.write("x" * MIB)
    return True


def give_much(host: Host) -> str:
    """Give a result of 20 MB."""
    return "x" * 20 * MIB


def write_garbage(host: Host) -> bool:
    """Write what is no JSON to the host."""
    os.write(_channel(), b"\xff\xfe not json\n")
    return _waited()


def write_endless_line(host: Host) -> bool:
    """Write a line to the host that does not end."""
    for _ in range(100):
        os.write(_channel(), b"x" * MIB)
    return True


def write_deep(host: Host) -> bool:
    """Write JSON to the host that is nested a hundred thousand times."""
    line = b'{"type":"done","result":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    while line:
        line = line[os.write(_channel(), line) :]
    return _waited()


def write_unasked(host: Host) -> bool:
    """Tell the host things in an order that makes no sense."""
    os.write(_channel(), b'{"type":"ready"}\n{"type":"ready"}\n')
    return _waited()


def call_nonsense(host: Host) -> bool:
    """Ask the host for a kind of thing that there is not."""
    os.write(_channel(), b'{"type":"call","id":1,"kind":"shell","name":"sh","arguments":{}}\n')
    return _waited()


def call_without_end(host: Host) -> bool:
    """Ask the host for things without reading an answer."""
    line = json.dumps({"type": "call", "id": 1, "kind": "tool", "name": "x", "arguments": {"y": "z" * 1000}})
    for _ in range(100_000):
        os.write(_channel(), line.encode() + b"\n")
    return True


def close_channel(host: Host) -> bool:
    """Close the channel to the host, and go on."""
    os.close(_channel())
    return _waited()


def replace_harness(host: Host) -> bool:
    """Change the harness so that it never tells the end."""
    for module in (sys.modules["__main__"], sys.modules["main"]):
        vars(module).update(dict.fromkeys(vars(module), print))
    for frame in iter_frames():
        frame.update(dict.fromkeys(frame, None))
    return _waited()


def iter_frames() -> Iterator[dict[str, object]]:
    """The global names of every function that is being run."""
    frame = inspect.currentframe()
    while frame is not None:
        yield frame.f_globals
        frame = frame.f_back


def _forked(child: int) -> bool:
    if child == 0:
        os._exit(0)
    if child > 0:
        os.waitpid(child, 0)
    return child > 0


def _opened(descriptor: int) -> bool:
    if descriptor >= 0:
        os.close(descriptor)
    return descriptor >= 0


def _channel() -> int:
    return int(sys.argv[-1])


def _waited(sleep: Callable[[float], None] = time.sleep) -> bool:
    """Time for the host to do something about it."""
    sleep(5)
    return True

"""The filter of system calls does what it says, as the kernel would read it, on both architectures."""

import errno
import re
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from runwright.tools.sandbox import syscalls
from runwright.tools.sandbox.seccomp import ALLOW, AUDIT, ERRNO, KILL_PROCESS, Architecture, assemble
from runwright.tools.sandbox.syscalls import Numbers

ARCHITECTURES: Sequence[Architecture] = ("x86_64", "aarch64")
READ = {"x86_64": 0, "aarch64": 63}
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
TABLES = (
    *(syscalls.FORKS, syscalls.THREADS, syscalls.UNKNOWN, syscalls.REFUSED, syscalls.ATTRIBUTES),
    *(syscalls.SIGNALS, syscalls.LIMITS, syscalls.PAIRS, syscalls.OWNERS, syscalls.DEVICES),
)
PID = 4321


def verdict(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel would do with a call: classic BPF over struct seccomp_data."""
    data = struct.pack("=iIQ6Q", number, arch, 0, *[*arguments, *[0] * 6][:6])
    code = list(struct.iter_unpack("=HBBI", program))
    accumulator = position = 0
    while True:
        operation, yes, no, operand = code[position]
        position += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, operand)
            case 0x54:
                accumulator &= operand
            case 0x06:
                return operand
            case 0x15 | 0x25 | 0x45:
                tests = {
                    0x15: accumulator == operand,
                    0x25: accumulator > operand,
                    0x45: accumulator & operand,
                }
                position += yes if tests[operation] else no
            case _:
                pytest.fail(f"unknown instruction {operation:#x}")


def of(arch: Architecture, call: Numbers) -> int | None:
    """The number of a call."""
    return call.x86_64 if arch == "x86_64" else call.aarch64


def decided(arch: Architecture, call: Numbers, *arguments: int, pid: int | None = None) -> int:
    """What becomes of a call with these arguments."""
    number = of(arch, call)
    assert number is not None
    return verdict(assemble(arch, pid=pid), AUDIT[arch], number, *arguments)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_what_is_refused_fails(arch: Architecture) -> None:
    """Every call of the table of refused ones fails with EPERM, forks with EAGAIN, clone3 as if it were not there."""
    program = assemble(arch)
    for table, error in (
        (syscalls.REFUSED, errno.EPERM),
        (syscalls.FORKS, errno.EAGAIN),
        (syscalls.UNKNOWN, errno.ENOSYS),
    ):
        numbers = [number for call in table.values() if (number := of(arch, call)) is not None]
        assert {verdict(program, AUDIT[arch], number) for number in numbers} <= {ERRNO | error}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_rest_is_allowed(arch: Architecture) -> None:
    """Calls that are in no table go through."""
    named = {of(arch, call) for table in TABLES for call in table.values()}
    program = assemble(arch, pid=PID)
    others = set(range(syscalls.LAST + 1)) - named
    assert READ[arch] in others
    assert {verdict(program, AUDIT[arch], number) for number in others} == {ALLOW}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_what_is_not_known_is_not_there(arch: Architecture) -> None:
    """Numbers past the table, those of x32 among them, do not exist; another architecture ends the process."""
    program = assemble(arch)
    for number in (syscalls.LAST + 1, 1000, 0x40000000 + 39, 0x7FFFFFFF):
        assert verdict(program, AUDIT[arch], number) == ERRNO | errno.ENOSYS
    assert verdict(program, 0x40000003, READ[arch]) == KILL_PROCESS


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_threads_start_and_processes_do_not(arch: Architecture) -> None:
    """A clone is allowed for a thread of the same process only."""
    clone = syscalls.THREADS["clone"]
    assert decided(arch, clone, 0x3D0F00) == ALLOW
    assert decided(arch, clone, 17) == ERRNO | errno.EAGAIN
    assert decided(arch, clone, 0x10000000 | 17) == ERRNO | errno.EAGAIN


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_pairs_of_streams_only(arch: Architecture) -> None:
    """A pair of sockets is one of streams: datagrams could be sent elsewhere."""
    pair = syscalls.PAIRS["socketpair"]
    cloexec = 0x80000
    assert decided(arch, pair, socket.AF_UNIX, socket.SOCK_STREAM) == ALLOW
    assert decided(arch, pair, socket.AF_UNIX, socket.SOCK_STREAM | cloexec) == ALLOW
    assert decided(arch, pair, socket.AF_UNIX, socket.SOCK_DGRAM) == ERRNO | errno.EPERM
    assert decided(arch, pair, socket.AF_INET, socket.SOCK_STREAM) == ERRNO | errno.EPERM


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_guest_among_others_has_power_over_itself_only(arch: Architecture) -> None:
    """Where other processes can be seen, signals and limits are for the guest itself, and attributes for no file."""
    kill, limit = syscalls.SIGNALS["kill"], syscalls.LIMITS["prlimit64"]
    assert decided(arch, kill, PID, 9, pid=PID) == ALLOW
    assert decided(arch, kill, PID + 1, 9, pid=PID) == ERRNO | errno.EPERM
    assert decided(arch, kill, 2**64 - 1, 9, pid=PID) == ERRNO | errno.EPERM
    assert decided(arch, limit, 0, 7, pid=PID) == ALLOW
    assert decided(arch, limit, PID, 7, pid=PID) == ERRNO | errno.EPERM
    assert decided(arch, syscalls.ATTRIBUTES["fchmodat"], pid=PID) == ERRNO | errno.EPERM
    assert decided(arch, syscalls.ATTRIBUTES["fchmodat"]) == ALLOW
    assert decided(arch, kill, PID + 1, 9) == ALLOW


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_kernel_signals_nobody_for_a_guest(arch: Architecture) -> None:
    """No process becomes the owner of a descriptor, and nothing is typed into a terminal; the rest of both works."""
    owners, devices = syscalls.OWNERS["fcntl"], syscalls.DEVICES["ioctl"]
    setting, getting, nonblocking, typing = (8, 10, 15), 9, 4, (0x8901, 0x8902, 0x5412, 0x541C)
    assert {decided(arch, owners, 3, command) for command in setting} == {ERRNO | errno.EPERM}
    assert {decided(arch, devices, 3, command) for command in typing} == {ERRNO | errno.EPERM}
    assert decided(arch, owners, 3, getting) == decided(arch, owners, 3, nonblocking) == ALLOW
    assert decided(arch, devices, 0, 0x5401) == ALLOW


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_numbers_are_those_of_the_kernel(arch: Architecture) -> None:
    """The table agrees with the headers of Linux, where they are installed."""
    if not HEADERS[arch].exists():
        pytest.skip("the headers of Linux are not installed: apt-get install linux-libc-dev")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", HEADERS[arch].read_text())
    real = {name: int(number) for name, number in found}
    ours = {name: of(arch, call) for table in TABLES for name, call in table.items()}
    assert {name: real.get(name) for name in ours} == ours

"""A filter of system calls, assembled for the kernel (seccomp(2), `Documentation/userspace-api/seccomp_filter.rst`)."""

from __future__ import annotations

import errno
import platform
import socket
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from runwright.tools.sandbox import syscalls
from runwright.tools.sandbox.syscalls import Numbers

Architecture = Literal["x86_64", "aarch64"]

AUDIT: Final[Mapping[Architecture, int]] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""What the kernel calls an architecture in `seccomp_data.arch` (linux/audit.h)."""

ALLOW: Final = 0x7FFF0000
KILL_PROCESS: Final = 0x80000000
ERRNO: Final = 0x00050000

# linux/bpf_common.h: load a word at an absolute offset; jump if equal, greater, any bit set; and; return.
LOAD: Final = 0x20
JUMP_EQUAL: Final = 0x15
JUMP_GREATER: Final = 0x25
JUMP_BITS: Final = 0x45
AND: Final = 0x54
RETURN: Final = 0x06

# Offsets in seccomp_data; arguments are 64 bits, of which the lower half comes first.
NUMBER: Final = 0
ARCH: Final = 4
ARGUMENTS: Final = 16

# asm-generic/fcntl.h, asm-generic/ioctls.h, asm-generic/sockios.h
SET_OWNER: Final = (8, 10, 15)
SET_OWNER_OR_TYPE: Final = (0x8901, 0x8902, 0x5412, 0x541C)

CLONE_THREAD: Final = 0x00010000
SOCK_TYPE: Final = 0xF


def architecture() -> Architecture | None:
    """The architecture of this process, if there is a table for it."""
    if sys.platform != "linux" or sys.maxsize < 2**32:
        return None
    return next((each for each in AUDIT if each == platform.machine()), None)


def assemble(arch: Architecture, *, pid: int | None = None) -> bytes:
    """The filter for a guest as `struct sock_filter`s.

    With `pid` it is for that process among the host's: it can signal only itself and change no file's attributes.
    """
    program = _Program(arch)
    program.fail(syscalls.FORKS, errno.EAGAIN)
    program.fail(syscalls.UNKNOWN, errno.ENOSYS)
    program.fail(syscalls.REFUSED, errno.EPERM)
    program.only(syscalls.THREADS, [_load(0), _jump(JUMP_BITS, CLONE_THREAD, no=1)], errno.EAGAIN)
    program.only(
        syscalls.PAIRS,
        [
            _load(0),
            _jump(JUMP_EQUAL, socket.AF_UNIX, no=4),
            _load(1),
            (AND, 0, 0, SOCK_TYPE),
            _jump(JUMP_EQUAL, socket.SOCK_STREAM, no=1),
        ],
        errno.EPERM,
    )
    program.only(syscalls.LIMITS, [_load(0), _jump(JUMP_EQUAL, 0, no=1)], errno.EPERM)
    program.never(syscalls.OWNERS, SET_OWNER, errno.EPERM)
    program.never(syscalls.DEVICES, SET_OWNER_OR_TYPE, errno.EPERM)
    if pid is not None:
        program.fail(syscalls.ATTRIBUTES, errno.EPERM)
        program.only(syscalls.SIGNALS, [_load(0), _jump(JUMP_EQUAL, pid, no=1)], errno.EPERM)
    return program.assembled()


Instruction = tuple[int, int, int, int]
"""Code, how many to skip if true, how many if false, operand."""


class _Program:
    """Instructions in the order in which they are looked at; the number of the call is always loaded."""

    def __init__(self, arch: Architecture) -> None:
        self._arch: Architecture = arch
        self._code: list[Instruction] = [
            (LOAD, 0, 0, ARCH),
            _jump(JUMP_EQUAL, AUDIT[arch], yes=1),
            _return(KILL_PROCESS),
            (LOAD, 0, 0, NUMBER),
            # Calls of other ABIs, such as x32, have high numbers too.
            _jump(JUMP_GREATER, syscalls.LAST, no=1),
            _return(ERRNO | errno.ENOSYS),
        ]

    def fail(self, calls: Mapping[str, Numbers], error: int) -> None:
        """Let these calls fail."""
        for number in self._numbers(calls.values()):
            self._code += [_jump(JUMP_EQUAL, number, no=1), _return(ERRNO | error)]

    def only(self, calls: Mapping[str, Numbers], test: list[Instruction], error: int) -> None:
        """Let these calls fail unless the test ends at its last instruction; one that fails skips what is after it."""
        for number in self._numbers(calls.values()):
            body = [*test, _return(ALLOW), _return(ERRNO | error)]
            self._code += [_jump(JUMP_EQUAL, number, no=len(body)), *body]

    def never(self, calls: Mapping[str, Numbers], values: Sequence[int], error: int) -> None:
        """Let these calls fail where their second argument is one of these."""
        tests = [_jump(JUMP_EQUAL, value, yes=len(values) - place) for place, value in enumerate(values)]
        for number in self._numbers(calls.values()):
            body = [_load(1), *tests, _return(ALLOW), _return(ERRNO | error)]
            self._code += [_jump(JUMP_EQUAL, number, no=len(body)), *body]

    def assembled(self) -> bytes:
        """The bytes, with the rest allowed."""
        return b"".join(struct.pack("=HBBI", *each) for each in [*self._code, _return(ALLOW)])

    def _numbers(self, calls: Iterable[Numbers]) -> Iterable[int]:
        found = (call.x86_64 if self._arch == "x86_64" else call.aarch64 for call in calls)
        return (number for number in found if number is not None)


def _load(argument: int) -> Instruction:
    return (LOAD, 0, 0, ARGUMENTS + 8 * argument)


def _jump(code: int, operand: int, *, yes: int = 0, no: int = 0) -> Instruction:
    return (code, yes, no, operand)


def _return(action: int) -> Instruction:
    return (RETURN, 0, 0, action)

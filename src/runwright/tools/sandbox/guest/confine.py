"""Takes rights away from its own process for good, then becomes the guest.

The first line on stdin says how, as JSON: `read` are paths that can be read, `write` files that can be written;
without any, that is bounded by others. `memory` bounds the addresses, where it is there. `filter` is a seccomp filter
in base64, `command` with `env` is what to become; without one it is the file of the first argument, in this
interpreter.
"""

from __future__ import annotations

import binascii
import ctypes
import json
import os
import resource
import sys
from ctypes import byref, c_ulong, sizeof

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""The same on every architecture (landlock(7))."""

RULE_PATH_BENEATH = 1
VERSION = 1
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many rights over files an ABI of Landlock knows; later ones know 16."""

ALL_FILE_RIGHTS = 16
NET_SINCE, SCOPED_SINCE = 4, 6
TCP = 0b11
SIGNALS_AND_ABSTRACT_SOCKETS = 0b11
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8

# linux/prctl.h, linux/seccomp.h, linux/capability.h
SET_PDEATHSIG, SET_SECCOMP, CAPBSET_DROP, SET_NO_NEW_PRIVS = 1, 22, 24, 38
SECCOMP_MODE_FILTER = 2
CAPABILITY_VERSION = 0x20080522
CAPABILITIES = 64
SIGKILL = 9

libc = ctypes.CDLL(None, use_errno=True)


class Ruleset(ctypes.Structure):
    """struct landlock_ruleset_attr."""

    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class PathRule(ctypes.Structure):
    """struct landlock_path_beneath_attr."""

    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def main() -> None:
    """Confine this process and become the guest."""
    order = json.loads(read_line())
    harness = sys.argv[1]
    source = b""
    if not order["command"]:
        with open(harness, "rb") as file:
            source = file.read()
    prctl(SET_PDEATHSIG, SIGKILL)
    drop_capabilities()
    prctl(SET_NO_NEW_PRIVS, 1)
    if order["read"]:
        restrict_paths(order["read"], order["write"])
    if order.get("memory"):
        resource.setrlimit(resource.RLIMIT_AS, (order["memory"], order["memory"]))
    restrict_calls(binascii.a2b_base64(order["filter"]))
    if order["command"]:
        os.execve(order["command"][0], order["command"], order["env"])
    exec(compile(source, harness, "exec"), {"__name__": "__main__", "__file__": harness})


def read_line() -> bytes:
    """A line of stdin, and not a byte of what comes after it: that is for the guest."""
    line = bytearray()
    while (byte := os.read(0, 1)) not in {b"\n", b""}:
        line += byte
    return bytes(line)


def drop_capabilities() -> None:
    """Be an ordinary user from now on, also as root."""
    for capability in range(CAPABILITIES):
        # Fails for numbers that this kernel does not have, and without the right: then there is nothing to drop.
        libc.prctl(CAPBSET_DROP, c_ulong(capability), c_ulong(0), c_ulong(0), c_ulong(0))
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    checked(libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")


def restrict_paths(readable: list[str], writable: list[str]) -> None:
    """Take away every file but these, TCP, and signals and sockets of others, as far as this Landlock can."""
    abi = checked(libc.syscall(CREATE_RULESET, None, c_ulong(0), c_ulong(VERSION)), "Landlock")
    rights = (1 << FILE_RIGHTS.get(abi, ALL_FILE_RIGHTS)) - 1
    net = TCP if abi >= NET_SINCE else 0
    scoped = SIGNALS_AND_ABSTRACT_SOCKETS if abi >= SCOPED_SINCE else 0
    ruleset = Ruleset(rights, net, scoped)
    # Older kernels know a shorter structure.
    size = sizeof(ctypes.c_uint64) * (1 + bool(net) + bool(scoped))
    descriptor = checked(libc.syscall(CREATE_RULESET, byref(ruleset), c_ulong(size), c_ulong(0)), "create_ruleset")
    for path in readable:
        allow(descriptor, path, EXECUTE | READ_FILE | READ_DIR)
    for path in writable:
        allow(descriptor, path, READ_FILE | WRITE_FILE)
    checked(libc.syscall(RESTRICT_SELF, descriptor, c_ulong(0)), "restrict_self")
    os.close(descriptor)


def allow(ruleset: int, path: str, rights: int) -> None:
    """Allow this beneath the path."""
    parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if not os.path.isdir(path):
        rights &= ~READ_DIR
    rule = PathRule(rights, parent)
    checked(libc.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, byref(rule), c_ulong(0)), f"add_rule {path}")
    os.close(parent)


def restrict_calls(instructions: bytes) -> None:
    """Put the filter over this process."""
    program = Program(len(instructions) // 8, instructions)
    prctl(SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program))


def prctl(option: int, value: int, third: int = 0) -> None:
    """Change something about this process, and raise the error."""
    checked(libc.prctl(option, c_ulong(value), c_ulong(third), c_ulong(0), c_ulong(0)), f"prctl {option}")


def checked(result: int, what: str) -> int:
    """A result that is no error."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


main()

"""Attempts to reach files and servers of the host, one a function: true says that it got through.

They are bounded and harm no host. `host` says where what is attacked can be found (`Target` of the matrix).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import time
from collections.abc import Generator, Iterator
from typing import Any

Host = dict[str, Any]

MIB = 1024 * 1024


def read_file(host: Host) -> bool:
    """Open a file of the host."""
    with open(host["secret"]) as file:
        return host["marker"] in file.read()


def read_users(host: Host) -> bool:
    """Read who has an account."""
    with open("/etc/passwd") as file:
        return "root" in file.read()


def read_through_link(host: Host) -> bool:
    """Make a symbolic link to a file of the host, and open that."""
    with files(host, 1) as named:
        for link in named:
            os.symlink(host["secret"], link)
            with open(link) as file:
                return host["marker"] in file.read()
    return False


def read_through_proc(host: Host) -> bool:
    """Reach a file by the root of another process."""
    for pid in ("self", "1", str(os.getppid()), str(host["pid"])):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/root{host['secret']}") as file:
            return host["marker"] in file.read()
    return False


def list_folder(host: Host) -> bool:
    """List a folder of the host."""
    return len(os.listdir(str(host["folder"]))) > 0


def read_environments(host: Host) -> bool:
    """Read the environment of this process, its parent, and the first one."""
    for pid in ("self", "1", str(os.getppid()), str(host["pid"])):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            names = {entry.partition(b"=")[0].decode() for entry in file.read().split(b"\0") if entry}
            if names - {str(name) for name in host["known"]}:
                return True
    return False


def read_own_environment(host: Host) -> bool:
    """Find something of the host in the own environment."""
    return bool(set(os.environ) - set(host["known"]))


def read_commands(host: Host) -> bool:
    """Read how other processes were started; the first one of a container was as this one."""
    own = {b"", *(word.encode() for word in sys.orig_argv)}
    for pid in {"1", str(os.getppid()), str(host["pid"])} - {str(os.getpid())}:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            if any(word not in own and b"/box" not in word for word in file.read().split(b"\0")):
                return True
    return False


def use_descriptors(host: Host) -> bool:
    """Find a descriptor that was left open."""
    own = {0, 1, 2, int(sys.argv[-1])}
    for descriptor in set(range(256)) - own:
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            return True
    return False


def connect_tcp(host: Host) -> bool:
    """Connect to a server of the host."""
    with socket.create_connection(("127.0.0.1", host["port"]), timeout=2):
        return True


def send_udp(host: Host) -> bool:
    """Send a datagram to the host."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        return sender.sendto(b"x", ("127.0.0.1", host["udp"])) == 1


def connect_unix(host: Host) -> bool:
    """Connect to a socket that is a file."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(host["stream"])
        return True


def connect_abstract(host: Host) -> bool:
    """Connect to a socket that has a name only."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + host["abstract"])
        return True


def send_by_pair(host: Host) -> bool:
    """Send to a socket of the host from a pair, which needs no socket call."""
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with first, second:
        return first.sendto(b"x", host["datagram"]) == 1


def open_netlink(host: Host) -> bool:
    """Talk to the kernel about the network."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0):
        return True


def fill_disk(host: Host) -> bool:
    """Write 150 MB in files of 4 MB."""
    written = 0
    with files(host, 40) as named:
        for name in named:
            with open(name, "wb") as file:
                written += file.write(b"x" * 4 * MIB)
    return written >= 150 * MIB


def write_large_file(host: Host) -> bool:
    """Write a file of 300 MB, most of it a hole."""
    with files(host, 1) as named:
        for name in named:
            with open(name, "wb") as file:
                file.seek(300 * MIB)
                return file.write(b"x") == 1
    return False


def make_many_files(host: Host) -> bool:
    """Make twenty thousand empty files."""
    made = 0
    with files(host, 20_000) as named:
        for name in named:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
            made += 1
        # Longer than it takes to be seen.
        time.sleep(0.2)
    return made == 20_000


def write_outside(host: Host) -> bool:
    """Write into a folder of the host."""
    path = f"{host['folder']}/written"
    with open(path, "w") as file:
        file.write("x")
    os.unlink(path)
    return True


def write_system(host: Host) -> bool:
    """Write where programs and libraries are."""
    return any(_can_write(folder) for folder in ("/", "/usr", "/usr/lib", "/etc", "/dev", "/box", "/deps"))


def delete_file(host: Host) -> bool:
    """Delete a file of the host, and put it back."""
    os.rename(host["secret"], host["secret"] + "-gone")
    os.rename(host["secret"] + "-gone", host["secret"])
    return True


def change_mode(host: Host) -> bool:
    """Change who can read a file of the host."""
    os.chmod(host["secret"], 0o600)
    return True


def change_times(host: Host) -> bool:
    """Change when a file of the host was written."""
    os.utime(host["secret"])
    return True


def change_attributes(host: Host) -> bool:
    """Put an attribute on a file of the host."""
    try:
        os.setxattr(host["secret"], "user.x", b"x")
    except OSError as error:
        # The kernel would have done it, had the file system such a thing.
        return error.errno == errno.ENOTSUP
    return True


def cut_file(host: Host) -> bool:
    """Cut a file of the host without opening it."""
    os.truncate(host["secret"], os.stat(host["secret"]).st_size)
    return True


def make_pipe(host: Host) -> bool:
    """Make a named pipe among the files of the host."""
    path = f"{host['folder']}/pipe-{os.getpid()}"
    os.mkfifo(path)
    os.unlink(path)
    return True


def share_posix_memory(host: Host) -> bool:
    """Make shared memory that has a name."""
    path = f"/dev/shm/runwright-{os.getpid()}"
    with open(path, "wb") as file:
        file.write(b"x")
    os.unlink(path)
    return True


def set_kernel(host: Host) -> bool:
    """Write a setting of the kernel, here the one that stands."""
    with open("/proc/sys/kernel/core_pattern", "r+") as file:
        pattern = file.read()
        file.seek(0)
        return file.write(pattern) > 0


def open_device(host: Host) -> bool:
    """Open a disk, the machine's memory, or the hypervisor."""
    for name in ("kvm", "mem", "vda", "sda", "nvme0n1", "loop-control", "fuse"):
        with contextlib.suppress(OSError):
            os.close(os.open(f"/dev/{name}", os.O_RDONLY))
            return True
    return False


def places(host: Host) -> list[str]:
    """Where something may perhaps be written."""
    return [host["folder"], "/tmp", "/dev/shm", "/var/tmp", os.getcwd()]


@contextlib.contextmanager
def files(host: Host, count: int) -> Generator[Iterator[str]]:
    """Names in the first folder that can be written, which are gone in the end."""
    folder = next((each for each in places(host) if _can_write(each)), None)
    if folder is None:
        raise PermissionError("nothing can be written")
    names = [f"{folder}/x{os.getpid()}-{number}" for number in range(count)]
    try:
        yield iter(names)
    finally:
        for name in names:
            with contextlib.suppress(OSError):
                os.unlink(name)


def _can_write(folder: str) -> bool:
    name = f"{folder}/x{os.getpid()}"
    try:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
        os.unlink(name)
    except OSError:
        return False
    return True

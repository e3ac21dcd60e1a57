"""Who owns a run: a process, known by its boot id, alive as long as it holds the lock file of that id."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from runwright.core.ids import make_id
from runwright.errors import ConfigError, StorageReadOnly

BOOTS = "boots"
SERVER_LOCK = "server.lock"


class Owner:
    """This process as an owner of runs. Without a directory (a store in memory) it is the only one there is."""

    def __init__(self, directory: Path | None) -> None:
        self.boot = make_id("boot")
        self._directory = directory
        self._lock: FileLock | None = None

    def acquire(self) -> None:
        """Take the lock that says this process is alive. Raises StorageReadOnly."""
        if self._directory is None:
            return
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self._path(self.boot), thread_local=False)
            self._lock.acquire(blocking=False)
        except OSError as error:
            raise StorageReadOnly(f"{self._directory} cannot be written ({error.strerror}); see --data.") from error

    def release(self) -> None:
        """Give the lock back: what this process still owned may be taken up by others."""
        if self._lock is not None:
            self._lock.release()
            self._path(self.boot).unlink(missing_ok=True)

    def is_gone(self, boot: str | None) -> bool:
        """Whether an owner's process has ended: if and only if its lock can be taken."""
        if boot is None:
            return True
        if boot == self.boot:
            return False
        if self._directory is None:
            return True
        try:
            return _is_free(self._path(boot))
        except OSError:
            # The lock is held, or this process has no descriptor left to look: nobody is declared dead unseen.
            return False

    def _path(self, boot: str) -> Path:
        assert self._directory is not None
        return self._directory / f"{boot}.lock"


def _is_free(path: Path) -> bool:
    """Whether a lock can be taken; its file is removed then. Raises OSError, of which Timeout is one."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    lock = FileLock(path)
    lock.acquire(blocking=False)
    lock.release()
    with suppress(OSError):
        path.unlink(missing_ok=True)
    return True


def lock_out_others(data: Path) -> FileLock:
    """The lock of a server on its data directory. Raises ConfigError and StorageReadOnly."""
    lock = FileLock(data / SERVER_LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise ConfigError(
            f"Another server works on the data directory {str(data)!r}: stop it, or name another with --data."
        ) from error
    except OSError as error:
        raise StorageReadOnly(
            f"The data directory {str(data)!r} cannot be written ({error.strerror}); name another with --data."
        ) from error
    return lock


def own(data: Path, stack: AsyncExitStack, *, is_server: bool) -> Owner:
    """Become an owner of runs until the stack is closed; a server also takes the data directory's lock.

    Raises ConfigError and StorageReadOnly.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageReadOnly(
            f"The data directory {str(data)!r} cannot be made ({error.strerror}); name another with --data."
        ) from error
    if is_server:
        stack.callback(lock_out_others(data).release)
    owner = Owner(data / BOOTS)
    owner.acquire()
    stack.callback(owner.release)
    return owner

"""Copies of repositories in the data directory: bare, one a place, fetched by one process at a time."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from filelock import AsyncFileLock

from runwright.core.message import digest
from runwright.errors import ToolFailed
from runwright.tools.git.command import MEMORY, Ask, Done, Git
from runwright.tools.git.places import Place
from runwright.tools.git.room import make_room, note_use, size

HEAD: Final = "refs/runwright/head"
HASH: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_HASHED = re.compile(r"[0-9a-f]{7,64}")
WATCH_S: Final = 0.2
"""How often the size of a copy is looked at while it grows."""

FETCH_MEMORY: Final = 2 * MEMORY
"""Bytes for a fetch, which holds something of every object."""

_PERCENT = re.compile(r"(\d{1,3})%")
_NOT_IN_NAMES = re.compile(r"[\x00-\x20~^:?*\[\\\x7f]|\.\.|@\{|^-|^/|/$|//|\.lock$")

Progress = Callable[[str, float | None], None]


class CloneLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one copy. Without `depth` it has the whole history."""

    bytes: int = 1_000_000_000
    time_s: float = 600.0
    depth: int | None = None


TOTAL: Final = 10_000_000_000
"""Bytes of all copies."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A repository as an agent reads it. `token` is a secret, sent to its host alone.

    `address` pins it: the address of its host, or the git directory of a folder.
    """

    place: Place
    limits: CloneLimits = CloneLimits()
    token: str = ""
    address: str = ""

    @property
    def key(self) -> str:
        """What tells copies apart: who has no token reads nothing that one fetched."""
        parts = (self.place.text, self.limits.depth, digest(self.token.encode()).hex() if self.token else "")
        return digest(msgspec.json.encode(parts)).hex()


async def resolved(git: Git, path: Path, name: str) -> str | None:
    """The commit that a name stands for in a copy."""
    done = await git.run(path, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return done.out.decode().strip() if done.status == 0 else None


async def is_reachable(git: Git, path: Path, commit: str, *beside: str) -> bool:
    """Whether a branch, a tag, what is checked out, or one of the commits `beside` leads to a commit in a copy."""
    known = ("--glob=refs/heads", "--glob=refs/tags", "--glob=refs/runwright", *beside)
    done = await git.run(path, "rev-list", "--max-count=1", commit, "--not", *known)
    return done.status == 0 and not done.out.strip()


def no_progress(message: str, fraction: float | None) -> None:
    """Tell nobody."""


class Clones:
    """The copies in a folder; those that were not read for longest make room for others."""

    def __init__(self, git: Git, folder: Callable[[], Path], *, total: int = TOTAL) -> None:
        self._total = total
        self._git = git
        self._folder = folder

    def path(self, wanted: Wanted) -> Path:
        """Where the copy of a repository is, or will be."""
        return self._folder() / f"{wanted.key}.git"

    async def commit(
        self,
        wanted: Wanted,
        ref: str | None,
        *,
        refresh_s: float,
        is_known: bool = False,
        progress: Progress = no_progress,
    ) -> str:
        """The commit that a branch, a tag or a hash stands for, by default the one that is checked out there.

        The copy is fetched if that was longer than `refresh_s` seconds ago. A hash stands for what a branch or a tag
        leads to: what was thrown away, or stands in somebody's fork, is given for a hash that `is_known`, because a
        definition or a record names it. Raises ToolFailed and ToolTimeout.
        """
        if ref is not None and (_NOT_IN_NAMES.search(ref) or not ref):
            raise ToolFailed(f"{ref!r} is no name of a branch, of a tag or of a commit.")
        asked = time.time()
        pinned = ref if is_known and ref is not None and HASH.fullmatch(ref) else None
        async with self._locked(wanted) as path:
            if pinned is not None and (found := await resolved(self._git, path, pinned)):
                return found
            if asked - await asyncio.to_thread(_fetched_at, path) >= refresh_s:
                await self._fetch(wanted, path, progress=progress)
            found = await self._find(path, ref)
            if found is None and pinned is not None:
                await self._fetch(wanted, path, only=pinned, progress=progress)
                found = await resolved(self._git, path, pinned)
        if found is None:
            what = "commit that is checked out" if ref is None else f"branch or tag {ref!r}"
            also = " and none that leads to such a commit" if ref and _HASHED.fullmatch(ref) else ""
            raise ToolFailed(f"{wanted.place.text} has no {what}{also}.")
        return found

    async def has(self, wanted: Wanted, commit: str) -> bool:
        """Whether the copy has a commit."""
        path = await asyncio.to_thread(self.path, wanted)
        await asyncio.to_thread(note_use, path)
        return await asyncio.to_thread(path.is_dir) and await resolved(self._git, path, commit) is not None

    async def _find(self, path: Path, ref: str | None) -> str | None:
        for name in [HEAD] if ref is None else [f"refs/heads/{ref}", f"refs/tags/{ref}"]:
            if found := await resolved(self._git, path, name):
                return found
        found = await resolved(self._git, path, ref) if ref and _HASHED.fullmatch(ref) else None
        return found if found and await is_reachable(self._git, path, found) else None

    @asynccontextmanager
    async def _locked(self, wanted: Wanted) -> AsyncGenerator[Path]:
        """A copy that nobody else fetches now, be it in another process."""
        path = await asyncio.to_thread(self.path, wanted)
        lock = AsyncFileLock(f"{path}.lock", timeout=wanted.limits.time_s, poll_interval=0.02, mode=0o600)
        try:
            await lock.acquire()
        except TimeoutError as error:
            raise ToolFailed(f"Another process fetches {wanted.place.text}, and has not finished.") from error
        try:
            if not await asyncio.to_thread(path.is_dir):
                await self._check(wanted, "init", "--quiet", "--bare", "--template=", "--end-of-options", str(path))
            await asyncio.to_thread(note_use, path)
            try:
                yield path
            finally:
                # A fetch may take longer than a copy that nobody reads is kept.
                await asyncio.to_thread(note_use, path)
        finally:
            await lock.release(force=True)

    async def _check(self, wanted: Wanted, *arguments: str) -> None:
        done = await self._git.run(None, *arguments)
        if done.status:
            raise ToolFailed(f"{wanted.place.text} cannot be read: {done.told}")

    async def _fetch(self, wanted: Wanted, path: Path, *, only: str | None = None, progress: Progress) -> None:
        await asyncio.to_thread(_sweep, path)
        await asyncio.to_thread(make_room, path, total=self._total)
        is_first = await asyncio.to_thread(_fetched_at, path) == 0.0
        depth = () if wanted.limits.depth is None or not is_first else (f"--depth={wanted.limits.depth}",)
        refs = (only,) if only else (f"+HEAD:{HEAD}", "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        told = _Told(progress)
        pinned = wanted.address if wanted.place.protocol == "file" else ""
        # Strictly: git would look beside the folder, and follow what it finds.
        strict = ("--upload-pack=git-upload-pack --strict",) if pinned else ()
        work = self._git.run(
            path,
            "fetch",
            "--progress",
            "--force",
            "--prune",
            "--no-tags",
            "--no-write-fetch-head",
            "--update-head-ok",
            "--no-auto-gc",
            *depth,
            *strict,
            "--end-of-options",
            pinned or wanted.place.text,
            *refs,
            ask=Ask(
                timeout_s=wanted.limits.time_s,
                memory=FETCH_MEMORY,
                environment=_environment(wanted),
                progress=told,
            ),
        )
        progress(f"fetching {wanted.place.text}", None)
        try:
            done = await _within(work, path, limit=wanted.limits.bytes)
        except BaseException:
            # What came of it is of no use, and would stay.
            await asyncio.shield(asyncio.to_thread(_sweep, path))
            raise
        if done.status:
            raise ToolFailed(f"{wanted.place.text} cannot be fetched: {_reason(done.told)}")
        if only is None:
            await asyncio.to_thread((path / "fetched").touch)


class _Told:
    """Git's lines of progress, told when they say something else than before."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._last: tuple[str, int] = ("", -1)

    def __call__(self, line: str) -> None:
        message, _, figures = line.partition(":")
        percent = _PERCENT.search(figures)
        # Each tenth is enough: progress is recorded.
        now = (message, int(percent[1]) // 10 if percent else -1)
        if percent is not None and now != self._last:
            self._last = now
            self._progress(message.lower(), int(percent[1]) / 100)


async def _within(work: Coroutine[Any, Any, Done], path: Path, *, limit: int) -> Done:
    """The outcome of a fetch, which is stopped when the copy becomes too large. Raises ToolFailed and ToolTimeout."""
    try:
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(_watch(path, limit=limit))
            done = await work
            watch.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    if await asyncio.to_thread(size, path) > limit:
        raise _too_large(limit)
    return done


async def _watch(path: Path, *, limit: int) -> None:
    while await asyncio.to_thread(size, path) <= limit:  # noqa: ASYNC110 - nobody tells that a folder grows
        await asyncio.sleep(WATCH_S)
    raise _too_large(limit)


def _too_large(limit: int) -> ToolFailed:
    told = f"The repository is larger than {limit:,} bytes"
    return ToolFailed(f"{told}: set a `depth` in the definition, or raise the setting repositories.size.")


def _sweep(path: Path) -> None:
    """Take away what a git that was killed left. Whoever calls holds the lock, so nobody else's is among it."""
    for pattern in ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*", "objects/pack/*.lock", "objects/*/tmp_obj_*"):
        for each in path.glob(pattern):
            each.unlink(missing_ok=True)


def _environment(wanted: Wanted) -> Mapping[str, str]:
    """What a fetch is allowed beside all that is forbidden; secrets stand in no argument that others could see."""
    given = {"GIT_ALLOW_PROTOCOL": wanted.place.protocol}
    config: list[tuple[str, str]] = []
    if wanted.token:
        word = base64.b64encode(f"x-access-token:{wanted.token}".encode()).decode()
        config.append((f"http.{wanted.place.text}.extraHeader", f"Authorization: Basic {word}"))
    if wanted.address and wanted.place.protocol != "file":
        config.append(("http.curloptResolve", wanted.address))
    if config:
        given["GIT_CONFIG_COUNT"] = str(len(config))
    for number, (name, value) in enumerate(config):
        given |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return given


def _reason(told: str) -> str:
    """The lines of git's complaint that say what is wrong."""
    lines = told.replace("\r", "\n").split("\n")
    wrong = [line for line in lines if line.startswith(("fatal:", "error:", "remote: "))]
    return "; ".join(wrong or lines[-1:])[:500]


def _fetched_at(path: Path) -> float:
    try:
        return (path / "fetched").stat().st_mtime
    except FileNotFoundError:
        return 0.0

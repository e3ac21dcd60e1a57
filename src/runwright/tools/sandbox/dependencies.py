"""Packages for code in a sandbox: resolved once into a lock, installed outside, by the lock, into a folder that stays.

Nothing of a package runs while it is installed: only wheels are taken, and npm's scripts are left out.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeVar
from weakref import WeakValueDictionary

import msgspec
from anyio import CapacityLimiter, to_thread
from filelock import FileLock, Timeout

from runwright.core.sandbox import MIB, Language
from runwright.errors import ConfigError
from runwright.tools.sandbox.boxes import box
from runwright.tools.sandbox.commands import Finished, Limits, run
from runwright.tools.sandbox.interpreters import Interpreters

TIMEOUT_S: Final = 300.0
LARGEST: Final = 1024 * MIB
AT_ONCE: Final = 4
"""How many sets of packages are resolved or installed at the same time; others wait, and hold up nothing else."""

PYTHON_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
PYTHON_REQUIREMENT: Final = re.compile(
    rf"{PYTHON_NAME.pattern}(?:\[[A-Za-z0-9._,\- ]+\])?(?: *(?:[<>=!~]=?|===) *[A-Za-z0-9.*+!_-]+ *,?)*"
)
PYTHON_LOCKED: Final = re.compile(rf"{PYTHON_NAME.pattern}==[A-Za-z0-9.+!_-]+ --hash=sha256:[0-9a-f]{{64}}")
# pip takes a name that ends so for a file of the folder that it runs in.
ARCHIVE: Final = re.compile(r"\.(?:zip|whl|tgz|tbz2?|txz|tlz|tar)(?![A-Za-z0-9_-])", re.IGNORECASE)
NPM_NAME: Final = r"(?:@[a-z0-9~][a-z0-9._~-]*/)?[a-z0-9~][a-z0-9._~-]*"
NPM_REQUIREMENT: Final = re.compile(rf"({NPM_NAME})(?:@([0-9A-Za-z.^~*<>=| -]+))?")
NO_MATCH: Final = re.compile(r"No matching distribution found for ([A-Za-z0-9._-]+)")
NO_VERSION: Final = re.compile(r"satisfies the requirement (.+?) \(from versions: (.*)\)")
UNREACHABLE: Final = re.compile(
    r"Retrying|ConnectionError|timed out|Temporary failure|error sending request", re.IGNORECASE
)
FULL: Final = re.compile(r"No space left on device|Disk quota exceeded")
WHEELS: Final = Path(__file__).with_name("wheels.py")
COLOR: Final = re.compile(r"\x1b\[[0-9;]*m")
NEWEST: Final = 5

T = TypeVar("T")

PIP: Final = ("--disable-pip-version-check", "--no-input", "--quiet", "--retries", "1", "--timeout", "20")


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """Packages that are there: the folder for `SandboxSpec.dependencies`, and the lock that says what is in it."""

    folder: Path
    lock: str


class Dependencies:
    """Packages of one machine, in a folder. Several processes can use it at once.

    `largest` bounds the bytes of one set of packages, `timeout_s` how long it may take to get it.
    """

    def __init__(
        self,
        cache: Path,
        *,
        interpreters: Interpreters | None = None,
        timeout_s: float = TIMEOUT_S,
        largest: int = LARGEST,
    ) -> None:
        self._cache = cache
        self._interpreters = interpreters or Interpreters()
        self._timeout_s = timeout_s
        self._largest = largest
        self._slots = CapacityLimiter(AT_ONCE)
        self._turns: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()

    async def prepare(self, language: Language, requirements: Sequence[str]) -> Prepared:
        """Packages such as `pandas==2.*` or `zod@^4`, without network where they have been asked for before.

        Raises ConfigError that names what cannot be had, and why.
        """
        return await self.install(language, await self.resolve(language, requirements))

    async def resolve(self, language: Language, requirements: Sequence[str]) -> str:
        """The lock of packages: their versions and hashes, the same for ever in one cache. Raises as `prepare` does."""
        wanted = sorted(check_requirement(language, each) for each in requirements)
        place = self._cache / "locks" / await to_thread.run_sync(self._key, language, *wanted)
        return await self._once(place, _read, partial(self._resolve, language, wanted, place))

    async def install(self, language: Language, lock: str) -> Prepared:
        """The packages of a lock that `prepare` gave, here or elsewhere. Raises ConfigError as `prepare` does."""
        tool = "python" if language == "python" else "npm"
        folder = self._cache / tool / await to_thread.run_sync(self._key, language, lock)
        await self._once(folder, _present, partial(self._install, folder, lock))
        return Prepared(folder=folder, lock=lock)

    async def _once(self, place: Path, find: Callable[[Path], T | None], make: Callable[..., T]) -> T:
        """What is found at a place, or is made there: in this process by one at a time, in a thread of its own."""
        if (found := await to_thread.run_sync(find, place)) is not None:
            return found
        turn = self._turns.setdefault(place, asyncio.Lock())
        async with turn:
            if (found := await to_thread.run_sync(find, place)) is not None:
                return found
            try:
                return await _in_thread(make, self._slots)
            except (OSError, ConfigError) as error:
                # Package tools say it in many words, or none.
                if isinstance(error, InterruptedError) or not FULL.search(str(error)):
                    raise
                raise ConfigError(f"There is no room for the packages where they are kept: {self._cache}.") from error

    def _resolve(self, language: Language, wanted: Sequence[str], place: Path, *, stop: threading.Event) -> str:
        limits = self._limits(stop)
        place.parent.mkdir(parents=True, exist_ok=True)
        with _held(place, limits):
            # Of a process that resolved the same meanwhile.
            if (known := _read(place)) is not None:
                return known
            lock = self._pip(limits).resolve(wanted) if language == "python" else self._npm(limits).resolve(wanted)
            _write(place, lock)
        return lock

    def _install(self, folder: Path, lock: str, *, stop: threading.Event) -> Path:
        folder.parent.mkdir(parents=True, exist_ok=True)
        limits = self._limits(stop)
        with _held(folder, limits):
            if not folder.exists():
                self._fill(folder, lock, limits)
        return folder

    def _fill(self, folder: Path, lock: str, limits: Limits) -> None:
        """Install beside the folder, whose lock is held, and put it in its place when it is whole."""
        beside = folder.with_name(f".{folder.name}")
        # Of a process that was killed while it installed the same.
        shutil.rmtree(beside, ignore_errors=True)
        made = beside / "packages"
        made.mkdir(parents=True)
        try:
            tool = self._pip(limits) if folder.parent.name == "python" else self._npm(limits)
            tool.install(lock, made)
            limits.measure(made)
            made.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _limits(self, stop: threading.Event) -> Limits:
        return Limits(timeout_s=self._timeout_s, largest=self._largest, stop=stop)

    def _key(self, language: Language, *parts: str) -> str:
        """A name for what these parts and the platform, which decides what files of a package fit, lead to."""
        platform = "npm"
        if language == "python":
            platform = f"{sys.implementation.cache_tag} {sysconfig.get_platform()} {self._interpreters.python}"
        return hashlib.sha256(msgspec.json.encode((platform, *parts))).hexdigest()[:32]

    def _pip(self, limits: Limits) -> _Pip:
        return _Pip(self._interpreters.python, limits)

    def _npm(self, limits: Limits) -> _Npm:
        why_not = self._interpreters.why_not("typescript")
        if why_not:
            raise ConfigError(why_not)
        return _Npm(str(self._interpreters.deno), limits)


class _Pip:
    """Wheels of the index that pip is set up for."""

    def __init__(self, python: Path, limits: Limits) -> None:
        self._python = python
        self._limits = limits

    def resolve(self, requirements: Sequence[str]) -> str:
        """A lock: each package with its version and the hash of its wheel."""
        options = ("--dry-run", "--ignore-installed", "--only-binary", ":all:", "--report", "-")
        done = self._run("install", *PIP, *options, *requirements)
        if done.code != 0:
            raise self._failed(requirements, done)
        report = msgspec.json.decode(done.stdout, type=_Report)
        return "".join(sorted(each.line for each in report.install))

    def install(self, lock: str, folder: Path) -> None:
        """Install exactly what a lock names."""
        lines = lock.splitlines()
        if wrong := [line for line in lines if not PYTHON_LOCKED.fullmatch(line) or ARCHIVE.search(line)]:
            raise ConfigError(f"A line of a lock is `name==version --hash=sha256:...`, not {wrong[0]!r}.")
        # pip runs in another folder.
        folder = folder.absolute()
        file = folder.parent / "lock.txt"
        file.write_text(lock, encoding="utf-8")
        options = ("--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-warn-script-location")
        done = self._run("install", *PIP, *options, "--target", str(folder), "-r", str(file), watched=folder)
        if done.code != 0:
            raise self._failed([line.partition(" ")[0] for line in lines], done)

    def _run(self, *arguments: str, watched: Path | None = None) -> Finished:
        pip = find_spec("pip")
        if pip is None or pip.origin is None:
            raise ConfigError(f"pip is needed to install packages: run `{sys.executable} -m ensurepip`.")
        command = [str(self._python), "-I", str(WHEELS), str(Path(pip.origin).parent.parent), *arguments]
        # A folder in which no file can be meant, nor be loaded.
        with box() as nothing:
            return run(command, self._limits, watched=watched, cwd=nothing)

    def _failed(self, requirements: Sequence[str], done: Finished) -> ConfigError:
        wanted = ", ".join(requirements)
        if UNREACHABLE.search(done.stderr):
            return ConfigError(f"The package index cannot be reached, which is needed once for {wanted}.")
        named = NO_MATCH.search(done.stderr)
        if named is None:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR") or FULL.search(line)]
            return ConfigError(f"pip could not install {wanted}: {' '.join(errors) or done.stderr.strip()}")
        return self._without_match(named[1], done)

    def _without_match(self, name: str, done: Finished) -> ConfigError:
        asked, versions = found.groups() if (found := NO_VERSION.search(done.stderr)) else (name, "none")
        if versions != "none":
            newest = ", ".join(versions.split(", ")[-NEWEST:])
            return ConfigError(f"No wheel fits {asked!r}; the newest that there are: {newest}.")
        known = self._run("index", "versions", *PIP, name)
        if known.code == 0:
            return ConfigError(
                f"{name} has no wheel for {sysconfig.get_platform()} and Python "
                f"{sys.version_info.major}.{sys.version_info.minor}. Only wheels are installed, because to build a "
                "package is to run its code outside of the sandbox."
            )
        return ConfigError(f"There is no package {name!r}.")


class _Npm:
    """Packages of npm, as Deno installs them."""

    def __init__(self, deno: str, limits: Limits) -> None:
        self._deno = deno
        self._limits = limits

    def resolve(self, requirements: Sequence[str]) -> str:
        """A lock in Deno's format, with the hash of each package."""
        with box() as folder:
            self._declare(folder, requirements)
            self._run(folder, "--lockfile-only", requirements=requirements)
            return (folder / "deno.lock").read_text(encoding="utf-8")

    def install(self, lock: str, folder: Path) -> None:
        """Install exactly what a lock names."""
        try:
            known = msgspec.json.decode(lock, type=_DenoLock)
        except msgspec.DecodeError as error:
            raise ConfigError(f"This is no lock of npm packages: {error}") from error
        requirements = [each.removeprefix("npm:") for each in known.workspace.packages.dependencies]
        self._declare(folder, [check_requirement("typescript", each) for each in requirements])
        (folder / "deno.lock").write_text(lock, encoding="utf-8")
        self._run(folder, "--frozen", requirements=requirements)
        (folder / "node_modules").mkdir(exist_ok=True)

    def _declare(self, folder: Path, requirements: Sequence[str]) -> None:
        parts = [NPM_REQUIREMENT.fullmatch(each) for each in requirements]
        named = {part[1]: part[2] or "*" for part in parts if part}
        (folder / "package.json").write_bytes(msgspec.json.encode({"dependencies": named}))

    def _run(self, folder: Path, option: str, *, requirements: Sequence[str]) -> None:
        command = [self._deno, "install", "--quiet", "--node-modules-dir=auto", option]
        done = run(command, self._limits, watched=folder, cwd=folder)
        if done.code == 0:
            return
        wanted = ", ".join(requirements)
        if UNREACHABLE.search(done.stderr):
            raise ConfigError(f"The npm registry cannot be reached, which is needed once for {wanted}.")
        said = COLOR.sub("", done.stderr).strip().splitlines() or ["it said nothing"]
        error = next((line for line in said if line.startswith("error: ")), said[0])
        raise ConfigError(f"Deno could not install {wanted}: {error.removeprefix('error: ')}")


class _Metadata(msgspec.Struct):
    name: str
    version: str


class _Archive(msgspec.Struct):
    hashes: dict[str, str]


class _Download(msgspec.Struct):
    archive_info: _Archive


class _Item(msgspec.Struct):
    metadata: _Metadata
    download_info: _Download

    @property
    def line(self) -> str:
        """What a lock says of it."""
        hashed = self.download_info.archive_info.hashes["sha256"]
        return f"{self.metadata.name}=={self.metadata.version} --hash=sha256:{hashed}\n"


class _Report(msgspec.Struct):
    install: list[_Item]


class _DenoPackages(msgspec.Struct):
    dependencies: list[str]


class _DenoWorkspace(msgspec.Struct, forbid_unknown_fields=True):
    packages: _DenoPackages = msgspec.field(name="packageJson")


class _DenoLock(msgspec.Struct, forbid_unknown_fields=True):
    """What a lock for packages of npm alone holds."""

    version: str
    specifiers: dict[str, str]
    npm: dict[str, object]
    workspace: _DenoWorkspace


def check_requirement(language: Language, text: str) -> str:
    """A package by name and version. Raises ConfigError for all else: files, URLs and options are no packages."""
    pattern = PYTHON_REQUIREMENT if language == "python" else NPM_REQUIREMENT
    is_file = language == "python" and ARCHIVE.search(text)
    if pattern.fullmatch(text.strip()) and not is_file:
        return text.strip()
    example = "'pandas' or 'pandas==2.*'" if language == "python" else "'zod' or 'zod@^4'"
    raise ConfigError(f"A dependency is a package of the registry such as {example}, not {text!r}.")


def _write(place: Path, text: str) -> None:
    """Write a file that is whole as soon as it is there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(dir=place.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(beside, place)


def _held(folder: Path, limits: Limits) -> FileLock:
    """The lock of a folder, among all processes."""
    lock = FileLock(f"{folder}.lock")
    while True:
        limits.check()
        try:
            return lock.acquire(timeout=0.2).lock
        except Timeout:
            continue


def _read(place: Path) -> str | None:
    try:
        return place.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _present(folder: Path) -> Path | None:
    return folder if folder.exists() else None


async def _in_thread(work: Callable[..., T], slots: CapacityLimiter) -> T:
    """Work in a thread, which stops soon after nobody waits for it any more."""
    stop = threading.Event()
    try:
        return await to_thread.run_sync(partial(work, stop=stop), abandon_on_cancel=True, limiter=slots)
    except asyncio.CancelledError:
        stop.set()
        raise

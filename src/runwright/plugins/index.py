"""An index of plugins: a TOML file with names, versions, hashes and requirements, on this machine or at a URL."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from http.client import HTTPException
from importlib import metadata
from pathlib import Path
from urllib.parse import urljoin, urlsplit
from urllib.request import urlopen

import msgspec

from runwright.errors import ConfigError, NotFound

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]*")
SHA256 = re.compile(r"[0-9a-f]{64}")
LARGEST = 8 * 1024 * 1024
TIMEOUT_S = 20
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Package(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A package of an index. `requires` are other packages of it, as `name==version`.

    `file` is the wheel, a path or URL relative to the index; without one it comes from where pip looks.
    """

    name: str
    version: str
    description: str = ""
    file: str = ""
    sha256: str = ""
    requires: tuple[str, ...] = ()

    @property
    def pin(self) -> str:
        """What others name it by."""
        return f"{_key(self.name)}=={self.version}"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    package: list[Package] = []


class Index:
    """The packages of an index."""

    def __init__(self, place: str, packages: Sequence[Package]) -> None:
        self.place = place
        self._packages = tuple(packages)

    def search(self, words: Sequence[str]) -> list[Package]:
        """Packages in whose name or description every word stands, in the order of the index."""
        return [
            each
            for each in self._packages
            if all(word.lower() in f"{each.name} {each.description}".lower() for word in words)
        ]

    def plan(self, asked: str) -> list[Package]:
        """A package (`name`, its last entry, or `name==version`) and all that it requires and is not installed.

        Raises NotFound, and ConfigError for what is not pinned by its hash.
        """
        found: dict[str, Package] = {}
        left = [(asked, "")]
        while left:
            pin, by = left.pop()
            package = self._find(pin, by)
            if package.pin in found:
                continue
            found[package.pin] = package
            for each in package.requires:
                name, _, version = each.partition("==")
                if not version:
                    told = f"{package.pin} requires {each!r} without a version: write name==version"
                    raise ConfigError(f"{self.place}: {told}")
                if not _is_installed(name.strip(), version.strip()):
                    left.append((each, package.pin))
        for each in found.values():
            if SHA256.fullmatch(each.sha256) is None:
                raise ConfigError(f"{self.place}: {each.pin} is not pinned: `sha256` of its wheel has 64 digits")
        return list(found.values())

    def line(self, package: Package) -> str:
        """What pip is told of a package: its file, or its pin, and its hash."""
        where = package.pin
        if package.file:
            base = self.place if is_url(self.place) else Path(self.place).resolve().as_uri()
            url = _wheel(base, package.file)
            where = f"{package.name} @ {url}"
        return f"{where} --hash=sha256:{package.sha256}"

    def _find(self, pin: str, by: str) -> Package:
        name, _, version = (part.strip() for part in pin.partition("=="))
        named = [each for each in self._packages if _key(each.name) == _key(name)]
        fitting = [each for each in named if not version or each.version == version]
        if not fitting:
            known = ", ".join(each.version for each in named)
            why = f", which {by} requires" if by else ""
            there = f"; there is {known}" if known else ""
            raise NotFound(f"{self.place} has no package {pin!r}{why}{there}")
        return fitting[-1]


def read_index(place: str) -> Index:
    """The index at a path or URL. Raises ConfigError that says what is wrong where."""
    data = _download(place) if is_url(place) else _file(place)
    try:
        found = msgspec.convert(tomllib.loads(data.decode()), _File)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{place} is no index of plugins: {error}") from None
    for each in found.package:
        # These go into the lines that pip reads.
        if not NAME.fullmatch(each.name) or not VERSION.fullmatch(each.version) or re.search(r"\s", each.file):
            raise ConfigError(f"{place} names a package {each.name!r} {each.version!r} {each.file!r}, which cannot be")
    return Index(place, found.package)


def is_url(place: str) -> bool:
    """Whether an index is read over the network."""
    return place.startswith(("http://", "https://"))


def _refuse_unsafe(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ConfigError(f"{url}: what stands in an index is trusted, so it comes over https")


def _wheel(base: str, file: str) -> str:
    """Where a wheel is. Raises ConfigError for what pip would build, or read with variables of the environment in."""
    try:
        url = urljoin(base, file)
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError(f"{file!r} is no path and no URL") from None
    _refuse_unsafe(url)
    is_wheel = parts.path.endswith(".whl") and not (parts.query or parts.fragment) and "$" not in url
    is_near = parts.scheme == "file" and not parts.netloc
    if not is_wheel or not (is_near or parts.scheme in ("https", "http")):
        raise ConfigError(f"{file!r} is no wheel: write a path or an https URL that ends in .whl and holds no $")
    return url


def _download(url: str) -> bytes:
    _refuse_unsafe(url)
    try:
        with urlopen(url, timeout=TIMEOUT_S) as answer:
            data: bytes = answer.read(LARGEST + 1)
    except (OSError, HTTPException) as error:
        raise ConfigError(f"{url} cannot be read: {error}") from None
    if len(data) > LARGEST:
        raise ConfigError(f"{url} is larger than {LARGEST:,} bytes")
    return data


def _file(place: str) -> bytes:
    try:
        return Path(place).read_bytes()
    except OSError as error:
        raise ConfigError(f"{place} cannot be read: {error.strerror}") from None


def _key(name: str) -> str:
    """A name as packages are compared by (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_installed(name: str, version: str) -> bool:
    try:
        return metadata.version(name) == version
    except metadata.PackageNotFoundError:
        return False

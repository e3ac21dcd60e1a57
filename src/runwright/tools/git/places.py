"""Where a repository is: a folder of this machine, or an address; and whether a caller may name it."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from runwright.errors import InvalidRequest, ToolFailed

Protocol = Literal["file", "https", "http"]

ANYWHERE: Final = frozenset({"https://", "http://"})
"""Entries that allow every public address."""

MOST_BORROWED: Final = 10
"""Folders of objects that a local repository is read from."""

NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

_URL = re.compile(r"https?://(?P<host>[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:\d{1,5})?(?P<path>/[^?#]*)")
_PATH = re.compile(r"(/([A-Za-z0-9._~+@!,=-]|%[0-9A-Fa-f]{2})+)+/?")
_HIDDEN = re.compile(r"%(2e|2f|5c|00)", re.IGNORECASE)
_OTHER = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:|^[^/]+@[^/]+:")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A repository's folder, as an absolute path without links, or its URL."""

    text: str
    protocol: Protocol


def read_place(text: str, *, is_resolved: bool = True) -> Place:
    """Where a text says that a repository is; a relative path is meant from the working directory.

    Links are followed on the disk if it `is_resolved`. Raises InvalidRequest for what is neither a path nor an https or
    http URL, and for a URL with a password in it.
    """
    if not text.strip() or "\0" in text:
        raise InvalidRequest(f"{text!r} is no repository: name a folder or an https URL.")
    if text.lower().startswith(("https://", "http://")):
        return _url(text)
    if "::" in text or (_OTHER.match(text) and not os.path.isabs(text)):
        raise InvalidRequest(f"{text!r} cannot be read: name a folder of this machine, or a URL with https.")
    path = os.path.abspath(os.path.expanduser(text))
    return Place(text=os.path.realpath(path) if is_resolved else path, protocol="file")


def _url(text: str) -> Place:
    try:
        if not text.isprintable() or " " in text:
            raise ValueError(text)
        parts = urlsplit(text)
        host = (parts.hostname or "").lower()
    except ValueError:
        raise InvalidRequest(f"{text!r} is no URL.") from None
    if parts.username is not None or parts.password is not None:
        raise InvalidRequest(
            f"The URL of {host!r} has a name or password in it, which would be recorded: leave it out, and name "
            "a secret as `token` in the agent's definition."
        )
    whole = f"{parts.scheme.lower()}://{parts.netloc.lower()}{parts.path}".rstrip("/")
    match = _URL.fullmatch(whole)
    if match is None or parts.query or parts.fragment or not _is_plain(match["path"]):
        raise InvalidRequest(f"{text!r} is no address of a repository, such as https://github.com/acme/site.")
    return Place(text=whole, protocol="https" if whole.startswith("https:") else "http")


def _is_plain(path: str) -> bool:
    segments = path.split("/")[1:]
    is_known = _PATH.fullmatch(path) is not None and _HIDDEN.search(path) is None
    return is_known and not any(each in ("", ".", "..") for each in segments)


def allows(entries: Iterable[str], place: Place, *, is_resolved: bool = True) -> str | None:
    """The first entry that a place lies within: a folder, or the beginning of a URL up to a slash."""
    return next((entry for entry in entries if _is_within(entry, place, is_resolved=is_resolved)), None)


def _is_within(entry: str, place: Place, *, is_resolved: bool) -> bool:
    if entry in ANYWHERE:
        return place.protocol == entry.removesuffix("://")
    try:
        is_host = entry.lower().startswith(("https://", "http://")) and not urlsplit(entry).path.strip("/")
        root = _host(entry) if is_host else read_place(entry, is_resolved=is_resolved)
    except InvalidRequest:
        return False
    own = {place.text, place.text.removesuffix(".git")}
    return root.protocol == place.protocol and (
        bool(own & {root.text, root.text.removesuffix(".git")}) or place.text.startswith(root.text.rstrip("/") + "/")
    )


def folders_read(place: Place) -> list[Place]:
    """The folders that git reads for a local repository, without links; its git directory is the first.

    The others are what a worktree shares, and objects, also those that it borrows. Raises ToolFailed.
    """
    top = next((each for each in _candidates(place.text) if os.path.lexists(each / "HEAD")), Path(place.text))
    folders = [top, *_named_in(top / "commondir", top)]
    objects = [each / "objects" for each in folders]
    for each in objects:
        objects += _named_in(each / "info" / "alternates", each)
        if len(objects) > MOST_BORROWED:
            raise ToolFailed(f"{place.text} borrows the objects of more than {MOST_BORROWED} others.")
    inner = [each for folder in (*folders, *objects) for each in _links(folder)]
    inner += [each for folder in objects for name in ("pack", "info") for each in _links(folder / name)]
    return [
        Place(text=each, protocol="file") for each in dict.fromkeys(map(os.path.realpath, (*folders, *objects, *inner)))
    ]


def _candidates(path: str) -> Iterator[Path]:
    """Where git looks for the repository at a path, in its order; a file leads on."""
    for each in (Path(path, ".git"), Path(path), Path(f"{path}.git", ".git"), Path(f"{path}.git")):
        if each.is_file():
            yield from _named_in(each, each.parent, prefix="gitdir: ")
        yield Path(os.path.realpath(each))


def _links(folder: Path) -> list[Path]:
    """The links in a folder. Those to nothing, as HEAD once was one, lead nowhere."""
    try:
        with os.scandir(folder) as entries:
            return [Path(each.path) for each in entries if each.is_symlink() and os.path.exists(each.path)]
    except OSError:
        return []


def _named_in(file: Path, base: Path, *, prefix: str = "") -> list[Path]:
    """The paths that a file of git names, without links."""
    try:
        lines = os.fsdecode(file.read_bytes()).split("\n")
    except OSError:
        return []
    named = [line.removeprefix(prefix) for line in lines if line.startswith(prefix) and not line.startswith("#")]
    # What stands in quotes is no plain path: it is taken to lead anywhere.
    return [Path("/" if each.startswith('"') else os.path.realpath(base / each)) for each in named if each]


def _host(entry: str) -> Place:
    """An entry that names all of a host."""
    place = read_place(f"{entry.rstrip('/')}/x")
    return Place(text=place.text.removesuffix("/x"), protocol=place.protocol)


def _is_public(address: str) -> bool:
    """Whether everybody reaches an address, and the one that it stands for if it carries one of version 4."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        translated = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF) if found in NAT64 else None
        inner = found.ipv4_mapped or found.sixtofour or translated
        return found.teredo is None and (inner or found).is_global
    return found.is_global


async def public_address(place: Place) -> str:
    """What pins a URL's host to the address that it has now, as git takes it.

    Raises ToolFailed for an address that is not public.
    """
    parts = urlsplit(place.text)
    host, port = parts.hostname or "", parts.port or (443 if place.protocol == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ToolFailed(f"The host {host!r} of {place.text} has no address: {error.strerror}.") from error
    addresses = sorted({str(each[4][0]) for each in found})
    private = [each for each in addresses if not _is_public(each)]
    if private or not addresses:
        raise ToolFailed(
            f"{host!r} is at {', '.join(private)}, which is no public address: name the host in the setting "
            "repositories.allow if agents may read from there."
        )
    shown = ",".join(f"[{each}]" if ":" in each else each for each in addresses)
    return f"{host}:{port}:{shown}"

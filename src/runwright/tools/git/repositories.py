"""The repositories that agents of a process may read: what is allowed, where copies stand, and how large they are."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from runwright.errors import Forbidden, InvalidRequest
from runwright.tools.git.clones import TOTAL, CloneLimits, Clones, Wanted
from runwright.tools.git.command import Git, Variables
from runwright.tools.git.places import ANYWHERE, Place, allows, folders_read, public_address, read_place
from runwright.tools.git.reading import Reading


class Repositories:
    """Reads repositories. `allow` are folders and beginnings of URLs that anybody may name who may run an agent.

    Without a folder the copies are kept until the object goes. `environment` is what git takes from the machine's.
    """

    def __init__(
        self,
        folder: Path | None = None,
        environment: Variables | None = None,
        *,
        allow: Sequence[str] = (),
        size: int = CloneLimits().bytes,
        total: int = TOTAL,
        time_s: float = CloneLimits().time_s,
    ) -> None:
        self.allow = tuple(allow)
        self._given = folder
        self._folder: Path | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._limits = CloneLimits(bytes=size, time_s=time_s)
        self.git = Git(self._home, environment)
        self.clones = Clones(self.git, self._home, total=total)

    def close(self) -> None:
        """Take away copies that were to be kept no longer than this."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def why_not(self, text: str, own: Sequence[str] = ()) -> str:
        """Why a caller may not name a repository, as far as its text says; empty if it may.

        `own` are entries beside those of the settings. Where links lead is judged when it is opened.
        """
        try:
            place = read_place(text, is_resolved=False)
        except InvalidRequest as error:
            return error.message
        return "" if allows((*own, *self.allow), place, is_resolved=False) else _refusal(text)

    async def place(self, text: str, own: Sequence[str]) -> tuple[Place, str]:
        """Where a repository that may be read is, and what to pin it to: its host's address, or its git directory.

        Raises Forbidden, InvalidRequest and ToolFailed.
        """
        place = await asyncio.to_thread(read_place, text)
        entry = await asyncio.to_thread(allows, (*own, *self.allow), place)
        if entry is None:
            raise Forbidden(_refusal(text))
        if place.protocol == "file":
            return place, await asyncio.to_thread(self._git_folder, place, own)
        return place, await public_address(place) if entry in ANYWHERE else ""

    def _git_folder(self, place: Place, own: Sequence[str]) -> str:
        """The git directory of a folder, which a link could have outside of what is allowed. Raises Forbidden."""
        folders = folders_read(place)
        # Whoever wrote the definition and named this very folder knows where it leads, as that of a worktree does.
        is_named = any(place == read_place(each) for each in own if each not in ANYWHERE)
        for each in () if is_named else folders:
            if allows((*own, *self.allow), each) is None:
                told = f"{place.text!r} may not be read: a part of it is outside of the folders that are allowed"
                raise Forbidden(f"{told} (a link, a worktree, or objects that it borrows).")
        return folders[0].text

    def known(self, text: str, *, depth: int | None, token: str) -> Wanted:
        """A repository that was allowed when it was opened, by the text of its place."""
        protocol = "https" if text.startswith("https://") else "http" if text.startswith("http://") else "file"
        limits = msgspec.structs.replace(self._limits, depth=depth)
        return Wanted(place=Place(text=text, protocol=protocol), limits=limits, token=token)

    async def reading(self, wanted: Wanted, commit: str, *, own: Sequence[str]) -> Reading:
        """What stands in a repository at a commit, which is fetched again where its copy is gone.

        Raises Forbidden, InvalidRequest, ToolFailed and ToolTimeout.
        """
        if not await self.clones.has(wanted, commit):
            _, address = await self.place(wanted.place.text, own)
            again = msgspec.structs.replace(wanted, address=address)
            await self.clones.commit(again, commit, refresh_s=0.0, is_known=True)
        return Reading(self.git, await asyncio.to_thread(self.clones.path, wanted), commit)

    def _home(self) -> Path:
        if self._folder is None:
            if self._given is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="runwright-repositories-")
            folder = Path(self._temporary.name) if self._temporary else Path(self._given or "")
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder = folder.resolve()
        return self._folder


def _refusal(text: str) -> str:
    return (
        f"{text!r} may not be read: whoever runs the server allows it with the setting repositories.allow, "
        "or names it in the definition of an agent in a file."
    )

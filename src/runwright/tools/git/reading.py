"""What stands in a repository at a commit, as text for a model. Paths and patterns are anybody's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
from pydantic import Field

from runwright.errors import ToolFailed
from runwright.tools.git.clones import is_reachable, resolved
from runwright.tools.git.command import Ask, Git
from runwright.tools.git.names import shown, taken

FILE_BYTES: Final = 2_000_000
"""Bytes of a file that is read, searched or blamed."""

READ_LINES: Final = 400
BLAME_LINES: Final = 200
ENTRIES: Final = 500
MATCHES: Final = 100
COMMITS: Final = 50
LINE: Final = 400
"""Characters of one line that are shown."""

TEXT: Final = 60_000
"""Characters of one result."""

LISTED: Final = 20_000_000
"""Bytes of git's list of files: some hundred thousand files."""

SKIPPED_AT_MOST: Final = 200
SNIFFED: Final = 8000
"""Bytes in which a zero says that a file is no text, as git says it."""

UNROLLED: Final = 2_000
"""Parts of an expression whose counts are written out, as git does it before it searches."""

_PARTS = re.compile(r"\\.|\[\^?\]?(?:\[:\w+:\]|[^\]])*\]|\{(\d*),?(\d*)\}|.", re.DOTALL)
_RECORD = "\x1e"

Start = Annotated[int, Field(ge=1)]


class Entry(msgspec.Struct, frozen=True):
    """A line of a tree. `size` is -1 for what has none."""

    mode: bytes
    oid: str
    size: int
    path: bytes

    @property
    def is_folder(self) -> bool:
        """Whether it holds others."""
        return self.mode == b"040000"

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link, which is never followed."""
        return self.mode == b"120000"

    @property
    def is_foreign(self) -> bool:
        """Whether it is a commit of another repository."""
        return self.mode == b"160000"


class Reading:
    """A repository at a commit. Raises ToolFailed for what is not there, or is no text."""

    def __init__(self, git: Git, copy: Path, commit: str) -> None:
        self._git = git
        self._copy = copy
        self.commit = commit

    async def tree(self, path: str = "", depth: Annotated[int, Field(ge=1, le=10)] = 1) -> str:
        """List the files and folders of the repository.

        Args:
            path: A folder; the root when left out.
            depth: Levels of folders to show.
        """
        root = taken(path)
        if root:
            entry = await self._entry(root)
            if not entry.is_folder:
                return _line(entry, await self._target(entry))
        base = root.count(b"/") + 1 if root else 0
        kept = await self._list(root, is_recursive=depth > 1, keep=lambda each: each.path.count(b"/") - base < depth)
        lines = [_line(each) for each in kept[:ENTRIES]]
        if len(kept) > ENTRIES:
            lines.append(f"... and {len(kept) - ENTRIES:,} more: name a folder.")
        return "\n".join(lines) or "The folder is empty."

    async def read(self, path: str, start: Start = 1, lines: Annotated[int, Field(ge=1, le=READ_LINES)] = 200) -> str:
        """Read lines of a file, each with its number.

        Args:
            path: The file, from the root of the repository.
            start: The first line.
            lines: How many lines.
        """
        entry, data = await self.file(path)
        rows = await asyncio.to_thread(split, data)
        if not rows:
            return f"{shown(entry.path)} is empty."
        if start > len(rows):
            raise ToolFailed(f"{shown(entry.path)} has {len(rows):,} lines: there is no line {start:,}.")
        chosen = rows[start - 1 : start - 1 + lines]
        last = start + len(chosen) - 1
        head = f"{shown(entry.path)}, lines {start}-{last} of {len(rows):,}"
        return _joined([head, *(f"{start + index}: {_cut(row)}" for index, row in enumerate(chosen))])

    async def search(
        self, text: Annotated[str, Field(min_length=1, max_length=500)], path: str = "", regex: bool = False
    ) -> str:
        """Find lines that contain a text, in all files or below a path.

        Args:
            text: What to look for, in any case of letters.
            path: A folder or file to look in; everywhere when left out.
            regex: Whether the text is a POSIX extended regular expression.
        """
        if "\n" in text or "\0" in text:
            raise ToolFailed("A search is for text within one line.")
        if regex and unrolled(text) > UNROLLED:
            raise ToolFailed(
                f"{text!r} repeats too much: with its counts written out it has more than {UNROLLED:,} parts."
            )
        root = taken(path)
        if root:
            await self._entry(root)
        skipped = await self._list(root, is_recursive=True, keep=lambda each: each.size > FILE_BYTES)
        if len(skipped) > SKIPPED_AT_MOST:
            raise ToolFailed(f"{len(skipped):,} files are larger than {FILE_BYTES:,} bytes: search below a path.")
        where: list[str | bytes] = [b":(top,literal)" + root if root else b":(top)"]
        where += [b":(top,exclude,literal)" + each.path for each in skipped]
        kind = "--extended-regexp" if regex else "--fixed-strings"
        done = await self._git.run(
            self._copy,
            *("grep", "-z", "-n", "-I", "-i", "--no-color", "--threads=1", f"--max-count={MATCHES}", kind),
            *("-e", text, self.commit, "--", *where),
            ask=Ask(limit=MATCHES * 4_000),
        )
        if done.status > 1:
            raise ToolFailed(f"The search failed: {done.told or 'git gave no reason'}")
        lines = await asyncio.to_thread(_matches, done.out, len(self.commit) + 1)
        found = lines[:MATCHES]
        if len(lines) > MATCHES or done.is_cut:
            found.append(f"... only the first {len(found)} are shown: search below a path, or for more.")
        found += [f"{shown(each.path)} was not searched: it has {each.size:,} bytes." for each in skipped[:5]]
        return _joined(found) if found else f"No line contains {text!r}."

    async def log(self, path: str = "", limit: Annotated[int, Field(ge=1, le=COMMITS)] = 20) -> str:
        """List commits, the latest first: hash, date, author and subject.

        Args:
            path: Only commits that changed this file or folder.
            limit: How many commits.
        """
        root = taken(path)
        done = await self._run(
            *("log", f"--max-count={limit + 1}", "--no-color", "--no-decorate", "--no-ext-diff", "--no-textconv"),
            *("--format=%h %as %aN: %s%x1e", self.commit, "--", *([root] if root else [])),
        )
        lines = [_cut(line.strip()) for line in _text(done).split(_RECORD) if line.strip()]
        if len(lines) > limit:
            lines[limit:] = ["... there are earlier ones."]
        return _joined(lines) if lines else f"No commit changed {shown(root)}."

    async def blame(self, path: str, start: Start = 1, lines: Annotated[int, Field(ge=1, le=BLAME_LINES)] = 40) -> str:
        """Say for lines of a file which commit changed each last.

        Args:
            path: The file.
            start: The first line.
            lines: How many lines.
        """
        entry, data = await self.file(path)
        count = len(await asyncio.to_thread(split, data))
        if start > count:
            raise ToolFailed(f"{shown(entry.path)} has {count:,} lines: there is no line {start:,}.")
        last = min(count, start + lines - 1)
        done = await self._run(
            *("blame", "--no-progress", "--line-porcelain", "--no-textconv"),
            *("-L", f"{start},{last}", self.commit, "--", entry.path),
        )
        return _joined(_blamed(done))

    async def diff(self, base: str, path: str = "", commit: str = "") -> str:
        """Show what changed between two commits.

        Args:
            base: The earlier commit: a hash, HEAD~3, a branch or a tag.
            path: Only this file or folder.
            commit: The later commit; the one that is read when left out.
        """
        root = taken(path)
        earlier, later = await self.named(base), await self.named(commit) if commit else self.commit
        done = await self._git.run(
            self._copy,
            *("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--submodule=short", "--stat=100", "--patch"),
            *(earlier, later, "--", *([root] if root else [])),
            ask=Ask(limit=TEXT),
        )
        if done.status:
            raise ToolFailed(f"The difference cannot be shown: {done.told}")
        lines = [_cut(line) for line in _text(done.out).split("\n")]
        head = f"From {earlier[:10]} to {later[:10]}:"
        cut = ["... there is more: name a path."] if done.is_cut else []
        return _joined([head, *lines, *cut]) if done.out else f"{head} nothing changed."

    async def file(self, path: str) -> tuple[Entry, bytes]:
        """A file that is text, and not too large."""
        entry = await self._entry(taken(path))
        name = shown(entry.path)
        if entry.is_folder:
            raise ToolFailed(f"{name} is a folder: list it with `tree`.")
        if entry.is_link:
            raise ToolFailed(f"{name} is a symbolic link{await self._target(entry)}: read what it points to.")
        if entry.is_foreign:
            raise ToolFailed(f"{name} is a submodule: commit {entry.oid[:10]} of another repository.")
        if entry.size > FILE_BYTES:
            raise ToolFailed(f"{name} has {entry.size:,} bytes, and files up to {FILE_BYTES:,} are read.")
        data = await self._run("cat-file", "blob", entry.oid, limit=FILE_BYTES)
        if b"\0" in data[:SNIFFED]:
            raise ToolFailed(f"{name} is binary ({entry.size:,} bytes): it is not shown.")
        return entry, data

    async def named(self, text: str) -> str:
        """The commit that a hash, `HEAD~3`, a branch or a tag stands for."""
        name, tail = _split_name(text)
        names = [self.commit] if name == "HEAD" else [f"refs/heads/{name}", f"refs/tags/{name}"]
        for each in names:
            if found := await resolved(self._git, self._copy, f"{each}{tail}"):
                return found
        found = await resolved(self._git, self._copy, text)
        # The copy may hold what was thrown away, or what a record of another run named.
        if found and await is_reachable(self._git, self._copy, found, self.commit):
            return found
        raise ToolFailed(f"There is no commit {text!r}: name a hash, HEAD~3, a branch or a tag.")

    async def lines_of(self, path: str) -> Sequence[str]:
        """The lines of a text file."""
        return await asyncio.to_thread(split, (await self.file(path))[1])

    async def _entry(self, path: bytes) -> Entry:
        if not path:
            return Entry(b"040000", "", -1, b"")
        found = _entries(await self._run("ls-tree", "-z", "-l", "--full-tree", self.commit, "--", path))
        entry = next((each for each in found if each.path == path), None)
        if entry is None:
            raise ToolFailed(await self._absent(path))
        return entry

    async def _absent(self, path: bytes) -> str:
        """Why there is nothing at a path."""
        parts = path.split(b"/")
        for count in range(1, len(parts)):
            above = b"/".join(parts[:count])
            found = _entries(await self._run("ls-tree", "-z", "-l", "--full-tree", self.commit, "--", above))
            entry = next((each for each in found if each.path == above), None)
            if entry is not None and entry.is_link:
                return f"There is no {shown(path)}: {shown(above)} is a symbolic link{await self._target(entry)}."
            if entry is None or not entry.is_folder:
                break
        return f"There is no {shown(path)} at commit {self.commit[:10]}: look with `tree` or `search`."

    async def _list(self, root: bytes, *, is_recursive: bool, keep: Callable[[Entry], bool]) -> list[Entry]:
        """What stands below a folder, or a file itself, as far as it is to be kept."""
        depth = ("-r", "-t") if is_recursive else ()
        below = root + b"/" if root and (await self._entry(root)).is_folder else root
        where = (below,) if below else ()
        done = await self._git.run(
            self._copy, "ls-tree", "-z", "-l", "--full-tree", *depth, self.commit, "--", *where, ask=Ask(limit=LISTED)
        )
        if done.is_cut:
            raise ToolFailed("There are too many files to list: name a folder.")
        # There may be some hundred thousand, which takes too long for the event loop.
        found = await asyncio.to_thread(lambda: [each for each in _entries(done.out) if keep(each)])
        return [each for each in found if each.path != root or not each.is_folder]

    async def _target(self, entry: Entry) -> str:
        """Where a symbolic link points, which is text of the repository like any other."""
        if not entry.is_link or entry.size > LINE:
            return ""
        return f" to {shown(await self._run('cat-file', 'blob', entry.oid))}"

    async def _run(self, *arguments: str | bytes, limit: int = 1_000_000) -> bytes:
        done = await self._git.run(
            self._copy, *arguments, ask=Ask(limit=limit, environment={"GIT_LITERAL_PATHSPECS": "1"})
        )
        if done.status:
            raise ToolFailed(f"git {arguments[0]!s} failed: {done.told}")
        return done.out


def split(data: bytes) -> list[str]:
    """Lines as git counts them; what is no UTF-8 is replaced."""
    rows = data.decode("utf-8-sig", errors="replace").split("\n")
    return [row.removesuffix("\r") for row in (rows[:-1] if not rows[-1] else rows)]


def unrolled(expression: str) -> int:
    """The parts of a regular expression whose counts are written out: `(a{3}b){2}` has eight."""
    groups, last = [0], 0
    for part in _PARTS.finditer(expression):
        if part[0] == "(":
            groups.append(0)
        elif part[0] == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
        elif part[1] is not None:
            count = max(1, int(part[1] or 0), int(part[2] or 0))
            groups[-1] += last * (count - 1)
            last *= count
        elif part[0] not in "*+?":
            last = 1
            groups[-1] += 1
    return sum(groups)


def _split_name(text: str) -> tuple[str, str]:
    """A name of a commit, and the steps back from it."""
    name = text.rstrip("~^0123456789") if "~" in text or "^" in text else text
    tail = text[len(name) :]
    if tail and tail[0] not in "~^":
        # A digit that belongs to the name.
        cut = min(place for place in (text.find("~"), text.find("^")) if place >= 0)
        name, tail = text[:cut], text[cut:]
    if not name or name.startswith("-") or any(sign in name for sign in "~^:\0 @{?*[\\") or ".." in name:
        raise ToolFailed(f"{text!r} names no commit: name a hash, HEAD~3, a branch or a tag.")
    return name, tail


def _entries(listed: bytes) -> list[Entry]:
    found: list[Entry] = []
    for row in listed.split(b"\0"):
        if not row:
            continue
        about, _, path = row.partition(b"\t")
        mode, _, oid, size = about.split()
        found.append(Entry(mode, oid.decode(), -1 if size == b"-" else int(size), path))
    return found


def _line(entry: Entry, target: str = "") -> str:
    name = shown(entry.path)
    if entry.is_folder:
        return f"{name}/"
    if entry.is_link:
        return f"{name} (symbolic link{target})"
    return f"{name} (submodule)" if entry.is_foreign else f"{name} ({entry.size:,} bytes)"


def _matches(out: bytes, prefix: int) -> list[str]:
    """Lines as `path:line: text`, from what `git grep -z` writes; a path may hold the end of a line."""
    found: list[str] = []
    while out:
        path, _, rest = out.partition(b"\0")
        number, _, rest = rest.partition(b"\0")
        text, _, out = rest.partition(b"\n")
        if number:
            found.append(f"{shown(path[prefix:])}:{number.decode()}: {_cut(_text(text).rstrip())}")
    return found


def _blamed(out: bytes) -> list[str]:
    """Lines as `line: hash date author | text`, from what `git blame --line-porcelain` writes."""
    found: list[str] = []
    commit, line, author, day = "", "", "", ""
    for row in _text(out).split("\n"):
        word, _, rest = row.partition(" ")
        if row.startswith("\t"):
            found.append(f"{line}: {commit[:10]} {day} {author} | {_cut(row[1:])}")
        elif word == "author":
            author = rest
        elif word == "author-time":
            day = _day(rest)
        elif len(word) in (40, 64) and len(rest.split()) >= 2:
            commit, line = word, rest.split()[1]
    return found


def _day(seconds: str) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).date().isoformat()


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _cut(line: str) -> str:
    return line if len(line) <= LINE else f"{line[:LINE]}... ({len(line) - LINE:,} characters more)"


def _joined(lines: Iterable[str]) -> str:
    """Lines up to the characters of one result."""
    kept: list[str] = []
    left = TEXT
    for line in lines:
        left -= len(line) + 1
        if left < 0:
            kept.append("... the rest is left out: ask for less.")
            break
        kept.append(line)
    return "\n".join(kept)

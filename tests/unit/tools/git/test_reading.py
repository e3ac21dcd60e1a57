"""What stands in a repository at a commit, whatever its files are called and hold."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from runwright.errors import ToolFailed
from runwright.tools.git import reading
from runwright.tools.git.command import Ask, Done, Git
from runwright.tools.git.reading import Reading, split, unrolled
from tests.unit.tools.git.making import ENVIRONMENT, Origin

STRANGE = "caf\udce9\n.txt"
QUOTED = '"caf\\351\\n.txt"'


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    """A repository with files of every kind."""
    made = Origin(tmp_path_factory.mktemp("origin") / "site")
    made.commit("Begin", src__app_dot_py="import os\n\nprint('Hello')\n", README_dot_md="# Site\n")
    (made.path / "src" / "link").symlink_to("../../../etc/passwd")
    (made.path / "lib").symlink_to("src")
    (made.path / STRANGE).write_text("odd\n")
    (made.path / "-n").write_text("dash\n")
    (made.path / "latin.txt").write_bytes("d\u00e9j\u00e0 vu\r\n".encode("latin-1"))
    (made.path / "empty").touch()
    (made.path / "vendor").mkdir()
    made.commit("Add strange files", image_dot_png=b"\x89PNG\0\0", wide_dot_txt="x" * 1000 + "\n")
    made.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendor")
    made.git("commit", "--quiet", "--message", "A submodule")
    made.git("tag", "v1")
    made.commit("Greet the world", src__app_dot_py="import os\n\nprint('Hello, world')\n")
    return made


@pytest.fixture
def read(origin: Origin, tmp_path: Path) -> Reading:
    """That repository at its last commit, read where it is."""
    return Reading(Git(lambda: tmp_path), origin.path / ".git", origin.git("rev-parse", "main"))


async def test_the_tree_is_listed(read: Reading) -> None:
    """Files have sizes, folders a slash, links and submodules are called so, and strange names are quoted."""
    assert (await read.tree()).split("\n") == [
        "-n (5 bytes)",
        "README.md (7 bytes)",
        QUOTED + " (4 bytes)",
        "empty (0 bytes)",
        "image.png (6 bytes)",
        "latin.txt (9 bytes)",
        "lib (symbolic link)",
        "src/",
        "vendor (submodule)",
        "wide.txt (1,001 bytes)",
    ]
    assert (await read.tree("src/")).split("\n") == ["src/app.py (33 bytes)", "src/link (symbolic link)"]
    assert "src/app.py (33 bytes)" in await read.tree(depth=2)
    assert await read.tree("lib") == "lib (symbolic link to src)"


async def test_lines_are_read_with_their_numbers(read: Reading) -> None:
    """A file is read from any line; its head says which lines these are, and a long line is cut."""
    assert await read.read("src/app.py", start=2, lines=2) == (
        "src/app.py, lines 2-3 of 3\n2: \n3: print('Hello, world')"
    )
    assert await read.read("/./src//app.py", lines=1) == "src/app.py, lines 1-1 of 3\n1: import os"
    assert await read.read("empty") == "empty is empty."
    assert (await read.read("wide.txt")).endswith("x... (600 characters more)")
    assert await read.read("latin.txt") == "latin.txt, lines 1-1 of 1\n1: d\ufffdj\ufffd vu"
    assert await read.read("-n") == "-n, lines 1-1 of 1\n1: dash"
    assert await read.read(QUOTED) == f"{QUOTED}, lines 1-1 of 1\n1: odd"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("../../etc/passwd", "leads out of the repository"),
        ("src/../../x", "leads out of the repository"),
        ("/etc/passwd", "There is no etc/passwd at commit"),
        ("src/link", "is a symbolic link to ../../../etc/passwd"),
        ("lib/app.py", "lib is a symbolic link to src"),
        ("src", "is a folder"),
        ("vendor", "is a submodule: commit 1111111111"),
        ("image.png", "is binary (6 bytes)"),
        ("src/*.py", "There is no src/*.py"),
        (":(top)src/app.py", "There is no :(top)src/app.py"),
        ("a\0b", "is no path"),
        ("", "is a folder"),
    ],
    ids=range(12),
)
async def test_what_is_no_text_file_is_not_shown(read: Reading, path: str, told: str) -> None:
    """Nothing outside of the repository is reached, no link is followed, and the reason is told."""
    with pytest.raises(ToolFailed) as error:
        await read.read(path)
    assert told in error.value.message


async def test_lines_beyond_the_end_are_refused(read: Reading) -> None:
    """Whoever asks for a line after the last is told how many there are."""
    for ask in (read.read, read.blame):
        with pytest.raises(ToolFailed, match="has 3 lines: there is no line 4"):
            await ask("src/app.py", start=4)


async def test_lines_are_searched(read: Reading) -> None:
    """Matches are cited as path and line; patterns and paths are no options, and a wrong pattern is told."""
    assert await read.search("hello") == "src/app.py:3: print('Hello, world')"
    assert await read.search("^import.os$", regex=True) == "src/app.py:1: import os"
    assert await read.search("^import.os$") == "No line contains '^import.os$'."
    assert await read.search("--all") == "No line contains '--all'."
    assert await read.search("odd") == f"{QUOTED}:1: odd"
    assert await read.search("hello", path="README.md") == "No line contains 'hello'."
    assert await read.search("dash", path="-n") == "-n:1: dash"
    with pytest.raises(ToolFailed, match="search failed"):
        await read.search("(", regex=True)
    with pytest.raises(ToolFailed, match="within one line"):
        await read.search("a\nb")


async def test_history_is_listed(read: Reading) -> None:
    """The latest commits come first, for all files or for one."""
    assert [line.split(" ", 1)[1] for line in (await read.log()).split("\n")] == [
        "2026-01-03 Ada: Greet the world",
        "2026-01-03 Ada: A submodule",
        "2026-01-02 Ada: Add strange files",
        "2026-01-01 Ada: Begin",
    ]
    of_one = (await read.log("src/app.py", limit=1)).split("\n")
    assert (of_one[0].split(" ", 1)[1], of_one[1]) == (
        "2026-01-03 Ada: Greet the world",
        "... there are earlier ones.",
    )
    assert await read.log("nowhere") == "No commit changed nowhere."


async def test_lines_are_blamed(read: Reading, origin: Origin) -> None:
    """Each line has the commit that changed it last."""
    first, last = origin.git("rev-parse", "main~3")[:10], read.commit[:10]
    assert await read.blame("src/app.py") == (
        f"1: {first} 2026-01-01 Ada | import os\n2: {first} 2026-01-01 Ada | \n"
        f"3: {last} 2026-01-03 Ada | print('Hello, world')"
    )


async def test_commits_are_compared(read: Reading) -> None:
    """What changed is shown, between commits that are named in any usual way."""
    for base in ("HEAD~1", "v1", "main^", read.commit + "~1"):
        told = await read.diff(base)
        assert "-print('Hello')\n+print('Hello, world')" in told, base
    assert (await read.diff("v1", path="README.md")).endswith("nothing changed.")
    assert "image.png" in await read.diff("v1~2", commit="v1")


@pytest.mark.parametrize(
    "name", ["--output=/tmp/x", "main:README.md", "main..v1", "@{0}", "", "nobody", "^main", "a b"]
)
async def test_what_names_no_commit_is_refused(read: Reading, name: str) -> None:
    """A commit is no option, no range and no file."""
    with pytest.raises(ToolFailed, match="commit"):
        await read.diff(name)


async def test_large_files_are_left_alone(read: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file beyond the bound is neither read nor searched, and that is told."""
    monkeypatch.setattr(reading, "FILE_BYTES", 500)
    with pytest.raises(ToolFailed, match=r"wide\.txt has 1,001 bytes"):
        await read.read("wide.txt")
    assert await read.search("xxx") == "wide.txt was not searched: it has 1,001 bytes."


async def test_results_have_a_bound(read: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that would be too long ends with what to do."""
    monkeypatch.setattr(reading, "TEXT", 60)
    assert (await read.tree() and await read.log()).endswith("... the rest is left out: ask for less.")
    monkeypatch.setattr(reading, "ENTRIES", 2)
    assert (await read.tree()).endswith("more: name a folder.")


async def test_no_program_of_the_repository_is_run(origin: Origin, tmp_path: Path) -> None:
    """Attributes and configuration that name programs are passed over."""
    mark = tmp_path / "ran"
    hostile = Origin(tmp_path / "hostile")
    hostile.commit("One", _dot_gitattributes="* diff=evil filter=evil\n", a_dot_txt="a\n")
    commit = hostile.commit("Two", a_dot_txt="b\n")
    copy = tmp_path / "copy.git"
    home = tmp_path / "home"
    home.mkdir()
    git = Git(lambda: home)
    await git.run(None, "init", "--quiet", "--bare", str(copy))
    for name in ("diff.evil.command", "diff.evil.textconv", "filter.evil.smudge", "core.fsmonitor", "core.pager"):
        hostile.git("config", name, f"touch {mark}")
        hostile.git("--git-dir", str(copy), "config", name, f"touch {mark}")
    hostile.git("push", "--quiet", str(copy), "main")
    read = Reading(git, copy, commit)
    asked: list[Callable[[], Awaitable[str]]] = [
        lambda: read.diff("HEAD~1"),
        lambda: read.blame("a.txt"),
        read.log,
        lambda: read.search("b"),
    ]
    for each in asked:
        assert await each()
    assert not os.path.exists(mark)


def test_lines_are_counted_as_git_does() -> None:
    """A last line without an end is a line, and other signs that break lines elsewhere do not."""
    assert split(b"") == []
    assert split(b"a\nb") == split(b"a\r\nb\n") == ["a", "b"]
    assert split("\ufeffa\u2028b\x0cc\n".encode()) == ["a\u2028b\x0cc"]


@pytest.mark.parametrize(
    ("expression", "count"),
    [
        ("(a{3}b){2}", 8),
        (r"([0-9]{1,3}\.){3}", 12),
        ("a{2}{3}", 6),
        (r"[]{}]\{9\}x*", 5),
        ("(a|b)+{,4}", 12),
        (")(", 1),
    ],
)
def test_counts_are_written_out(expression: str, count: int) -> None:
    """The size of an expression is told as the search would have it."""
    assert unrolled(expression) == count


async def test_an_expression_that_would_fill_the_memory_is_refused(read: Reading) -> None:
    """Counts within counts multiply: what a model writes in a line would take gigabytes."""
    with pytest.raises(ToolFailed, match="repeats too much"):
        await read.search("((a{255}){255}){10}", regex=True)
    assert await read.search("(l{1,2}.?){1,30}, world", regex=True) == "src/app.py:3: print('Hello, world')"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the address space has no limit")
async def test_memory_of_git_is_bounded(origin: Origin, tmp_path: Path) -> None:
    """A git that wants more memory than it may have ends, and the error says so."""
    git = Git(lambda: tmp_path)
    expression = ("grep", "-E", "-i", "-e", "((a{255}){255}){10}", "main")
    with pytest.raises(ToolFailed, match="needs more than 100 MiB"):
        await git.run(origin.path / ".git", *expression, ask=Ask(memory=100 << 20))


class Small(Git):
    """Git with little memory."""

    async def run(self, folder: Path | None, *arguments: str | bytes, ask: Ask | None = None) -> Done:
        """Run a command."""
        return await super().run(folder, *arguments, ask=msgspec.structs.replace(ask or Ask(), memory=100 << 20))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the address space has no limit")
async def test_a_bomb_of_trees_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders that hold each other tenfold, of which git keeps one each, are refused, whatever asks for all of them."""
    monkeypatch.setattr(reading, "LISTED", 100_000)
    origin = Origin(tmp_path / "bomb")
    origin.commit("Begin")
    (tmp_path / "f").write_text("hi\n")
    blob = origin.git("hash-object", "-w", str(tmp_path / "f"))
    rows = "".join(f"100644 blob {blob}\tf{number}\n" for number in range(10))
    for _ in range(9):
        tree = _tree(origin, rows)
        rows = "".join(f"040000 tree {tree}\td{number}\n" for number in range(10))
    commit = origin.git("commit-tree", "-p", "HEAD", "-m", "Bomb", _tree(origin, rows))
    read = Reading(Small(lambda: tmp_path), origin.path / ".git", commit)
    with pytest.raises(ToolFailed, match="git diff needs more than 100 MiB of memory"):
        await read.diff("HEAD~1")
    for asked in (read.tree(depth=10), read.search("hi")):
        with pytest.raises(ToolFailed, match="too many files to list"):
            await asked
    assert (await read.tree()).startswith("d0/")


def _tree(origin: Origin, rows: str) -> str:
    made = subprocess.run(
        ["git", "mktree"], cwd=origin.path, env=ENVIRONMENT, input=rows.encode(), check=True, capture_output=True
    )
    return made.stdout.decode().strip()


class Listed(bytes):
    """A list of files that says in which thread it is read."""

    threads: ClassVar[list[threading.Thread]] = []

    def split(self, sep: Any = None, maxsplit: Any = -1) -> list[bytes]:
        """Its lines."""
        self.threads.append(threading.current_thread())
        return super().split(sep, maxsplit)


class Listing(Git):
    """Git whose lists of files can be watched."""

    async def run(self, folder: Path | None, *arguments: str | bytes, ask: Ask | None = None) -> Done:
        """Run a command."""
        done = await super().run(folder, *arguments, ask=ask)
        return msgspec.structs.replace(done, out=Listed(done.out)) if arguments[0] == "ls-tree" else done


async def test_lists_of_files_are_read_beside_the_event_loop(origin: Origin, tmp_path: Path) -> None:
    """A list of some hundred thousand files would hold up all other runs."""
    read = Reading(Listing(lambda: tmp_path), origin.path / ".git", origin.git("rev-parse", "main"))
    await read.tree(depth=2)
    await read.search("Hello")
    assert len(Listed.threads) == 2
    assert threading.main_thread() not in Listed.threads

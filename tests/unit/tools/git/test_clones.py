"""Copies of repositories: what is fetched when, and what bounds it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from runwright.errors import ToolError, ToolFailed, ToolTimeout
from runwright.tools.git.clones import CloneLimits, Clones, Wanted
from runwright.tools.git.command import Ask, Git
from runwright.tools.git.places import Place
from runwright.tools.git.reading import Reading
from tests.unit.tools.git.making import Origin


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    """A repository with one commit."""
    made = Origin(tmp_path / "origin")
    made.commit("Begin", a_dot_txt="1\n")
    return made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where copies stand."""
    made = tmp_path / "copies"
    made.mkdir()
    return made


def _clones(home: Path) -> Clones:
    return Clones(Git(lambda: home), lambda: home)


def _wanted(origin: Origin, **limits: object) -> Wanted:
    return Wanted(place=Place(text=str(origin.path), protocol="file"), limits=msgspec.convert(limits, CloneLimits))


async def test_a_ref_is_a_commit(origin: Origin, home: Path) -> None:
    """Branches, tags, hashes and the beginnings of hashes are found; nothing named means what is checked out."""
    first = origin.git("rev-parse", "HEAD")
    origin.git("tag", "--annotate", "v1", "--message", "One")
    origin.git("branch", "feature/x")
    last = origin.commit("More", a_dot_txt="2\n")
    clones, wanted = _clones(home), _wanted(origin)
    for ref, commit in ((None, last), ("main", last), ("feature/x", first), ("v1", first), (first, first)):
        assert await clones.commit(wanted, ref, refresh_s=0) == commit, ref
    assert await clones.commit(wanted, first[:10], refresh_s=60) == first


@pytest.mark.parametrize("ref", ["--upload-pack=id", "a..b", "a:b", "@{1}", "", "a b", "nobody", "0" * 40, "HEAD~1"])
async def test_what_is_no_ref_is_refused(origin: Origin, home: Path, ref: str) -> None:
    """No option, range or expression is taken, and a name that is not there is told."""
    with pytest.raises(ToolError, match=r"no name of a branch|has no branch|cannot be fetched"):
        await _clones(home).commit(_wanted(origin), ref, refresh_s=60)


async def test_a_commit_stays_though_the_branch_moves(origin: Origin, home: Path) -> None:
    """What was read once is there although the branch was thrown away; a new commit is seen when it is time to look."""
    clones, wanted = _clones(home), _wanted(origin)
    first = await clones.commit(wanted, None, refresh_s=0)
    origin.git("checkout", "--quiet", "--orphan", "other")
    last = origin.commit("Other", a_dot_txt="9\n")
    origin.git("branch", "--delete", "--force", "main")
    origin.git("reflog", "expire", "--expire=now", "--all")
    origin.git("gc", "--quiet", "--prune=now")
    assert await clones.commit(wanted, None, refresh_s=3600) == first
    assert await clones.commit(wanted, None, refresh_s=0) == last
    assert await clones.has(wanted, first)
    with pytest.raises(ToolFailed, match="none that leads to such a commit"):
        await clones.commit(wanted, first, refresh_s=0)
    assert await clones.commit(wanted, first, refresh_s=0, is_known=True) == first
    read = Reading(Git(lambda: home), clones.path(wanted), first)
    assert await read.read("a.txt") == "a.txt, lines 1-1 of 1\n1: 1"


async def test_what_no_branch_leads_to_is_given_for_a_known_hash_alone(origin: Origin, home: Path) -> None:
    """A hash that anybody names stands for what branches and tags lead to: hosts give what was thrown away, too."""
    thrown = origin.commit("Secret", a_dot_txt="password\n")
    origin.git("reset", "--quiet", "--hard", "HEAD~1")
    last = origin.commit("Clean", a_dot_txt="2\n")
    clones, wanted = _clones(home), _wanted(origin)
    for refused in (thrown, thrown[:10]):
        with pytest.raises(ToolFailed, match="none that leads to such a commit"):
            await clones.commit(wanted, refused, refresh_s=0)
    assert await clones.commit(wanted, thrown, refresh_s=0, is_known=True) == thrown
    # Now the copy has it, for runs that were told of it; others still find nothing.
    with pytest.raises(ToolFailed, match="none that leads to such a commit"):
        await clones.commit(wanted, thrown[:10], refresh_s=0)
    clean = Reading(Git(lambda: home), clones.path(wanted), last)
    with pytest.raises(ToolFailed, match="There is no commit"):
        await clean.diff(thrown)
    assert "password" in await Reading(Git(lambda: home), clones.path(wanted), thrown).diff("HEAD~1")


async def test_many_ask_at_once(origin: Origin, home: Path) -> None:
    """Copies are fetched by one after the other, in one process or several."""
    wanted = _wanted(origin)
    found = await asyncio.gather(*(_clones(home).commit(wanted, None, refresh_s=60) for _ in range(5)))
    assert set(found) == {origin.git("rev-parse", "HEAD")}


async def test_what_a_killed_process_left_is_swept(origin: Origin, home: Path) -> None:
    """Locks and half of a pack that a killed git left hinder nobody."""
    clones, wanted = _clones(home), _wanted(origin)
    await clones.commit(wanted, None, refresh_s=0)
    copy = clones.path(wanted)
    (copy / "objects" / "pack").mkdir(exist_ok=True)
    for name in ("packed-refs.lock", "shallow.lock", "refs/heads/main.lock", "objects/pack/tmp_pack_x"):
        (copy / name).touch()
    last = origin.commit("More", a_dot_txt="2\n")
    assert await clones.commit(wanted, None, refresh_s=0) == last
    assert not list(copy.glob("**/*.lock"))


async def test_a_copy_has_a_bound(origin: Origin, home: Path) -> None:
    """A repository that is too large is not kept, and that says what to do."""
    origin.commit("Large", **{"big.bin": bytes(range(256)) * 4096})
    clones = _clones(home)
    with pytest.raises(ToolFailed, match="larger than 2,000 bytes: set a `depth`"):
        await clones.commit(_wanted(origin, bytes=2000), None, refresh_s=0)


async def test_copies_have_a_bound_together(tmp_path: Path, home: Path) -> None:
    """Those that were not read for longest make room; what is read now stays, and a fetch is refused for it."""
    copies: list[Wanted] = []
    for name in ("a", "b", "c"):
        made = Origin(tmp_path / name)
        made.commit("Begin", data=os.urandom(5000))
        copies.append(_wanted(made))
    clones = Clones(Git(lambda: home), lambda: home, total=9000)
    first, second, third = copies
    await clones.commit(first, None, refresh_s=0)
    await clones.commit(second, None, refresh_s=0)
    with pytest.raises(ToolFailed, match=r"in use take 1\d,\d\d\d bytes of 9,000.*repositories\.total"):
        await clones.commit(third, None, refresh_s=0)
    for age, each in ((2000, second), (1000, first)):
        at = (clones.path(each) / "used").stat().st_mtime - age
        os.utime(clones.path(each) / "used", (at, at))
    commit = await clones.commit(third, None, refresh_s=0)
    assert [clones.path(each).is_dir() for each in copies] == [True, False, True]
    assert await clones.has(third, commit)
    assert not list(home.glob("*.gone"))
    await clones.commit(second, None, refresh_s=0)
    assert [clones.path(each).is_dir() for each in copies] == [False, True, True]


async def test_history_can_be_cut(origin: Origin, home: Path) -> None:
    """With a depth, only the latest commits are fetched, and later ones are added."""
    for count in range(5):
        origin.commit(f"Change {count}")
    clones, wanted = _clones(home), _wanted(origin, depth=2)
    commit = await clones.commit(wanted, None, refresh_s=0)
    git = Git(lambda: home)
    assert len((await Reading(git, clones.path(wanted), commit).log()).split("\n")) == 2
    commit = await clones.commit(wanted, origin.commit("Last"), refresh_s=0)
    assert len((await Reading(git, clones.path(wanted), commit).log()).split("\n")) == 3


async def test_what_is_no_repository_says_so(tmp_path: Path, home: Path) -> None:
    """A folder without a repository, and one without a commit, are told."""
    plain = tmp_path / "plain"
    plain.mkdir()
    wanted = Wanted(place=Place(text=str(plain), protocol="file"))
    with pytest.raises(ToolFailed, match=r"cannot be fetched: fatal: .*does not appear to be a git repository"):
        await _clones(home).commit(wanted, None, refresh_s=0)
    with pytest.raises(ToolFailed, match="cannot be fetched"):
        await _clones(home).commit(_wanted(Origin(tmp_path / "fresh")), None, refresh_s=0)


async def test_copies_with_a_token_are_apart() -> None:
    """Who has no token, or another one, reads nothing that was fetched with it."""
    place = Place(text="https://git.example/x", protocol="https")
    keys = {Wanted(place=place, token=token).key for token in ("", "one", "two")}
    assert len(keys) == 3


async def test_a_cancelled_command_is_killed(tmp_path: Path, home: Path) -> None:
    """Nothing is left of a command whose caller is gone, nor of what that started."""
    held = tmp_path / "held"
    os.mkfifo(held)
    script = tmp_path / "wait"
    script.write_text(f"#!/bin/sh\nexec 9>{held}\necho ready >&2\nsleep 60\n")
    script.chmod(0o755)
    is_ready = asyncio.Event()
    ask = Ask(timeout_s=30, progress=lambda line: is_ready.set())
    waiting = asyncio.create_task(Git(lambda: home).run(None, "-c", f"alias.wait=!{script}", "wait", ask=ask))
    # Reading ends when nobody is left who could write.
    ended = asyncio.create_task(asyncio.to_thread(held.read_bytes))
    await is_ready.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await ended == b""


async def test_a_command_has_a_time(home: Path) -> None:
    """One that takes too long is killed, and that is told."""
    with pytest.raises(ToolTimeout, match=r"git -c took longer than 0\.05 s"):
        await Git(lambda: home).run(None, "-c", "alias.wait=!sleep 60", "wait", ask=Ask(timeout_s=0.05))


async def test_output_has_a_bound(origin: Origin, home: Path) -> None:
    """A command that says more than is wanted is stopped."""
    done = await Git(lambda: home).run(origin.path / ".git", "cat-file", "-p", "HEAD", ask=Ask(limit=10))
    assert (len(done.out), done.is_cut, done.status) == (10, True, 0)


async def test_an_unknown_command_is_told(home: Path) -> None:
    """A command that fails says why."""
    done = await Git(lambda: home).run(None, "no-such-command")
    assert done.status != 0
    assert "no-such-command" in done.told


async def test_a_fetch_counts_as_a_read(origin: Origin, home: Path) -> None:
    """A copy is as fresh as the end of its fetch, however long that took."""
    origin.commit("Begin")
    clones, wanted = _clones(home), _wanted(origin)
    used = clones.path(wanted) / "used"

    def age(_message: str, _fraction: float | None) -> None:
        os.utime(used, (1, 1))

    await clones.commit(wanted, None, refresh_s=0, progress=age)
    assert used.stat().st_mtime > 1

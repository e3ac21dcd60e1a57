"""Repositories whose parts are elsewhere than they seem."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from runwright.errors import Forbidden
from runwright.tools.git import Repositories
from tests.unit.tools.git.making import Origin

Lead = Callable[[Path, Path], object]


@pytest.fixture
def secret(tmp_path: Path) -> Origin:
    """A repository that nobody allowed."""
    made = Origin(tmp_path / "home" / "secret")
    made.commit("Begin", key_dot_txt="secret\n")
    return made


def _gitfile(own: Path, git: Path) -> None:
    own.mkdir()
    (own / ".git").write_text(f"gitdir: {git}\n")


def _linked(own: Path, git: Path) -> None:
    own.mkdir()
    (own / ".git").symlink_to(git)


def _beside(own: Path, git: Path) -> None:
    own.mkdir()
    Path(f"{own}.git").symlink_to(git)


def _common(own: Path, git: Path) -> None:
    (own / ".git").mkdir(parents=True)
    shutil.copy(git / "HEAD", own / ".git" / "HEAD")
    (own / ".git" / "commondir").write_text(f"{git}\n")


def _objects(own: Path, git: Path) -> None:
    shutil.copytree(git, own / ".git")
    shutil.rmtree(own / ".git" / "objects")
    (own / ".git" / "objects").symlink_to(git / "objects")


def _part_of_objects(own: Path, git: Path) -> None:
    shutil.copytree(git, own / ".git")
    shutil.rmtree(own / ".git" / "objects" / "pack")
    (own / ".git" / "objects" / "pack").symlink_to(git / "objects" / "pack")


def _borrowed(own: Path, git: Path) -> None:
    shutil.copytree(git, own / ".git")
    (own / ".git" / "objects" / "info" / "alternates").write_text(f"{git}/objects\n")


@pytest.mark.parametrize("lead", [_gitfile, _linked, _beside, _common, _objects, _part_of_objects, _borrowed])
async def test_nothing_leads_out_of_what_is_allowed(tmp_path: Path, secret: Origin, lead: Lead) -> None:
    """A repository in an allowed folder is refused when git would read another one for it."""
    allowed = tmp_path / "srv"
    allowed.mkdir()
    lead(allowed / "own", secret.path / ".git")
    with pytest.raises(Forbidden, match="outside of the folders"):
        await Repositories(tmp_path / "copies", allow=[str(allowed)]).place(str(allowed / "own"), [])


@pytest.mark.parametrize("own", [["tree"], []], ids=["named", "allowed"])
async def test_worktrees_are_read(tmp_path: Path, secret: Origin, own: list[str]) -> None:
    """A worktree that a definition names is read, and so is one whose repository is allowed too."""
    secret.git("worktree", "add", "--quiet", str(tmp_path / "tree"), "-b", "side")
    last = secret.commit("More", a_dot_txt="2\n")
    repositories = Repositories(tmp_path / "copies", allow=[] if own else [str(tmp_path)])
    place, address = await repositories.place(str(tmp_path / "tree"), [str(tmp_path / each) for each in own])
    wanted = msgspec.structs.replace(repositories.known(place.text, depth=None, token=""), address=address)
    assert await repositories.clones.commit(wanted, "main", refresh_s=0) == last
    assert await repositories.clones.commit(wanted, None, refresh_s=0) == secret.git("rev-parse", "side")


async def test_what_was_judged_is_fetched(tmp_path: Path, secret: Origin) -> None:
    """Bare repositories and folders with one are fetched by the very path that was judged."""
    secret.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    repositories = Repositories(tmp_path / "copies", allow=[str(tmp_path)])
    for name in ("bare", "bare.git", "home/secret"):
        place, address = await repositories.place(str(tmp_path / name), [])
        wanted = msgspec.structs.replace(repositories.known(place.text, depth=None, token=""), address=address)
        assert await repositories.clones.commit(wanted, None, refresh_s=0) == secret.git("rev-parse", "HEAD")

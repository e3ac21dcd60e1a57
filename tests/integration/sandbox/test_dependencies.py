"""Packages for code: resolved once, installed by hash, used read-only, and told plainly where they cannot be had."""

import asyncio
import base64
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import msgspec
import pip
import pytest
from anyio import to_thread
from filelock import FileLock

from runwright.core.sandbox import SandboxSpec
from runwright.errors import ConfigError
from runwright.tools.sandbox import dependencies
from runwright.tools.sandbox.dependencies import WHEELS, Dependencies, check_requirement
from tests.integration.sandbox.ways import KERNEL, need, opened

ARCHIVES = ("evil-1.0.tar.gz", "evil-1.0.tar.gz[x]", "evil==1.0.zip", "evil-1.0-py3-none-any.whl", "evil.TGZ")
BACKEND = """
open({ran!r}, "w").close()
def build_wheel(*_): raise SystemExit(3)
"""
BUILD = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "evil"
version = "1.0"
"""
FILE = "evil==1.0.zip --hash=sha256:" + "0" * 64
TWO = """
import asyncio, sys
from pathlib import Path
from runwright.tools.sandbox.dependencies import Dependencies

print(asyncio.run(Dependencies(Path(sys.argv[1])).prepare("python", ["tiny"])).folder)
"""

FULL = """
import asyncio, subprocess, sys
from pathlib import Path
from runwright.errors import ConfigError
from runwright.tools.sandbox.dependencies import Dependencies

folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
try:
    asyncio.run(Dependencies(folder).prepare("python", ["huge"]))
except ConfigError as error:
    print(error, [path for path in (folder / "python").iterdir() if path.is_dir()], sep="|")
"""


def wheel(folder: Path, name: str, version: str, *, requires: str = "", filler: int = 0) -> None:
    """Write a wheel of one module, which says its version."""
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requires}"] if requires else []
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{name}.data.txt": "x" * filler,
        f"{info}/METADATA": "\n".join(lines) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},"
        f"{len(text)}\n"
        for path, text in files.items()
    )
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)


def source(folder: Path, name: str, ran: Path) -> Path:
    """Write the source of a package that writes a file as soon as it is looked at."""
    archive = folder / f"{name}-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as files:
        for file, text in (("pyproject.toml", BUILD), ("backend.py", BACKEND.format(ran=str(ran)))):
            info = tarfile.TarInfo(f"{name}-1.0/{file}")
            info.size = len(text)
            files.addfile(info, io.BytesIO(text.encode()))
    return archive


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, which is all that pip knows."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel(folder, "tiny", "1.0", requires="smaller>=1")
    wheel(folder, "tiny", "2.0", requires="smaller>=1")
    wheel(folder, "smaller", "1.5")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.mark.parametrize("way", KERNEL)
async def test_code_uses_its_packages(way: str, index: Path, tmp_path: Path) -> None:
    """Packages and what they need can be imported in the sandbox, in the version that was asked for."""
    need(way, "python")
    prepared = await Dependencies(tmp_path / "cache").prepare("python", ["tiny==1.*"])
    assert [line.partition(" ")[0] for line in prepared.lock.splitlines()] == ["smaller==1.5", "tiny==1.0"]
    code = "import smaller, tiny\ndef main(): return [tiny.VERSION, smaller.VERSION]\n"
    async with opened(way) as sandbox:
        spec = SandboxSpec(language="python", code=code, dependencies=prepared.folder)
        async with await sandbox.start(spec) as session:
            outcome = await session.run("main", {})
    assert outcome.result is not None, outcome
    assert msgspec.json.decode(outcome.result) == ["1.0", "1.5"]


@pytest.mark.parametrize("way", KERNEL)
async def test_code_cannot_change_its_packages(way: str, index: Path, tmp_path: Path) -> None:
    """The folder of packages, which other runs share, is read-only inside."""
    need(way, "python")
    prepared = await Dependencies(tmp_path / "cache").prepare("python", ["tiny"])
    code = "import tiny\ndef main():\n    open(tiny.__file__, 'w').write('x')\n"
    async with opened(way) as sandbox:
        spec = SandboxSpec(language="python", code=code, dependencies=prepared.folder)
        async with await sandbox.start(spec) as session:
            outcome = await session.run("main", {})
    assert outcome.error is not None
    assert outcome.error.type in {"OSError", "PermissionError"}


async def test_two_processes_have_one_lock(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waited while another process resolved the same packages takes over what that found."""
    known = "tiny==1.0 --hash=sha256:0\n"

    def waited(path: str) -> FileLock:
        Path(path.removesuffix(".lock")).write_text(known)
        return FileLock(path)

    monkeypatch.setattr(dependencies, "FileLock", waited)
    assert await Dependencies(tmp_path / "cache").resolve("python", ["tiny"]) == known


async def test_what_is_cached_needs_no_index(index: Path, tmp_path: Path) -> None:
    """The same packages are there without the index, in any order of asking, and so is what their lock names."""
    dependencies = Dependencies(tmp_path / "cache")
    first = await dependencies.prepare("python", ["tiny", "smaller"])
    for file in index.iterdir():
        file.unlink()
    assert await dependencies.prepare("python", ["smaller", "tiny"]) == first
    assert await dependencies.install("python", first.lock) == first
    with pytest.raises(ConfigError):
        await dependencies.prepare("python", ["tiny==2.0"])


async def test_a_lock_is_kept_to(index: Path, tmp_path: Path) -> None:
    """A wheel that is not the one of the lock is not installed, and nothing is left in the cache."""
    lock = (await Dependencies(tmp_path / "here").prepare("python", ["smaller"])).lock
    wheel(index, "smaller", "1.5", filler=10)
    with pytest.raises(ConfigError, match="HASH"):
        await Dependencies(tmp_path / "there").install("python", lock)
    assert [path for path in (tmp_path / "there" / "python").iterdir() if path.is_dir()] == []


@pytest.mark.parametrize(
    "line", ["--index-url http://x", "-e .", "tiny @ file:///x", "tiny==1.0", "tiny==1.0 --hash=md5:00", FILE]
)
async def test_a_lock_holds_packages_only(line: str, index: Path, tmp_path: Path) -> None:
    """A lock cannot carry options, addresses, or packages without a hash."""
    with pytest.raises(ConfigError, match="line of a lock"):
        await Dependencies(tmp_path / "cache").install("python", line + "\n")


async def test_what_cannot_be_had_is_named(index: Path, tmp_path: Path) -> None:
    """A package that does not exist and a version that does not are told apart."""
    dependencies = Dependencies(tmp_path / "cache")
    with pytest.raises(ConfigError, match=r"There is no package 'nowhere'\."):
        await dependencies.prepare("python", ["nowhere"])
    with pytest.raises(ConfigError, match=r"No wheel fits 'tiny==9'; the newest that there are: 1\.0, 2\.0\."):
        await dependencies.prepare("python", ["tiny==9"])


async def test_packages_have_a_size(index: Path, tmp_path: Path) -> None:
    """What is larger than the limit is not kept."""
    wheel(index, "huge", "1.0", filler=100_000)
    with pytest.raises(ConfigError, match="which is the limit"):
        await Dependencies(tmp_path / "cache", largest=50_000).prepare("python", ["huge"])
    assert [path for path in (tmp_path / "cache" / "python").iterdir() if path.is_dir()] == []


async def test_a_full_disk_is_told_as_such(index: Path, tmp_path: Path) -> None:
    """Where there is no room for packages that is said, whoever found out, and nothing half is kept."""
    wheel(index, "huge", "1.0", filler=1_000_000)
    small = tmp_path / "small"
    small.mkdir()
    command = ["unshare", "--mount", "--map-root-user", sys.executable, "-c", FULL, str(small)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    assert done.stdout.split("|") == [f"There is no room for the packages where they are kept: {small}.", "[]\n"]


async def test_packages_have_a_time(index: Path, tmp_path: Path) -> None:
    """What takes longer than the limit is given up."""
    with pytest.raises(ConfigError, match=r"within 0\.1 seconds"):
        await Dependencies(tmp_path / "cache", timeout_s=0.1).prepare("python", ["tiny"])


async def test_a_cancelled_installation_leaves_nothing(index: Path, tmp_path: Path) -> None:
    """Who stops waiting gets on at once, and the next one gets the packages."""
    dependencies = Dependencies(tmp_path / "cache")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(dependencies.prepare("python", ["tiny"]))
        for _ in range(20):
            await asyncio.sleep(0)
        running.cancel()
    assert (await dependencies.prepare("python", ["tiny"])).folder.is_dir()


async def test_who_waits_for_packages_holds_up_nobody_else(index: Path, tmp_path: Path) -> None:
    """While another process installs what many runs need, all threads are there for everything else."""
    dependencies = Dependencies(tmp_path / "cache")
    first = await dependencies.prepare("python", ["smaller"])
    shutil.rmtree(first.folder)
    everybody = threading.Barrier(40)
    with FileLock(f"{first.folder}.lock"):
        waiting = [asyncio.ensure_future(dependencies.install("python", first.lock)) for _ in range(60)]
        for _ in range(5):
            await to_thread.run_sync(str)
        async with asyncio.timeout(30):
            await asyncio.gather(*(to_thread.run_sync(everybody.wait) for _ in range(40)))
    assert await asyncio.gather(*waiting) == [first] * 60


async def test_no_wheel_has_another_package_built(index: Path, tmp_path: Path) -> None:
    """A wheel whose metadata names an archive, where pip would build that, is refused before anything runs."""
    archive = source(index, "evil", ran := tmp_path / "ran")
    wheel(index, "front", "1.0", requires=f"evil @ {archive.as_uri()}")
    with pytest.raises(ConfigError, match="no wheel of the index"):
        await Dependencies(tmp_path / "cache").prepare("python", ["front"])
    assert not ran.exists()


async def test_no_wheel_brings_a_wheel_from_an_address(index: Path, tmp_path: Path) -> None:
    """Nothing is fetched from where the metadata of a wheel says, also when it is a wheel."""
    (elsewhere := tmp_path / "elsewhere").mkdir()
    wheel(elsewhere, "other", "1.0")
    wheel(index, "front", "1.0", requires=f"other @ {(elsewhere / 'other-1.0-py3-none-any.whl').as_uri()}")
    with pytest.raises(ConfigError, match="no wheel of the index"):
        await Dependencies(tmp_path / "cache").prepare("python", ["front"])


async def test_pip_sees_no_files_of_the_folder_it_is_called_in(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in the working folder is neither a package nor a module of pip's."""
    (here := tmp_path / "here").mkdir()
    ran = tmp_path / "ran"
    (here / "pip.py").write_text(f"open({str(ran)!r}, 'w')\n")
    monkeypatch.chdir(here)
    prepared = await Dependencies(Path("cache")).prepare("python", ["tiny"])
    assert (prepared.folder / "tiny.py").is_file()
    assert not ran.exists()


def test_pip_that_is_bound_builds_nothing(index: Path, tmp_path: Path) -> None:
    """An archive that pip is told to install as such is not built, by whichever way it came to it."""
    archive = source(index, "evil", ran := tmp_path / "ran")
    command = [sys.executable, "-I", str(WHEELS), str(Path(pip.__file__).parent.parent), "install", "--dry-run"]
    done = subprocess.run([*command, str(archive)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "is no wheel" in done.stderr
    assert not ran.exists()


def test_two_processes_prepare_the_same_at_once(index: Path, tmp_path: Path) -> None:
    """Two processes that need the same packages end up with one folder."""
    command = [sys.executable, "-c", TWO, str(tmp_path / "cache")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = {process.communicate(timeout=50)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(folders) == 1
    assert (Path(folders.pop()) / "tiny.py").is_file()


@pytest.mark.parametrize(
    "text",
    [
        "git+https://x/y",
        "tiny @ file:///x",
        "./tiny",
        "-r x.txt",
        "--pre",
        "tiny; print()",
        "https://x/y.whl",
        "",
        *ARCHIVES,
    ],
)
def test_a_dependency_is_a_package_of_the_index(text: str) -> None:
    """Files, addresses and options of pip are no dependencies."""
    with pytest.raises(ConfigError, match="package of the registry"):
        check_requirement("python", text)


@pytest.mark.parametrize(
    "text", ["file:../x", "git+ssh://x/y", "http://x/y.tgz", "zod@npm:other", "../x", "--x", "Zod"]
)
def test_a_dependency_is_a_package_of_npm(text: str) -> None:
    """Files, addresses and aliases are no dependencies."""
    with pytest.raises(ConfigError, match="package of the registry"):
        check_requirement("typescript", text)


def test_versions_can_be_asked_for() -> None:
    """Names with extras, ranges and scopes are packages."""
    for text in ("numpy", "pandas==2.*", "httpx[http2,socks]>=0.27,<1", "zope.interface ~= 6.0"):
        assert check_requirement("python", text) == text
    for text in ("zod", "zod@^4", "@scope/pkg@1.2.3", "lodash-es@>=4 <5"):
        assert check_requirement("typescript", text) == text

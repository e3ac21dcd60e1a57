"""Every attack is stopped by the kernel, and every attack works where nothing stops it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import pytest

from runwright.core.sandbox import Language
from runwright.tools.sandbox.interpreters import Interpreters
from runwright.tools.sandbox.matrix import BY_HOST, AttackResult
from tests.integration.sandbox.attacker import Found, Unbound, found
from tests.integration.sandbox.ways import KERNEL, absent

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]

NOBODY = 65534
ROOT = Path(__file__).parents[3]
IMPORTED = ("msgspec", "anyio", "idna", "sniffio", "filelock", "typing_extensions.py")
LANGUAGES: Sequence[Language] = ("python", "typescript")
KERNEL_PAIRS: Sequence[tuple[str, Language]] = [(way, language) for way in KERNEL for language in LANGUAGES]

ONLY_ROOT = {"change_root", "set_kernel", "open_device", "write_system"}
"""What an ordinary user of the host cannot do either."""

BY_SETTING = {"use_bpf", "use_perf", "use_userfaultfd", "use_io_uring", "make_namespace", "clone_user", "trace_process"}
"""What some systems take from ordinary users, or from all."""

ENGINE_ALONE = {"take_buffers", "take_shared_buffers", "take_wasm", "take_shared_wasm", "worker_bomb"}
"""What V8's own limit of memory does not see."""


def through(results: Iterable[AttackResult]) -> set[str]:
    """The attacks that were not stopped."""
    return {each.attack for each in results if not each.is_stopped}


def needed(result: Found) -> list[AttackResult]:
    """The results, where the sandbox works; it must in CI."""
    if result.report.why_not:
        absent(f"{result.report.backend}: {result.report.why_not}")
    return result.results


@pytest.mark.parametrize(("way", "language"), KERNEL_PAIRS)
async def test_the_kernel_stops_every_attack(way: str, language: Language) -> None:
    """Nothing gets through; in Deno with every right, so that nothing but the kernel is tested."""
    results = needed(await found(way, language, Unbound()))
    assert len(results) > 30
    assert through(results) == set()


@pytest.mark.parametrize(("way", "language"), KERNEL_PAIRS)
def test_the_kernel_stops_every_attack_of_an_ordinary_user(way: str, language: Language) -> None:
    """Nothing gets through either where Runwright runs as a user without any right."""
    results = needed(_as_nobody(way, language))
    assert len(results) > 30
    assert through(results) == set()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_deno_stops_all_but_memory(language: Language) -> None:
    """Deno alone lets no file, socket or process through; what bounds memory is the kernel."""
    if language == "python":
        assert (await found("deno", language, Interpreters())).report.why_not
        return
    assert through(needed(await found("deno", language, Interpreters()))) == ENGINE_ALONE


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_attack_works(language: Language) -> None:
    """Without isolation every attack gets through that Runwright's own process does not stop."""
    results = needed(await found("unsafe", language, Interpreters()))
    stopped = {each.attack for each in results} - through(results)
    may_fail = BY_HOST | BY_SETTING if os.getuid() == 0 else BY_HOST | BY_SETTING | ONLY_ROOT
    assert stopped - may_fail == set()
    assert through(results) & BY_HOST == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_attack_works_for_an_ordinary_user(language: Language) -> None:
    """What only root may do apart, the attacks are attacks for every user."""
    results = needed(_as_nobody("unsafe", language))
    stopped = {each.attack for each in results} - through(results)
    assert stopped - (BY_HOST | BY_SETTING | ONLY_ROOT) == set()


def _as_nobody(way: str, language: Language) -> Found:
    """What an ordinary user finds, with a copy of what it needs: it cannot look into the home of root."""
    if os.getuid() != 0:
        pytest.skip("the other tests run as an ordinary user already")
    python = Path("/usr/bin/python3")
    if not python.exists():
        absent("there is no /usr/bin/python3, which any user can run")
    with tempfile.TemporaryDirectory(prefix="runwright-nobody-") as folder:
        Path(folder).chmod(0o755)
        deno = _copied(Path(folder))
        done = subprocess.run(
            [python, Path(folder) / "attacker.py", way, language, str(deno or "")],
            user=NOBODY,
            group=NOBODY,
            extra_groups=(),
            cwd="/",
            env={"PATH": os.environ["PATH"], "PYTHONPATH": folder, "SECRET": "of nobody"},
            capture_output=True,
            check=False,
        )
    if b"ModuleNotFoundError" in done.stderr:
        absent(f"{python} is another Python than {sys.executable}: {done.stderr.decode()[-300:]}")
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=Found)


def _copied(folder: Path) -> Path | None:
    """Put the sandbox, what it imports, and Deno into a folder."""
    packages = Path(msgspec.__file__).parents[1]
    shutil.copytree(ROOT / "src" / "runwright", folder / "runwright")
    shutil.copy(Path(__file__).with_name("attacker.py"), folder)
    for name in IMPORTED:
        if (packages / name).is_dir():
            shutil.copytree(packages / name, folder / name)
        elif (packages / name).is_file():
            shutil.copy(packages / name, folder)
    deno = Interpreters().deno
    return None if deno is None else Path(shutil.copy(deno, folder))

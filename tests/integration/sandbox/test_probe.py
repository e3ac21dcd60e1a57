"""A sandbox counts for what it does when it is tried, not for being installed."""

import asyncio
import sys
from pathlib import Path

import pytest

from runwright.core.sandbox import SandboxSpec
from runwright.errors import SandboxBusy
from runwright.tools.sandbox.guest import PYTHON_HARNESS
from runwright.tools.sandbox.local import LocalSandbox
from tests.integration.sandbox.ways import need

# As bubblewrap says it in a container, or under a profile of AppArmor.
REFUSED = """
import sys
sys.exit("bwrap: No permissions to create new namespace")
"""
# Runs what it is given, and contains nothing.
HOLLOW = f"""
import os, sys
words = sys.argv
told = int(words[words.index("--info-fd") + 1])
os.write(told, b'{{"child-pid": %d}}' % os.getpid())
os.close(told)
command = [{str(PYTHON_HARNESS)!r} if word == "/box/harness.py" else word for word in words[words.index("--") + 1 :]]
os.execv(command[0], command)
"""


# Does not answer while there is a file.
STUCK = """
[ -e "$0.stuck" ] && exec /bin/sleep 1000
echo "bwrap: No permissions to create new namespace" >&2
exit 1
"""


def installed(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, shell: str = sys.executable) -> None:
    """Put a program in the place of bubblewrap."""
    program = folder / "bwrap"
    program.write_text(f"#!{shell}\n{script}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


async def test_a_bubblewrap_that_is_refused_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where namespaces may not be made the next level is taken, and the report holds what bubblewrap said."""
    need("landlock", "python")
    installed(REFUSED, tmp_path, monkeypatch)
    sandbox = LocalSandbox()
    try:
        async with await sandbox.start(SandboxSpec(language="python", code="def main(): return 1")) as session:
            outcome = await session.run("main", {})
        why_not = (await sandbox.probe())[0].why_not
    finally:
        await sandbox.close()
    assert (outcome.backend, outcome.isolation) == ("landlock", 2)
    assert why_not == "the sandbox 'bubblewrap' did not start: bwrap: No permissions to create new namespace"


async def test_a_sandbox_that_contains_nothing_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A way that starts and stops nothing is not used, and the report says what code could do in it."""
    need("unsafe", "python")
    installed(HOLLOW, tmp_path, monkeypatch)
    sandbox = LocalSandbox(ways=("bubblewrap",))
    try:
        reports = await sandbox.probe()
    finally:
        await sandbox.close()
    said = "code can read a file, open a socket, start a process in it"
    assert {report.why_not for report in reports} == {said}


async def test_a_bubblewrap_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without bubblewrap the report says how to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox = LocalSandbox(ways=("bubblewrap",))
    why_not = (await sandbox.probe())[0].why_not
    assert why_not is not None
    assert why_not.startswith("bwrap is not installed: apt-get install bubblewrap")


async def test_a_bubblewrap_that_did_not_answer_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody knows whether the strongest way works no weaker one is taken, and the next run tries it again."""
    need("landlock", "python")
    installed(STUCK, tmp_path, monkeypatch, shell="/bin/sh")
    (tmp_path / "bwrap.stuck").touch()
    spec = SandboxSpec(language="python", code="def main(): return 1")
    sandbox = LocalSandbox(ways=("bubblewrap", "landlock"), start_s=0.5)
    try:
        given = await asyncio.gather(*(sandbox.start(spec) for _ in range(20)), return_exceptions=True)
        assert {type(each) for each in given} == {SandboxBusy}
        (report, *_) = await sandbox.probe()
        assert (report.is_certain, report.is_usable) == (False, False)
        (tmp_path / "bwrap.stuck").unlink()
        while not report.is_certain:
            (report, *_) = await sandbox.probe()
        assert "No permissions to create new namespace" in (report.why_not or "")
    finally:
        await sandbox.close()

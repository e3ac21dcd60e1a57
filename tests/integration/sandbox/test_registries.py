"""Real packages of the registries, from their names to code that uses them; and the command that tells of it all."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from runwright.core.sandbox import IsolationReport, Language, SandboxSpec
from runwright.tools.sandbox.dependencies import Dependencies
from runwright.tools.sandbox.matrix import AttackResult
from tests.integration.sandbox.test_custom import coded
from tests.integration.sandbox.test_custom import opened as running
from tests.integration.sandbox.ways import KERNEL, absent, need, opened

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]

USES: dict[Language, tuple[list[str], str, object]] = {
    "python": (
        ["numpy", "pandas==2.*"],
        "import numpy, pandas\ndef main():\n    return int(pandas.DataFrame({'n': numpy.arange(10)}).n.sum())\n",
        45,
    ),
    "typescript": (
        ["zod@^4"],
        "import { z } from 'zod';\nexport const main = () => z.object({ n: z.number() }).parse({ n: 1 }).n;\n",
        1,
    ),
}


class Doctor(msgspec.Struct):
    """What `doctor sandbox --json` prints."""

    levels: dict[Language, int]
    ways: list[IsolationReport]
    data: list[AttackResult]


@pytest.mark.parametrize("language", USES)
async def test_packages_of_the_registries(language: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Well-known packages are resolved, installed and used under every kernel's sandbox, the second time offline."""
    names, code, expected = USES[language]
    dependencies = Dependencies(tmp_path)
    first = await dependencies.prepare(language, names)
    # Nobody is there, so whoever asks fails.
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9/")
    assert await Dependencies(tmp_path).prepare(language, names) == first
    for way in KERNEL:
        assert await _used(way, language, code, first.folder) == expected


async def _used(way: str, language: Language, code: str, folder: Path) -> object:
    need(way, language)
    spec = SandboxSpec(language=language, code=code, dependencies=folder)
    async with opened(way) as sandbox, await sandbox.start(spec) as session:
        outcome = await session.run("main", {})
    assert outcome.result is not None, outcome
    return msgspec.json.decode(outcome.result)


def test_the_doctor_attacks_the_sandbox() -> None:
    """The command names the level of each language, and every attack with what became of it."""
    command = [sys.executable, "-m", "runwright", "doctor", "sandbox", "--json"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found = msgspec.json.decode(done.stdout, type=Doctor)
    if found.levels != {"python": 3, "typescript": 3}:
        absent(f"the best here: {_usable(found.ways)}")
    assert {(each.backend, each.language) for each in found.data} == {
        *((way, language) for way in KERNEL for language in USES),
        ("deno", "typescript"),
    }
    assert [each for each in found.data if each.isolation > 1 and not each.is_stopped] == []


def _usable(ways: Iterable[IsolationReport]) -> list[str]:
    return [f"{each.backend} with {each.language}: {each.why_not or 'works'}" for each in ways]


@pytest.mark.parametrize("language", USES)
async def test_runs_with_packages_of_the_registries(
    language: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent's first run installs its packages from the registry, and its second one needs none."""
    names, code, expected = USES[language]
    need("bubblewrap", language)
    agent = coded("it", code, language, dependencies=names)
    async with running(agent, folder=tmp_path) as app:
        first = await app.run("it", {})
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9/")
        second = await app.run("it", {})
    assert [run.error for run in (first, second)] == [None, None]
    assert [msgspec.json.decode(run.output) for run in (first, second)] == [expected] * 2

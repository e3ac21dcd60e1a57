"""Containers of an engine, where one is there: nowhere else is anything of this run, and the reason is told."""

import asyncio
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache

import pytest

from runwright.core.sandbox import MIB, ExitReason, HostCall, Language, SandboxLimits, SandboxSpec
from tests.integration.sandbox.attacker import Unbound, found
from tests.integration.sandbox.ways import opened

pytestmark = pytest.mark.timeout(300)

LANGUAGES: Sequence[Language] = ("python", "typescript")
THREADS = """
import threading, time
def main():
    for _ in range(40): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
"""
ENDS: Sequence[tuple[str, ExitReason]] = [
    ("def main():\n    while True: pass\n", "timeout"),
    ("import time\ndef main():\n    time.sleep(1000)\n", "timeout"),
    ("def main():\n    print('x' * 10**7)\n", "output"),
    ("def main():\n    return len(bytearray(10**9))\n", "memory"),
    ("def main():\n    open('/etc/x', 'w')\n", "error"),
    (THREADS, "error"),
]
ASKING = {
    "python": "def main(a):\n    print('asking')\n    return call_tool('double', a=a)\n",
    "typescript": "export async function main({ a }) {\n  console.log('asking');\n"
    "  return await callTool('double', { a });\n}\n",
}


@cache
def _why_not() -> str:
    if shutil.which("docker") is None:
        return "docker is not installed"
    done = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False, timeout=30)
    return done.stderr.strip() or "the engine does not answer" if done.returncode else ""


@pytest.fixture(autouse=True)
def engine() -> None:
    """Skip where there is no engine."""
    if why_not := _why_not():
        pytest.skip(f"no container engine: {why_not}")


async def double(call: HostCall) -> object:
    """Answer a call."""
    return 2 * int(str(call.arguments["a"]))


def containers(*more: str) -> set[str]:
    """The containers of this image that run; those that are about to with `--all`."""
    command = ["docker", "ps", "--quiet", *more, "--filter", "ancestor=runwright-sandbox:1"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("language", LANGUAGES)
async def test_code_asks_from_within_a_container(language: Language) -> None:
    """Code runs at level 3, and asks the host over the same lines as everywhere."""
    async with opened("docker") as sandbox:
        spec = SandboxSpec(language=language, code=ASKING[language])
        async with await sandbox.start(spec, double) as session:
            outcome = await session.run("main", {"a": 4})
    assert (outcome.backend, outcome.isolation, outcome.reason) == ("docker", 3, "ok")
    assert outcome.result is not None
    assert bytes(outcome.result) == b"8"
    assert "asking" in outcome.stdout + outcome.stderr


@pytest.mark.parametrize(("code", "reason"), ENDS, ids=[str(number) for number in range(len(ENDS))])
async def test_limits_hold_in_a_container(code: str, reason: ExitReason) -> None:
    """Time, output and memory end the code, and the files of the container cannot be written."""
    async with opened("docker") as sandbox:
        limits = SandboxLimits(wall_s=2, memory=128 * MIB)
        async with await sandbox.start(SandboxSpec(language="python", code=code, limits=limits)) as session:
            assert (await session.run("main", {})).reason == reason


async def test_no_container_outlives_its_session() -> None:
    """When whoever waits for the code is cancelled its container ends by itself, though it only sleeps."""
    before, begun = await asyncio.to_thread(containers, "--all"), asyncio.Event()

    async def begin(call: HostCall) -> None:
        begun.set()

    code = "import time\ndef main():\n    call_tool('begin')\n    time.sleep(1000)\n"
    async with opened("docker") as sandbox:
        session = await sandbox.start(SandboxSpec(language="python", code=code), begin)
        running = asyncio.ensure_future(session.run("main", {}))
        await begun.wait()
        (mine,) = await asyncio.to_thread(containers, "--all") - before
        running.cancel()
        await session.close()
    # Returns when it has stopped, and complains when it is gone already.
    await asyncio.to_thread(subprocess.run, ["docker", "wait", mine], capture_output=True, check=False)
    assert mine not in await asyncio.to_thread(containers)


@pytest.mark.sandbox
@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_container_stops_every_attack(language: Language) -> None:
    """Nothing gets through; in Deno with every right, so that nothing but the container is tested."""
    result = await found("docker", language, Unbound())
    assert result.report.why_not is None
    assert len(result.results) > 30
    assert {each.attack for each in result.results if not each.is_stopped} == set()

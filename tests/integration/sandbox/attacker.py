"""Attacks one sandbox, in one language, and prints what came of it: started as another user by the tests."""

import asyncio
import sys
from pathlib import Path
from typing import get_args

import msgspec

from runwright.core.sandbox import IsolationReport, Language
from runwright.tools.sandbox.interpreters import Interpreters
from runwright.tools.sandbox.local import LocalSandbox
from runwright.tools.sandbox.matrix import AttackResult, attack, targets


class Found(msgspec.Struct):
    """Whether the sandbox works for this user, and every attack."""

    report: IsolationReport
    results: list[AttackResult]


class Unbound(Interpreters):
    """Deno with every right, so that only the kernel stands in the way."""

    def deno_command(self, folder: str, memory: int, *, readable: str = "") -> list[str]:
        """Run the harness as if the code were to be trusted."""
        return self.deno_unbound(folder)


async def found(way: str, language: Language, interpreters: Interpreters) -> Found:
    """Try the sandbox, then everything in it."""
    sandbox = LocalSandbox(ways=(way,), interpreters=interpreters)
    report = next(each for each in await sandbox.probe() if each.language == language)
    await sandbox.close()
    if report.why_not:
        return Found(report, [])
    async with targets() as target:
        return Found(report, [each async for each in attack(way, language, target, interpreters=interpreters)])


if __name__ == "__main__":
    _, wanted_way, wanted_language, deno = sys.argv
    known = next(each for each in get_args(Language) if each == wanted_language)
    sys.stdout.write(
        msgspec.json.encode(asyncio.run(found(wanted_way, known, Unbound(deno=Path(deno) if deno else None)))).decode()
    )

"""The sandboxes of this machine, for tests: with `REQUIRE_SANDBOX=1`, as in CI, all of them must work."""

import os
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from typing import NoReturn

import anyio
import pytest

from runwright.core.sandbox import IsolationReport, Language, Sandbox
from runwright.tools.sandbox.local import LocalSandbox

KERNEL = ("bubblewrap", "landlock")
ALL = (*KERNEL, "deno", "unsafe")
IS_REQUIRED = os.environ.get("REQUIRE_SANDBOX") == "1"

PAIRS: Sequence[tuple[str, Language]] = [
    *((way, "python") for way in (*KERNEL, "unsafe")),
    *((way, language) for way in ALL for language in ("typescript", "javascript")),
]


@cache
def _reports() -> dict[tuple[str, str], IsolationReport]:
    async def probed() -> Sequence[IsolationReport]:
        sandbox = LocalSandbox(ways=ALL)
        try:
            return await sandbox.probe()
        finally:
            await sandbox.close()

    # Asked by tests that run on a loop already.
    with ThreadPoolExecutor(1) as threads:
        return {(each.backend, each.language): each for each in threads.submit(anyio.run, probed).result()}


def absent(reason: str) -> NoReturn:
    """Skip the test, or fail it where everything must be there."""
    if IS_REQUIRED:
        pytest.fail(reason)
    pytest.skip(reason)


def need(way: str, language: Language) -> None:
    """Skip the test where this cannot run; where all are required that is a failure."""
    report = _reports()[way, language]
    if report.why_not:
        absent(f"{way} cannot run {language} here: {report.why_not}")


@asynccontextmanager
async def opened(way: str, *, warm: int = 0) -> AsyncGenerator[Sandbox]:
    """One way alone."""
    sandbox: Sandbox = LocalSandbox(ways=(way,), warm=warm)
    try:
        yield sandbox
    finally:
        await sandbox.close()

"""Four real processes with clocks of their own share one server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from runwright.backends.redis import PoolOptions, RedisLedger, RedisPool, RedisSharing
from tests.integration.redis import process
from tests.valkey import Valkey

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.anyio


async def _open_breaker(pool: RedisPool) -> None:
    """Have the breaker opened, and its rest over."""
    state = RedisSharing(pool).breaker(process.BREAKER, name="app:x")
    for _ in range(4):
        permit = await state.enter()
        assert permit is not None
        await state.leave(permit, "failed", share=1.0)
    (key,) = [key for key in await pool.run("KEYS", "runwright:breaker:*") if not key.endswith(b":last")]
    await pool.run("HSET", key, "until", 1)


async def _run(url: str, number: int) -> dict[str, int]:
    """What one process was let do."""
    command = [sys.executable, "-m", "tests.integration.redis.process", url, str(number)]
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    started = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await started.communicate()
    assert started.returncode == 0
    return json.loads(printed)


@pytest.mark.slow
async def test_four_processes(valkey: Valkey) -> None:
    """Of 4 x 50 callers as many pass as the limit says, one probes, and the budget is used up and not overrun."""
    pool = RedisPool(PoolOptions(url=valkey.url))
    await _open_breaker(pool)
    told = await asyncio.gather(*(_run(valkey.url, number) for number in range(process.PROCESSES)))
    sums = {name: sum(each[name] for each in told) for name in told[0]}
    most = 1000 // process.TOKENS
    assert sums == {"passed": 40, "probes": 1, "paid": most}
    standing = await RedisLedger(pool).standing(process.ALLOWANCE)
    assert (standing.spent.tokens, standing.reserved.tokens) == (most * process.TOKENS, 0)
    await pool.close()

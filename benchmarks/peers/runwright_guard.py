"""Our guard with its defaults, changed only where a case says what it is about."""

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

from peers import faults, servers
from peers.faults import Send
from runwright.backends.redis import PoolOptions, RedisPool
from runwright.core.event import GuardDecided
from runwright.core.message import AssistantMessage, Message, UserMessage, chain_digest, said
from runwright.core.policy import DEFAULT_GUARD, plan
from runwright.guard import (
    Breaker,
    Budget,
    Cache,
    Call,
    Guard,
    Hedge,
    Limit,
    Registry,
    Retry,
    Sending,
    Surroundings,
    Trail,
    guarded,
    surroundings,
)
from runwright.guard import Spend as Spent
from runwright.guard.chain import guard as guard_of
from runwright.guard.virtual import run_virtual
from runwright.store import SqlKeyValue, open_stores

VALUE = 4096
BATCH = 100


def _quiet(decision: GuardDecided) -> None:
    """Nobody records."""


def _calling(own: Guard | None = None, *, seed: int = 0) -> Callable[[Send], Awaitable[object]]:
    proceed = guard_of(
        plan(("default", DEFAULT_GUARD), ("app", own)), Surroundings(registry=Registry(random=Random(seed)))
    )

    async def call(send: Send) -> object:
        async def once(_: Call[Any], sending: Sending) -> object:
            return await send()

        return await proceed(
            Call[Any](
                kind="tool", target="x", effect="read", send=once, trail=Trail(), note=_quiet, estimate=Spent(tokens=10)
            )
        )

    return call


def cost(calls: int) -> float:
    return asyncio.run(faults.cost_us(_calling(), calls))


def success(share: float, calls: int, attempts: int, seed: int) -> float:
    call = _calling(Guard(retry=Retry(attempts=attempts)), seed=seed)
    return run_virtual(faults.success(call, share=share, calls=calls, seed=seed))


def runs(share: float, runs: int, attempts: int, seed: int) -> float:
    """The share of runs of 20 calls, one after the other, of which all come through."""

    async def main() -> float:
        call = _calling(Guard(retry=Retry(attempts=attempts)), seed=seed)
        whole = [await faults.success(call, share=share, calls=20, seed=seed + index) == 1 for index in range(runs)]
        return sum(whole) / runs

    return run_virtual(main())


def outage(calls: int, skip: int) -> float:
    return run_virtual(faults.outage(_calling(), calls=calls, skip=skip))


def half_open(callers: int) -> int:
    breaker = Breaker(window=10, minimum=5, open_s=1)
    return run_virtual(faults.let_through(_calling(Guard(breaker=breaker)), callers=callers, open_s=1.1))


def herd(clients: int, rate: float) -> dict[str, float]:
    """Every client is a process of its own, as those of the SDK are: none knows of the others."""

    async def main() -> dict[str, float]:
        patient = Guard(retry=Retry(attempts=100, bucket=1_000_000))
        clients_ = iter([_calling(patient, seed=index) for index in range(clients)])

        async def call(send: Send) -> object:
            return await next(clients_)(send)

        return await faults.herd(call, clients=clients, rate=rate)

    return run_virtual(main())


def pacing(workers: int, quota: float, each: int) -> dict[str, float]:
    """Nobody knows the quota: both processes follow the refusals."""
    both = [_calling(Guard(limit=Limit(queue_s=600)), seed=seed) for seed in (1, 2)]
    return run_virtual(faults.pacing(both, workers=workers, quota=quota, each=each))


def stalls(calls: int, seed: int) -> dict[str, float]:
    call = _calling(Guard(hedge=Hedge(extra=0.05)), seed=seed)
    return run_virtual(faults.stalls(call, calls=calls, seed=seed))


def _cached() -> Callable[[Send], Awaitable[object]]:
    sends: list[Send] = []

    @guarded(Guard(cache=Cache(sampled=True)), "answer", around=surroundings())
    async def asked() -> Any:
        return await sends[-1]()

    async def call(send: Send) -> object:
        sends.append(send)
        return await asked()

    return call


def stampede(askers: int) -> int:
    return asyncio.run(faults.stampede(_cached(), askers=askers))


def followers(followers: int) -> dict[str, int]:
    return asyncio.run(faults.followers_served(_cached(), followers=followers))


def overshoot(callers: int, affordable: int) -> float:
    """Each call uses ten tokens, and is expected to."""
    proceed = guard_of(
        plan(("app", Guard(budget=Budget(tokens=10 * affordable, per="ever")))), Surroundings(registry=Registry())
    )

    async def once(_: Call[Any], sending: Sending) -> str:
        await asyncio.sleep(0.1)
        return "answer"

    async def main() -> float:
        calls = [
            Call[Any](
                kind="tool",
                target="x",
                effect="read",
                send=once,
                trail=Trail(),
                note=_quiet,
                estimate=Spent(tokens=10),
                spent=lambda _: Spent(tokens=10),
            )
            for _ in range(callers)
        ]
        given = await asyncio.gather(*map(proceed, calls), return_exceptions=True)
        return sum(10 for answer in given if answer == "answer") / (10 * affordable)

    return run_virtual(main())


def _entries(folder: str) -> SqlKeyValue:
    return SqlKeyValue(open_stores(Path(folder) / "cache.db").database)


async def _sets(folder: str, calls: int, seed: int) -> tuple[list[float], list[float]]:
    """Microseconds that a caller waits for a set, and those until it is on disk, of `BATCH` at a time."""
    entries = _entries(folder)
    waited: list[float] = []
    kept: list[float] = []
    for batch in range(calls // BATCH):
        begun = time.perf_counter()
        for index in range(BATCH):
            value = os.urandom(VALUE)
            one = time.perf_counter()
            await entries.set("x", f"{seed}-{batch}-{index}".encode(), value, ttl_s=3600)
            waited.append((time.perf_counter() - one) * 1e6)
        # It comes after all that waits.
        await entries.delete("none", b"")
        kept.append((time.perf_counter() - begun) / BATCH * 1e6)
    await entries.close()
    return waited, kept


def sets(calls: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        return faults.spread(asyncio.run(_sets(folder, calls, 0))[1])


def gets(calls: int) -> dict[str, float]:
    async def main(folder: str) -> list[float]:
        await _sets(folder, calls, 0)
        entries = _entries(folder)
        took: list[float] = []
        for index in range(calls):
            key = f"0-{index // BATCH}-{index % BATCH}".encode()
            begun = time.perf_counter()
            assert await entries.get("x", key) is not None
            took.append((time.perf_counter() - begun) * 1e6)
        await entries.close()
        return took

    with tempfile.TemporaryDirectory() as folder:
        return faults.spread(asyncio.run(main(folder)))


def _waited(folder: str, calls: int, seed: int) -> list[float]:
    return asyncio.run(_sets(folder, calls, seed))[0]


def two_processes(calls: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(2) as pool:
        asyncio.run(_sets(folder, BATCH, 0))
        both = [pool.submit(_waited, folder, calls, seed) for seed in (1, 2)]
        return faults.spread([took for one in both for took in one.result()])


def loop_hit(calls: int) -> float:
    return gets(calls)["p50"]


def key(calls: int) -> float:
    """A turn adds a message to a conversation whose digest is kept."""
    messages: list[Message] = [
        UserMessage(content=each["content"]) if each["role"] == "user" else AssistantMessage(content=each["content"])
        for each in faults.conversation()
    ]
    head = chain_digest(map(said, messages))
    turn = said(UserMessage(content="And now?"))
    took: list[float] = []
    for _ in range(calls):
        begun = time.perf_counter()
        chain_digest((turn,), head)
        took.append((time.perf_counter() - begun) * 1e6)
    return faults.spread(took)["p50"]


def pool(calls: int, delay_s: float) -> dict[str, float]:
    """Commands over the pool, and the share of them that found a connection."""

    async def main() -> dict[str, float]:
        async with servers.running(delay_s) as port:
            connections = RedisPool(PoolOptions(url=f"redis://127.0.0.1:{port}/0"))
            await connections.open()
            value = os.urandom(VALUE)
            us = await servers.median_us(lambda: connections.run("SET", "key", value), calls)
            reuse = connections.stats().reuse_ratio
            await connections.close()
            return {"us": us, "reuse": reuse}

    return asyncio.run(main())

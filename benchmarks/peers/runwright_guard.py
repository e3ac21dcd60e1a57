"""Our guard with its defaults, changed only where a case says what it is about."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from peers import faults
from peers.faults import Send
from runwright.core.event import GuardDecided
from runwright.core.policy import DEFAULT_GUARD, plan
from runwright.guard import Breaker, Call, Guard, Hedge, Limit, Registry, Retry, Sending, Surroundings, Trail
from runwright.guard import Spend as Spent
from runwright.guard.chain import guard as guard_of
from runwright.guard.virtual import run_virtual


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

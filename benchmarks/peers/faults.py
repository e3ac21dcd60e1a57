"""The faults that all are given: an upstream in memory, and what to count. Seeds make them the same for everybody."""

import asyncio
import math
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from random import Random

Send = Callable[[], Awaitable[object]]

CALL_S = 0.5
"""How long an upstream takes to answer or to fail, in virtual time."""


class Down(Exception):
    """What an upstream raises that answers 503."""

    status_code = 503


class Busy(Exception):
    """What an upstream raises that answers 429."""

    status_code = 429


class Flaky:
    """Fails a share of its calls, independently of each other."""

    def __init__(self, share: float, seed: int, *, takes_s: float = 0.0) -> None:
        self._share = share
        self._random = Random(seed)
        self._takes_s = takes_s
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        await asyncio.sleep(self._takes_s)
        if self._random.random() < self._share:
            raise Down
        return "answer"


class Counted:
    """Serves at most `rate` calls a second, a second's worth at once, and refuses the rest.

    Arrivals are counted by the tenth of a second.
    """

    def __init__(self, rate: float, *, refuse_until_s: float = 0.0) -> None:
        self._rate = rate
        self._refuse_until_s = refuse_until_s
        self._allowed = 0.0
        self._at = 0.0
        self.served = 0
        self.refused = 0
        self.arrivals: Counter[int] = Counter()

    async def __call__(self) -> str:
        now = asyncio.get_running_loop().time()
        self.arrivals[int(now * 10)] += 1
        if now >= self._refuse_until_s:
            self._allowed = min(self._rate, self._allowed + (now - self._at) * self._rate)
            self._at = now
            if self._allowed >= 1:
                self._allowed -= 1
                self.served += 1
                return "answer"
        self.refused += 1
        raise Busy


async def success(call: Callable[[Send], Awaitable[object]], *, share: float, calls: int, seed: int) -> float:
    """The share of calls that come through, one after the other."""
    flaky = Flaky(share, seed, takes_s=CALL_S)
    return sum([await _is_well(call, flaky) for _ in range(calls)]) / calls


async def outage(call: Callable[[Send], Awaitable[object]], *, calls: int, skip: int) -> float:
    """Upstream calls per call while everything fails, after the first `skip` calls."""
    flaky = Flaky(1.0, 0, takes_s=CALL_S)
    for _ in range(skip):
        await _is_well(call, flaky)
    before = flaky.calls
    for _ in range(calls):
        await _is_well(call, flaky)
    return (flaky.calls - before) / calls


async def herd(call: Callable[[Send], Awaitable[object]], *, clients: int, rate: float) -> dict[str, float]:
    """All clients are refused at once: the most arrivals in a tenth of a second of the second wave, and the rest."""
    upstream = Counted(rate, refuse_until_s=0.001)
    loop = asyncio.get_running_loop()
    done = await asyncio.gather(*(_is_well(call, upstream) for _ in range(clients)))
    first = min(upstream.arrivals)
    return {
        "peak": max((count for tenth, count in upstream.arrivals.items() if tenth > first), default=0),
        "calls": sum(upstream.arrivals.values()) / clients,
        "done_s": loop.time(),
        "served": sum(done) / clients,
    }


async def pacing(
    calls: Sequence[Callable[[Send], Awaitable[object]]], *, workers: int, quota: float, each: int
) -> dict[str, float]:
    """Workers of several processes, which know nothing of each other, under one quota: refusals for each success.

    Worker n makes its calls through the n-th of `calls`, going round.
    """
    upstream = Counted(quota)
    loop = asyncio.get_running_loop()

    async def work(call: Callable[[Send], Awaitable[object]]) -> int:
        return sum([await _is_well(call, upstream) for _ in range(each)])

    done = await asyncio.gather(*(work(calls[index % len(calls)]) for index in range(workers)))
    return {
        "refused": upstream.refused / max(1, upstream.served),
        "lost": workers * each - sum(done),
        "makespan": loop.time() / (workers * each / quota),
    }


async def stalls(call: Callable[[Send], Awaitable[object]], *, calls: int, seed: int) -> dict[str, float]:
    """Seconds of calls whose first token takes 0.8 s in the middle (lognormal), and of which 1.5 % stall for 15-45 s.

    The figures are assumed, not those of a provider. `extra` is the share of upstream calls beyond one a call.
    """
    random = Random(seed)
    asked = 0

    async def slow() -> str:
        nonlocal asked
        asked += 1
        stalls = random.random() < 0.015
        await asyncio.sleep(random.uniform(15, 45) if stalls else random.lognormvariate(math.log(0.8), 0.5))
        return "answer"

    loop = asyncio.get_running_loop()
    took: list[float] = []
    for _ in range(calls):
        begun = loop.time()
        await call(slow)
        took.append(loop.time() - begun)
    return {**spread(took), "extra": asked / calls - 1}


async def cost_us(call: Callable[[Send], Awaitable[object]], calls: int) -> float:
    """Microseconds of a call that succeeds, above those of its bare await."""

    async def bare() -> str:
        return "answer"

    async def timed(once: Callable[[], Awaitable[object]]) -> float:
        begun = time.perf_counter()
        for _ in range(calls):
            await once()
        return (time.perf_counter() - begun) / calls * 1e6

    floor = await timed(bare)
    return await timed(lambda: call(bare)) - floor


async def let_through(call: Callable[[Send], Awaitable[object]], *, callers: int, open_s: float) -> int:
    """Of so many callers at the moment when an open breaker may be tried, how many reach the upstream."""
    down = Flaky(1.0, 0)
    for _ in range(50):
        await _is_well(call, down)
    await asyncio.sleep(open_s)
    reached = 0

    async def slow() -> str:
        nonlocal reached
        reached += 1
        await asyncio.sleep(1)
        raise Down

    await asyncio.gather(*(_is_well(call, slow) for _ in range(callers)))
    return reached


async def stampede(call: Callable[[Send], Awaitable[object]], *, askers: int) -> int:
    """Upstream calls of so many equal askers of something that nobody has asked before."""
    asked = 0

    async def slow() -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.05)
        return "answer"

    await asyncio.gather(*(call(slow) for _ in range(askers)))
    return asked


async def followers_served(call: Callable[[Send], Awaitable[object]], *, followers: int) -> dict[str, int]:
    """Of the followers of an asker that is cancelled, how many get their answer, and at how many upstream calls."""
    asked = 0

    async def slow() -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.05)
        return "answer"

    leader = asyncio.ensure_future(call(slow))
    await asyncio.sleep(0.01)
    waiting = [asyncio.ensure_future(call(slow)) for _ in range(followers)]
    await asyncio.sleep(0.01)
    leader.cancel()
    done, pending = await asyncio.wait(waiting, timeout=5)
    for task in pending:
        task.cancel()
    return {"served": sum(_is_answer(task) for task in done), "upstream": asked}


def conversation() -> list[dict[str, str]]:
    """200 messages of 2 KB each."""
    random = Random(0)
    words = ["".join(random.choices("abcdefghij", k=7)) for _ in range(1000)]
    texts = (" ".join(random.choices(words, k=256)) for _ in range(200))
    return [{"role": "user" if index % 2 == 0 else "assistant", "content": text} for index, text in enumerate(texts)]


def spread(samples: list[float]) -> dict[str, float]:
    """The median and the 99th percentile."""
    return {"p50": statistics.median(samples), "p99": statistics.quantiles(samples, n=100)[98]}


def _is_answer(task: "asyncio.Future[object]") -> bool:
    return not task.cancelled() and task.exception() is None and task.result() == "answer"


async def _is_well(call: Callable[[Send], Awaitable[object]], send: Send) -> bool:
    try:
        await call(send)
    except Exception:  # noqa: BLE001 - whatever a peer makes of a fault
        return False
    return True

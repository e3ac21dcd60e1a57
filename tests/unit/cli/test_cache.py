"""`runwright cache`."""

import msgspec
from inline_snapshot import snapshot

from runwright.cli.cache import clear, stats
from runwright.core.sizes import Share
from runwright.service.cache import CacheCleared, CachePlace, CacheSpace, CacheView
from tests.unit.cli.fakes import FakeAccess, FakeCall

VIEW = CacheView(
    hits=1200,
    misses=30,
    joined=4,
    stores=30,
    saved_usd="1.25",
    saved_tokens=54000,
    places=(
        CachePlace(
            name="memory",
            entries=25,
            bytes=40_000,
            limit=64_000_000,
            evicted=1,
            spaces=(
                Share(name="model", count=20, bytes=39_000),
                Share(name="tool", count=5, bytes=1000),
            ),
        ),
        CachePlace(name="database", entries=0, bytes=0, limit=None, evicted=0, spaces=()),
    ),
)


class FakeCache:
    """The cache of a test; what was cleared stands in `cleared`."""

    def __init__(self) -> None:
        self.cleared: list[CacheSpace | None] = []

    async def stats(self) -> CacheView:
        """Some hits."""
        return VIEW

    async def clear(self, of: CacheSpace | None = None) -> CacheCleared:
        """Forget."""
        self.cleared.append(of)
        return CacheCleared(entries=1234)


async def test_stats_are_a_table() -> None:
    """Each place with what it holds by kind and in all, then what the cache did."""
    call = FakeCall(FakeAccess(cache=FakeCache()))
    await stats(call=call)
    assert call.printed == snapshot("""\
PLACE	OF	ENTRIES	SIZE	LIMIT	EVICTED
memory	model	20	39 kB		
memory	tool	5	1 kB		
memory	all	25	40 kB	64 MB	1
database	all	0	0 B	-	0

1,200 hits, 30 misses, 4 joined, 30 stored; saved 54,000 tokens, 1.25 USD
""")


async def test_stats_as_json() -> None:
    """The whole report."""
    call = FakeCall(FakeAccess(cache=FakeCache()), is_json=True)
    await stats(call=call)
    assert msgspec.json.decode(call.printed, type=CacheView) == VIEW


async def test_clear() -> None:
    """It says how many answers went, and asks for what was named."""
    cache = FakeCache()
    call = FakeCall(FakeAccess(cache=cache))
    await clear(call=call)
    await clear(of="tool", call=call)
    assert cache.cleared == [None, "tool"]
    assert call.printed == "1,234 answers forgotten\n" * 2

"""What every implementation of the KeyValue port does."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.backends.redis import RedisKeyValue, RedisPool
from runwright.core.ports import KeyValue
from runwright.guard.key_value import MemoryKeyValue
from runwright.store import open_stores
from runwright.store.cache import SqlKeyValue

pytestmark = pytest.mark.anyio

LIMIT = 80_000


class Watch:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time_s = 1_000_000.0
        self.elsewhere: Callable[[float], Awaitable[None]] | None = None
        """How time passes at a server that has a clock of its own."""

    def __call__(self) -> float:
        """Seconds."""
        return self.time_s

    async def move(self, seconds: float) -> None:
        """Let time pass."""
        self.time_s += seconds
        if self.elsewhere is not None:
            await self.elsewhere(seconds)


async def take_time(pool: RedisPool, seconds: float) -> None:
    """Take so much from the time of every entry of a server."""
    for key in await pool.run("KEYS", "*"):
        left_ms = await pool.run("PTTL", key) - seconds * 1000
        await pool.run("PEXPIRE", key, round(left_ms))


@pytest.fixture
def watch() -> Watch:
    """The clock of the entries."""
    return Watch()


@pytest.fixture(params=["memory", "database in memory", "database", "redis"])
async def kept(
    request: pytest.FixtureRequest, tmp_path: Path, watch: Watch, pool: RedisPool
) -> AsyncIterator[KeyValue]:
    """An open store of entries."""
    if request.param == "redis":
        watch.elsewhere = partial(take_time, pool)
        yield RedisKeyValue(pool, largest=LIMIT // 8)
        return
    async with _own(request.param, tmp_path, watch) as held:
        yield held


@pytest.fixture(params=["memory", "database in memory", "database"])
async def bounded(request: pytest.FixtureRequest, tmp_path: Path, watch: Watch) -> AsyncIterator[KeyValue]:
    """An open store of entries with a limit of its own; that of Redis is set at the server."""
    async with _own(request.param, tmp_path, watch) as held:
        yield held


@asynccontextmanager
async def _own(kind: str, tmp_path: Path, watch: Watch) -> AsyncGenerator[KeyValue]:
    if kind == "memory":
        yield MemoryKeyValue(limit=LIMIT, now=watch)
        return
    url = tmp_path / "runwright.db" if kind == "database" else "sqlite://"
    stores = await asyncio.to_thread(open_stores, url)
    held = await asyncio.to_thread(SqlKeyValue, stores.database, limit=LIMIT, now=watch)
    yield held
    await held.close()
    await asyncio.to_thread(stores.close)


async def test_what_is_set_is_there(kept: KeyValue) -> None:
    """A value is found at once and after it was written, under its namespace and key alone, and can be replaced."""
    await kept.set("a", b"k", b"one", ttl_s=10)
    assert await kept.get("a", b"k") == b"one"
    await kept.size()
    assert await kept.get("a", b"k") == b"one"
    assert await kept.get("b", b"k") is None
    assert await kept.get("a", b"other") is None
    await kept.set("a", b"k", b"two", ttl_s=10)
    assert await kept.get("a", b"k") == b"two"
    await kept.size()
    assert await kept.get("a", b"k") == b"two"


async def test_any_bytes(kept: KeyValue) -> None:
    """Keys and values are any bytes, also none at all."""
    await kept.set("a", b"\x00\xff", b"", ttl_s=10)
    await kept.set("a", b"", bytes(range(256)), ttl_s=10)
    await kept.size()
    assert await kept.get("a", b"\x00\xff") == b""
    assert await kept.get("a", b"") == bytes(range(256))


async def test_time_is_over(kept: KeyValue, watch: Watch) -> None:
    """A value is there until its time is over, and not at that moment; setting it anew begins anew."""
    await kept.set("a", b"k", b"v", ttl_s=10)
    await watch.move(9.5)
    assert await kept.get("a", b"k") == b"v"
    await kept.size()
    assert await kept.get("a", b"k") == b"v"
    await watch.move(0.5)
    assert await kept.get("a", b"k") is None
    await kept.set("a", b"k", b"v", ttl_s=10)
    await watch.move(9)
    assert await kept.get("a", b"k") == b"v"


async def test_no_time_at_all(kept: KeyValue) -> None:
    """What is to be held for no time is not held."""
    await kept.set("a", b"k", b"v", ttl_s=0)
    assert await kept.get("a", b"k") is None
    assert (await kept.size()).spaces == ()


async def test_clear(kept: KeyValue) -> None:
    """A namespace is cleared alone, or all are."""
    for space in ("a", "b", "c"):
        for key in (b"1", b"2"):
            await kept.set(space, key, b"v", ttl_s=10)
    assert await kept.clear("a") == 2
    assert [space.name for space in (await kept.size()).spaces] == ["b", "c"]
    assert await kept.clear() == 4
    assert await kept.get("b", b"1") is None
    assert await kept.clear() == 0


async def test_room(bounded: KeyValue, watch: Watch) -> None:
    """However much is set, it stays within its limit: what is new stays, and what went is counted."""
    for number in range(200):
        await bounded.set("a", b"%d" % number, bytes(1000), ttl_s=1000)
        await watch.move(1)
    size = await bounded.size()
    assert sum(space.bytes or 0 for space in size.spaces) <= LIMIT == size.limit
    assert sum(space.count for space in size.spaces) >= 50
    assert size.evicted == 200 - sum(space.count for space in size.spaces)
    assert await bounded.get("a", b"199") == bytes(1000)
    assert await bounded.get("a", b"0") is None


async def test_too_large(kept: KeyValue) -> None:
    """A value that would drive out the others is not held."""
    await kept.set("a", b"small", b"v", ttl_s=10)
    await kept.set("a", b"large", bytes(LIMIT), ttl_s=10)
    assert await kept.get("a", b"large") is None
    assert await kept.get("a", b"small") == b"v"


def test_entries_outlive_the_process(tmp_path: Path) -> None:
    """What was held in a database is there when it is opened again."""

    async def use(work: Callable[[SqlKeyValue], Awaitable[None]]) -> None:
        stores = await asyncio.to_thread(open_stores, tmp_path / "runwright.db")
        held = await asyncio.to_thread(SqlKeyValue, stores.database)
        await work(held)
        await held.close()
        await asyncio.to_thread(stores.close)

    async def check(held: SqlKeyValue) -> None:
        assert await held.get("a", b"k") == b"v"

    asyncio.run(use(lambda held: held.set("a", b"k", b"v", ttl_s=100)))
    asyncio.run(use(check))


@given(
    deeds=st.lists(
        st.tuples(
            st.sampled_from(["set", "get", "wait", "clear"]),
            st.sampled_from(["a", "b"]),
            st.integers(0, 3),
            st.integers(1, 9),
        ),
        max_size=20,
    )
)
def test_like_a_dictionary(deeds: list[tuple[str, str, int, int]]) -> None:
    """While there is room, entries in memory are those of a dictionary whose entries have a time."""

    async def main() -> None:
        watch = Watch()
        held = MemoryKeyValue(now=watch)
        model: dict[tuple[str, int], tuple[bytes, float]] = {}
        for deed, space, key, number in deeds:
            model = {place: found for place, found in model.items() if found[1] > watch.time_s}
            if deed == "set":
                await held.set(space, b"%d" % key, b"%d" % number, ttl_s=number)
                model[space, key] = (b"%d" % number, watch.time_s + number)
            elif deed == "get":
                found = model.get((space, key))
                assert await held.get(space, b"%d" % key) == (None if found is None else found[0])
            elif deed == "wait":
                watch.time_s += number
            else:
                await held.clear(space)
                model = {place: found for place, found in model.items() if place[0] != space}
        for space, key in ((space, key) for space in "ab" for key in range(4)):
            found = model.get((space, key))
            is_held = found is not None and found[1] > watch.time_s
            assert (await held.get(space, b"%d" % key) is not None) == is_held
        await held.clear()
        assert (await held.size()).spaces == ()

    asyncio.run(main())

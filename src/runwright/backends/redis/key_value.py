"""The KeyValue port over Redis: entries that all processes share, which the server itself forgets in time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from runwright.backends.redis.pool import RedisPool
from runwright.core.sizes import KeyValueSize, Share

LARGEST: Final = 8 << 20
"""Bytes of the largest value that is held."""

PIECE: Final = 500
"""Keys that one command looks at, so that no other command waits for long."""

MIDDLE: Final = b":"


class RedisKeyValue:
    """Entries in Redis. How much room there is, and what goes first, is set at the server (`maxmemory`)."""

    def __init__(self, pool: RedisPool, *, prefix: str = "runwright", largest: int = LARGEST) -> None:
        self._pool = pool
        self._prefix = f"{prefix}:cache:".encode()
        self._largest = largest

    async def get(self, space: str, key: bytes) -> bytes | None:
        """What is held under a key, until its time is over. Raises StorageError."""
        return await self._pool.run("GET", self._key(space, key))

    async def set(self, space: str, key: bytes, value: bytes, *, ttl_s: float) -> None:
        """Hold it for that many seconds. What is too large is not held. Raises StorageError."""
        ttl_ms = int(ttl_s * 1000)
        if len(value) > self._largest or ttl_ms <= 0:
            return
        await self._pool.run("SET", self._key(space, key), value, "PX", ttl_ms)

    async def clear(self, space: str | None = None) -> int:
        """Forget all of a namespace, or of all; how many entries that were. Raises StorageError."""
        count = 0
        async for keys in self._keys(space):
            count += await self._pool.run("UNLINK", *keys)
        return count

    async def size(self) -> KeyValueSize:
        """How much is held; `limit` and `evicted` are the whole server's. Raises StorageError."""
        spaces: dict[str, tuple[int, int]] = {}
        # A key may be found twice while the server makes its table larger.
        seen: set[bytes] = set()
        async for keys in self._keys(None):
            fresh = list(dict.fromkeys(key for key in keys if key not in seen))
            seen.update(fresh)
            for key, length in zip(fresh, await self._pool.run_all([("STRLEN", key) for key in fresh]), strict=True):
                name = key.removeprefix(self._prefix).partition(MIDDLE)[0].decode()
                count, size = spaces.get(name, (0, 0))
                spaces[name] = (count + 1, size + length)
        told = await self._pool.run("INFO", "everything")
        shares = [Share(name=name, count=count, bytes=size) for name, (count, size) in sorted(spaces.items())]
        evicted = int(told.get("evicted_keys", 0))
        return KeyValueSize(
            place="redis", limit=int(told.get("maxmemory", 0)) or None, evicted=evicted, spaces=tuple(shares)
        )

    async def close(self) -> None:
        """Nothing is left to be written; the pool is its owner's."""

    def _key(self, space: str, key: bytes) -> bytes:
        return self._prefix + space.encode() + MIDDLE + key

    async def _keys(self, space: str | None) -> AsyncIterator[Sequence[bytes]]:
        pattern = _literal(self._prefix if space is None else self._key(space, b"")) + b"*"
        cursor = 0
        while True:
            cursor, keys = await self._pool.run("SCAN", cursor, "MATCH", pattern, "COUNT", PIECE)
            if keys:
                yield keys
            if not cursor:
                return


def _literal(text: bytes) -> bytes:
    """A pattern that only this text matches."""
    return b"".join(b"\\" + each if each in b"\\*?[]^" else each for each in (bytes([byte]) for byte in text))

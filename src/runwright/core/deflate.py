"""Small texts compressed with a dictionary of what such texts hold (RFC 1951, without a header)."""

from __future__ import annotations

import zlib
from typing import Final

LARGEST: Final = 1 << 30
"""Bytes that compressed data may unpack to; SQLite takes no larger value."""

# Windows of 4 kB: to set up zlib's usual 32 kB takes longer than to compress a small text.
_LEVEL, _WINDOW, _MEMORY = 6, -12, 5


class Deflate:
    """Compresses with a dictionary of at most 3 kB; what is frequent stands at its end. Safe in any thread."""

    def __init__(self, dictionary: bytes) -> None:
        self._dictionary = dictionary
        self._fresh = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zdict=dictionary)

    def pack(self, data: bytes) -> bytes:
        """The data, compressed."""
        packer = self._fresh.copy()
        return packer.compress(data) + packer.flush()

    def unpack(self, data: bytes, *, largest: int = LARGEST) -> bytes:
        """The data as it was. Raises ValueError for what was not packed so, or holds more than `largest` bytes."""
        unpacker = zlib.decompressobj(_WINDOW, zdict=self._dictionary)
        try:
            text = unpacker.decompress(data, largest)
        except zlib.error as error:
            raise ValueError(f"it is not compressed as it should be: {error}") from None
        if not unpacker.eof:
            raise ValueError(f"it holds more than {largest} bytes" if len(text) == largest else "its end is missing")
        if unpacker.unused_data:
            raise ValueError("something stands behind its end")
        return text

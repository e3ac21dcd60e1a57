"""Content-addressed bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from runwright.store.database import Database
from runwright.store.rows import blob_of
from runwright.store.schema import blobs

# SQLite takes at most 32,766 parameters; a few hundred keep the statement small.
_CHUNK = 500


class SqlBlobs:
    """The Blobs port over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, hashes: Sequence[str]) -> Mapping[str, bytes]:
        """The bytes of those hashes that are stored. Raises ValueError when one is no hex."""
        if not hashes:
            return {}
        keys = [bytes.fromhex(text) for text in hashes]
        with self._database.read() as connection:
            found = fetch_blobs(connection, keys)
        return {key.hex(): data for key, data in found.items()}


def fetch_blobs(connection: Connection, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """The bytes of those keys that are stored."""
    found: dict[bytes, bytes] = {}
    wanted = list(dict.fromkeys(keys))
    for start in range(0, len(wanted), _CHUNK):
        query = select(blobs.c.hash, blobs.c.codec, blobs.c.data).where(
            blobs.c.hash.in_(wanted[start : start + _CHUNK])
        )
        for key, codec, data in connection.execute(query):
            found[bytes(key)] = blob_of(codec, data)
    return found

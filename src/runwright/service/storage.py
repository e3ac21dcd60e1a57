"""Storage: what takes the space of the store."""

from __future__ import annotations

import asyncio

from runwright.core.sizes import Sizes
from runwright.journal.shapes import referring
from runwright.store.database import Database
from runwright.store.sizes import measure


class Storage:
    """What a caller can ask about the store as a whole."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sizes(self) -> Sizes:
        """What takes the space, looked through in a second for some hundred MB. Raises StorageError."""
        return await asyncio.to_thread(measure, self._database, referring)

"""What came into the store, whichever process wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from runwright.core.run import Run


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that changed behind the event at `after` and up to the one at `position`, as they stand now, oldest first.

    `is_gap` says that they are too many to be told: they are left out, and who listens looks again.
    """

    after: int
    position: int
    runs: Sequence[Run] = ()
    is_gap: bool = False


class ChangeStore(Protocol):
    """Runs by what was recorded last."""

    def newest(self) -> int:
        """The position of the newest event; 0 when there is none."""
        ...

    def since(self, after: int, *, limit: int) -> Changed:
        """What was recorded behind a position; a gap where that is more than `limit` rows."""
        ...

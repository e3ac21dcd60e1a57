"""What may go from a store, and the ports that say so and let it go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from runwright.core.ports import Stored


class Prunable(msgspec.Struct, frozen=True, gc=False):
    """A run that may go. It has at most as many event rows as `last_seq` says."""

    run_id: str
    last_seq: int
    ended_at: datetime


class PruneStore(Protocol):
    """What retention asks: which runs may go, and that they go, a little at a time."""

    def needed(self) -> Sequence[str]:
        """The runs that are pinned, and those that a run replays which is not over."""
        ...

    def oldest(
        self, *, before: datetime | None = None, after: str = "", keep: Collection[str] = (), limit: int = 200
    ) -> Sequence[Prunable]:
        """Runs that may go, oldest first: those that ended before a time, with ids above `after`, but those of `keep`.

        A page may be shorter than `limit`, and empty only when there is none any more.
        """
        ...

    def delete(self, chosen: Sequence[Prunable]) -> int:
        """Delete those of the runs that still may go, with all that is theirs alone; says how many."""
        ...

    def begin(self) -> int:
        """Begin a generation and give its number: from the next transaction on writers store again what they need."""
        ...

    def sweep(self, generation: int, references: Callable[[Iterable[Stored]], Collection[str]]) -> Iterator[int]:
        """Delete the blobs from before a generation that no event refers to; says how many, by pieces.

        `references` finds the hashes in the bodies of events.
        """
        ...

    def used(self) -> int:
        """Bytes that hold something."""
        ...

    def shrink(self) -> Iterator[int]:
        """Give what is free back to the file system; says how many bytes, piece by piece."""
        ...


class PinStore(Protocol):
    """Runs that stay whatever their age."""

    def put(self, run_id: str, at: datetime) -> None:
        """Pin a run; one that is pinned stays so."""
        ...

    def drop(self, run_id: str) -> bool:
        """Take the pin away; False when there was none."""
        ...

    def has(self, run_id: str) -> bool:
        """Whether a run is pinned."""
        ...

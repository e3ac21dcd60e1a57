"""`runwright cache`: answers that are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runwright.cli.call import Called
from runwright.cli.db import amount
from runwright.service.cache import CacheSpace

if TYPE_CHECKING:
    from runwright.service.cache import CachePlace


async def stats(*, call: Called) -> None:
    """Say what the cache holds, and what it did since its process began: ask a server for that.

    Args:
        call: What every command is handed.
    """
    async with call.open(has_agents=False, is_reading=True) as access:
        view = await access.cache.stats()
    if call.out.is_json:
        call.out.json(view)
        return
    columns = ("place", "of", "entries", "size", "limit", "evicted")
    call.out.table(columns, [row for place in view.places for row in _rows(place)])
    call.out.text("")
    saved = f"saved {view.saved_tokens:,} tokens, {view.saved_usd} USD"
    call.out.text(
        f"{view.hits:,} hits, {view.misses:,} misses, {view.joined:,} joined, {view.stores:,} stored; {saved}"
    )


async def clear(*, of: CacheSpace | None = None, call: Called) -> None:
    """Forget what is kept. A server at work keeps what it has in memory: clear it there, with --server.

    Args:
        of: Only answers of models, results of tools, or results of whole runs.
        call: What every command is handed.
    """
    async with call.open(has_agents=False) as access:
        cleared = await access.cache.clear(of)
    call.out.show(cleared, f"{cleared.entries:,} answers forgotten")


def _rows(place: CachePlace) -> list[tuple[object, ...]]:
    limit = "-" if place.limit is None else amount(place.limit)
    spaces = [(place.name, space.name, f"{space.count:,}", amount(space.bytes or 0), "", "") for space in place.spaces]
    return [*spaces, (place.name, "all", f"{place.entries:,}", amount(place.bytes), limit, f"{place.evicted:,}")]

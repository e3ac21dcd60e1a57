"""What takes the space of a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DatabaseError

from runwright.core.ports import Stored
from runwright.core.sizes import Share, Sizes
from runwright.store.blobs import fetch_blobs
from runwright.store.database import Database
from runwright.store.rows import event_of
from runwright.store.schema import blobs, events, memory_entries, metadata, runs

_PAGE = 1_000
_PAGES = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name"
_OWNERS = "SELECT name, tbl_name FROM sqlite_schema"

Referring = Callable[[Stored], Mapping[str, str]]
"""The blobs that a row of events refers to, each with the type of the event that does."""


def measure(database: Database, referring: Referring) -> Sizes:
    """Look through the whole store, which takes a second for some hundred MB. Raises StorageError."""
    with database.read() as connection:
        size, pages, free = (
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("page_size", "page_count", "freelist_count")
        )
        tables = _tables(connection)
        kinds, agents = _uses(connection, referring)
    log = Path(f"{database.place}-wal")
    return Sizes(
        database=size * pages,
        free=size * free,
        log=log.stat().st_size if log.exists() else 0,
        tables=tables,
        blobs=kinds,
        agents=agents,
    )


def _tables(connection: Connection) -> tuple[Share, ...]:
    """Tables with their indexes; bytes are not known where SQLite was built without `dbstat`."""
    owners = {str(row[0]): str(row[1]) for row in connection.exec_driver_sql(_OWNERS)}
    sizes: dict[str, int] = {}
    try:
        for name, size in connection.exec_driver_sql(_PAGES):
            table = owners.get(str(name), str(name))
            sizes[table] = sizes.get(table, 0) + size
    except DatabaseError:
        sizes = {}
    found = [
        Share(
            name=str(table.name),
            count=connection.scalar(select(func.count()).select_from(table)) or 0,
            bytes=sizes.get(table.name) if sizes else None,
        )
        for table in metadata.sorted_tables
    ]
    return _ordered(found)


def _uses(connection: Connection, referring: Referring) -> tuple[tuple[Share, ...], tuple[Share, ...]]:
    """Blobs by the kind of event that refers to them first, and bodies by the agent of that event's run."""
    sizes = {bytes(key): size for key, size in connection.execute(select(blobs.c.hash, func.length(blobs.c.data)))}
    kinds: dict[str, list[int]] = {}
    agents: dict[str, list[int]] = {}
    for row, used in _rows(connection, referring):
        agent = agents.setdefault(row.agent, [0, 0])
        agent[0] += 1
        agent[1] += len(row.body or b"")
        for key, name in used.items():
            size = sizes.pop(key, None)
            if size is not None:
                agent[1] += size
                kind = kinds.setdefault(name, [0, 0])
                kind[0] += 1
                kind[1] += size
    remembered = {bytes(key) for key in connection.scalars(select(memory_entries.c.blob)) if key is not None}
    for name, left in (("memory", remembered & sizes.keys()), ("nothing", sizes.keys() - remembered)):
        if left:
            kinds[name] = [len(left), sum(sizes[key] for key in left)]
    return _shares(kinds), _shares(agents)


def _rows(connection: Connection, referring: Referring) -> Iterator[tuple[Any, Mapping[bytes, str]]]:
    """Every row of events with the agent of its run, and the blobs that its body stands in or refers to."""
    after = 0
    while True:
        query = select(*events.columns, runs.c.agent).join(runs, runs.c.id == events.c.run_id)
        rows = connection.execute(query.where(events.c.position > after).order_by(events.c.position).limit(_PAGE)).all()
        if not rows:
            return
        after = rows[-1].position
        bodies = fetch_blobs(connection, [bytes(row.blob) for row in rows if row.blob is not None])
        for row in rows:
            body = row.body if row.blob is None else bodies.get(bytes(row.blob), b"")
            used = {bytes.fromhex(name): kind for name, kind in referring(event_of(row, body)).items()}
            yield row, used if row.blob is None else {bytes(row.blob): row.type, **used}


def _shares(found: dict[str, list[int]]) -> tuple[Share, ...]:
    return _ordered(Share(name=name, count=count, bytes=size) for name, (count, size) in found.items())


def _ordered(shares: Iterable[Share]) -> tuple[Share, ...]:
    return tuple(sorted(shares, key=lambda share: (-(share.bytes or 0), -share.count, share.name)))

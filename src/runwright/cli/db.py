"""`runwright db`: care for the database."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runwright.cli.call import Called, Flag
from runwright.errors import ConfigError, InvalidRequest

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from runwright.cli.call import Call
    from runwright.core.sizes import Share
    from runwright.service.retention import Pruned
    from runwright.store.stores import Stores

ARCHIVE = "archive"
KB = 1000


def migrate(*, call: Called) -> None:
    """Bring the database to the schema of this release. One that is there already stays as it is.

    Args:
        call: What every command is handed.
    """
    from runwright.app import DATABASE
    from runwright.store.migrate import HEAD
    from runwright.store.stores import open_stores

    path = call.settings().data / DATABASE
    open_stores(path, progress=call.out.note).close()
    call.out.show({"database": str(path), "revision": HEAD}, f"{path} has the schema of this release, revision {HEAD}")


def prune(*, older_than: str | None = None, size: str | None = None, dry_run: Flag = False, call: Called) -> None:
    """Delete old runs with all that is theirs, oldest first. Without options, by the settings of retention.

    Runs stay that are pinned or not over, that a thread goes on from, or that a run at work replays. Memory and
    stats stay. Answers of the cache go whose time is over. A server may go on meanwhile.

    Args:
        older_than: Runs that ended longer ago than this, as 12h, 30d or 2w.
        size: As many as it takes until the database has this size, as 500MB or 5GB.
        dry_run: Only say what would go; for a size, about how much.
        call: What every command is handed.
    """
    from runwright.core.clock import SystemClock
    from runwright.journal.read import JournalReader
    from runwright.sections import RetentionSettings
    from runwright.service.retention import Pruner, Rule
    from runwright.store.cache import sweep_cache

    retention = call.settings().retention
    chosen = RetentionSettings.of(size) if size is not None else retention if older_than is None else None
    age = _age(older_than) if older_than is not None else retention.age if size is None else None
    rule = Rule(age=age, size=None if chosen is None else chosen.size_bytes)
    if rule == Rule():
        raise InvalidRequest("Say what may go: --older-than 30d, --size 5GB, or the settings of retention.")
    with opened(call) as stores:
        # First, so that their room is given back too.
        if not dry_run and (gone := sweep_cache(stores.database, limit=call.settings().cache.database_bytes)):
            call.out.note(f"{gone:,} answers of the cache went: their time was over, or they had no room")
        reader = JournalReader(stores.runs, stores.blobs)
        pruner = Pruner(stores.prune, reader, SystemClock(), note=call.out.note)
        pruned = pruner.plan(rule) if dry_run else pruner.prune(rule, is_thorough=True)
    call.out.show(pruned, _told(pruned))


def compact(*, call: Called) -> None:
    """Write the database anew without gaps, so that from now on it can give back room by itself. Stop servers before.

    Args:
        call: What every command is handed.
    """
    from filelock import FileLock, Timeout

    from runwright.engine.owner import SERVER_LOCK

    data = call.settings().data
    with opened(call) as stores:
        lock = FileLock(data / SERVER_LOCK)
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise ConfigError(f"A server works on the data directory {str(data)!r}: stop it before.") from error
        try:
            before, after = stores.database.compact()
        finally:
            lock.release()
    call.out.show({"before": before, "after": after}, f"{amount(before)} before, {amount(after)} now")


def size(*, call: Called) -> None:
    """Say what takes the space: tables, blobs by what refers to them, agents, what is free.

    Args:
        call: What every command is handed.
    """
    from runwright.journal.shapes import referring
    from runwright.store.sizes import measure

    with opened(call) as stores:
        sizes = measure(stores.database, referring)
    out = call.out
    if out.is_json:
        out.json(sizes)
        return
    out.text(f"database {amount(sizes.database)}, of which free {amount(sizes.free)}; log {amount(sizes.log)}")
    for title, count, shares in (
        ("table", "rows", sizes.tables),
        ("blobs of", "blobs", sizes.blobs),
        ("agent", "rows", sizes.agents),
    ):
        out.text("")
        out.table((title, count, "size"), [_row(share) for share in shares if share.count])


def archive(*, call: Called) -> None:
    """Write the rows of runs and steps of each day before today into Parquet files. Needs the extra `analytics`.

    Args:
        call: What every command is handed.
    """
    from runwright.app import archive_days
    from runwright.core.clock import SystemClock

    with opened(call) as stores:
        written = archive_days(stores, archive_of(call), SystemClock().now())
    if call.out.is_json:
        call.out.json(written)
        return
    for name in written:
        call.out.note(name)
    call.out.text(f"{len(written)} files written")


def archive_of(call: Call) -> Path:
    """The folder of the archive."""
    return call.settings().data / ARCHIVE


@contextmanager
def opened(call: Call) -> Generator[Stores]:
    """The store of the data directory, which has to be there."""
    from runwright.app import DATABASE
    from runwright.store.stores import open_stores

    path = call.settings().data / DATABASE
    if not path.is_file():
        raise ConfigError(f"There is no database {str(path)!r}: name the data directory with --data.")
    stores = open_stores(path, progress=call.out.note)
    try:
        yield stores
    finally:
        stores.close()


def _age(text: str) -> timedelta:
    from datetime import timedelta

    from runwright.service.costs import AGO, HOURS

    found = AGO.fullmatch(text)
    if found is None:
        raise InvalidRequest(f"The age {text!r} cannot be read: write it as 12h, 30d or 2w.")
    return timedelta(hours=int(found[1]) * HOURS[found[2]])


def _told(pruned: Pruned) -> str:
    runs = f"{pruned.runs:,} runs" if pruned.until is None else f"{pruned.runs:,} runs up to {pruned.until:%Y-%m-%d}"
    if pruned.is_dry:
        return f"{runs} would be deleted; {amount(pruned.used)} are in use"
    return f"{runs} and {pruned.blobs:,} blobs deleted, {amount(pruned.freed)} freed, {amount(pruned.used)} in use"


def _row(share: Share) -> tuple[object, ...]:
    return (share.name, f"{share.count:,}", "-" if share.bytes is None else amount(share.bytes))


def amount(size: int) -> str:
    """Bytes in words."""
    number = float(size)
    for unit in ("B", "kB", "MB"):
        if number < KB:
            return f"{number:.3g} {unit}"
        number /= KB
    return f"{number:,.3g} GB"

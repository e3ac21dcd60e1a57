"""`runwright db`: care for the database."""

from __future__ import annotations

from runwright.cli.call import Called


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
    if call.out.is_json:
        call.out.json({"database": str(path), "revision": HEAD})
    else:
        call.out.text(f"{path} has the schema of this release, revision {HEAD}")

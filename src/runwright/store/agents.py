"""Definitions of agents and their versions."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, delete, false, insert, select, update

from runwright.core.agent import Definition
from runwright.core.ports import AgentRecord
from runwright.store.database import Database
from runwright.store.rows import Row, micros, moment
from runwright.store.schema import ACTIVE, agents

_decode = msgspec.json.Decoder(Definition).decode
_encode = msgspec.json.Encoder().encode


class SqlAgentStore:
    """The AgentStore port over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, record: AgentRecord) -> None:
        """Store a version and make it the active one. The same definition and fingerprint change nothing in it."""
        name, version = record.name, record.version
        with self._database.write() as connection:
            old = _find(connection, name, version)
            if old is not None and _is_same(_record(old), record):
                if _record(old).is_active:
                    return
                record = _record(old)
            connection.execute(delete(agents).where(agents.c.name == name, agents.c.version == version))
            others = update(agents).where(agents.c.name == name, ACTIVE)
            connection.execute(others.values(is_active=false()))
            connection.execute(insert(agents), _values(record))

    def get(self, name: str, version: str | None = None) -> AgentRecord | None:
        """A version, or the active one."""
        with self._database.read() as connection:
            row = _find(connection, name, version)
        return None if row is None else _record(row)

    def all(self) -> Sequence[AgentRecord]:
        """The active version of every agent, by name."""
        query = select(agents).where(ACTIVE).order_by(agents.c.name)
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(query)]

    def versions(self, name: str) -> Sequence[AgentRecord]:
        """All versions of an agent, newest first."""
        newest = (agents.c.created_at.desc(), agents.c.version.desc())
        query = select(agents).where(agents.c.name == name).order_by(*newest)
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(query)]

    def delete(self, name: str) -> bool:
        """Make an agent unknown; its runs stay. False when there was none."""
        with self._database.write() as connection:
            return connection.execute(delete(agents).where(agents.c.name == name)).rowcount > 0


def _is_same(one: AgentRecord, other: AgentRecord) -> bool:
    return (one.fingerprint, one.definition) == (other.fingerprint, other.definition)


def _find(connection: Connection, name: str, version: str | None) -> Row | None:
    query = select(agents).where(agents.c.name == name)
    query = query.where(ACTIVE if version is None else agents.c.version == version)
    return connection.execute(query).one_or_none()


def _values(record: AgentRecord) -> dict[str, object]:
    return {
        "name": record.name,
        "version": record.version,
        "definition": _encode(record.definition),
        "fingerprint": record.fingerprint,
        "source": record.source,
        "created_at": micros(record.created_at),
        "is_active": True,
    }


def _record(row: Row) -> AgentRecord:
    return AgentRecord(
        name=row[0],
        version=row[1],
        definition=_decode(row[2]),
        fingerprint=row[3],
        source=row[4],
        created_at=moment(row[5]),
        is_active=bool(row[6]),
    )

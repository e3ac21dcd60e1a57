"""What ended, counted by hour in the transaction that stores it, so that no sum has to read every step."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from sqlalchemy import BindParameter, Dialect, bindparam, insert, select, update
from sqlalchemy.engine.interfaces import DBAPICursor

from runwright.core.histogram import from_bytes, one, to_bytes
from runwright.core.money import IMPORTED
from runwright.core.ports import Batch
from runwright.core.run import Run
from runwright.core.step import Step
from runwright.core.usage import NO_USAGE, Usage
from runwright.store.rows import micros, names
from runwright.store.schema import rollup_hour
from runwright.store.statements import compiled

HOUR: Final = 3_600_000_000
RUN: Final = "run"
"""The kind of rows that count runs."""

_Key: TypeAlias = tuple[str, int, str, str, str, bool]
"""Kind, hour, agent, name, status, and whether it may cost something."""

_REMEMBERED = 1024
_COLUMNS = names(rollup_hour)
_KEYS = _COLUMNS[: _COLUMNS.index("calls")]
_VALUES = _COLUMNS[len(_KEYS) :]
_WIDTH = len(_VALUES)
_CALLS, _COST, _DURATION, _LATENCY = (_VALUES.index(name) for name in ("calls", "cost_nano", "duration_us", "latency"))
_ATTEMPTS, _RETRIED = _VALUES.index("attempts"), _VALUES.index("retried")
_INNER = frozenset({"sleep", "clock", "random", "id", "env"})
"""Kinds of steps that say nothing of the world: neither how long it takes nor whether it fails."""


class Counts:
    """What ended in the batches of one transaction: by key the values of the columns, the histogram as a number.

    What a tape answered did not happen again: such steps, and the runs that replay others, are not counted. Nor are
    runs from files, which took place elsewhere.
    """

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: dict[_Key, list[int]] = {}

    def add(self, batch: Batch) -> None:
        """Count the steps and the run that end in a batch. Both end once; what is unknown has not ended."""
        run = batch.run.run
        if run.cost.source == IMPORTED:
            return
        for step in batch.steps:
            if step.ended_at is not None and step.taped is None and step.is_over and step.kind not in _INNER:
                self._add_step(run.agent, step, micros(step.ended_at))
        if batch.is_end and run.ended_at is not None and run.replay_of is None:
            self._add_run(run, micros(run.ended_at))

    def _add_step(self, agent: str, step: Step, ended: int) -> None:
        cost, status = step.cost, step.status
        key = (step.kind, ended // HOUR, agent, step.name, status, cost.source != "none")
        values = self._add(key, step.usage, cost.nano_usd, duration_us=ended - micros(step.started_at))
        values[_ATTEMPTS] += step.attempt
        values[_RETRIED] += step.attempt > 1

    def _add_run(self, run: Run, ended: int) -> None:
        key = (RUN, ended // HOUR, run.agent, "", run.status, False)
        self._add(key, run.usage, run.cost.nano_usd, duration_us=ended - micros(run.started_at or run.created_at))

    def _add(self, key: _Key, usage: Usage, nano_usd: int | None, *, duration_us: int) -> list[int]:
        values = self.values.get(key)
        if values is None:
            values = self.values[key] = [0] * _WIDTH
        # A clock that was set back makes no time negative.
        duration_us = max(duration_us, 0)
        values[_CALLS] += 1
        if usage is not NO_USAGE:
            values[1] += usage.input_tokens
            values[2] += usage.output_tokens
            values[3] += usage.cached_input_tokens
            values[4] += usage.cache_write_tokens
            values[5] += usage.reasoning_tokens
            values[6] += usage.requests
            values[7] += usage.is_estimated
        if nano_usd is None:
            values[_COST + 1] += 1
        else:
            values[_COST] += nano_usd
        values[_DURATION] += duration_us
        values[_LATENCY] += one(duration_us)
        return values


class Rollups:
    """Adds counts to the rows of their hours.

    What a row holds is remembered, for another process seldom changes it: a row is changed only if it still has as
    many calls, else it is read again.
    """

    def __init__(self, dialect: Dialect) -> None:
        keys = [rollup_hour.c[name] == bindparam(f"of_{name}") for name in _KEYS]
        held = select(*(rollup_hour.c[name] for name in _VALUES)).where(*keys)
        self._held = compiled(dialect, held, [f"of_{name}" for name in _KEYS])
        self._insert = compiled(dialect, insert(rollup_hour), _COLUMNS)
        changes: dict[str, BindParameter[Any]] = {name: bindparam(f"to_{name}") for name in _VALUES}
        is_held = rollup_hour.c.calls == bindparam("held_calls")
        order = [*(f"to_{name}" for name in _VALUES), *(f"of_{name}" for name in _KEYS), "held_calls"]
        self._update = compiled(dialect, update(rollup_hour).where(*keys, is_held).values(changes), order)
        self._rows: dict[_Key, list[int]] = {}

    def write(self, cursor: DBAPICursor, counts: Counts) -> None:
        """Add what ended in this transaction."""
        for key, added in counts.values.items():
            held = self._rows.get(key)
            if held is None or not self._change(cursor, key, held, added=added):
                held = self._read(cursor, key)
                if held is None:
                    cursor.execute(self._insert, (*key, *_packed(added)))
                else:
                    self._change(cursor, key, held, added=added)

    def forget(self) -> None:
        """The transaction failed: what is remembered may never have been written."""
        self._rows.clear()

    def _change(self, cursor: DBAPICursor, key: _Key, held: list[int], *, added: list[int]) -> bool:
        values = [before + more for before, more in zip(held, added, strict=True)]
        cursor.execute(self._update, (*_packed(values), *key, held[_CALLS]))
        if cursor.rowcount == 0:
            return False
        if key not in self._rows and len(self._rows) >= _REMEMBERED:
            del self._rows[next(iter(self._rows))]
        self._rows[key] = values
        return True

    def _read(self, cursor: DBAPICursor, key: _Key) -> list[int] | None:
        cursor.execute(self._held, key)
        row = cursor.fetchone()
        return None if row is None else [*row[:_LATENCY], from_bytes(row[_LATENCY]), *row[_LATENCY + 1 :]]


def _packed(values: list[int]) -> list[int | bytes]:
    """The values of a row, with the histogram as it is stored."""
    return [*values[:_LATENCY], to_bytes(values[_LATENCY]), *values[_LATENCY + 1 :]]

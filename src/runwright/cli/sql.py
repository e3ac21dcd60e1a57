"""`runwright sql`: questions in SQL."""

from __future__ import annotations

from runwright.cli.call import Called
from runwright.cli.db import archive_of, opened


def sql(question: str, /, *, call: Called) -> None:
    """Answer a question in SQL over `runs`, `steps` and `costs`, live ones and those of the archive. Nothing changes.

    Args:
        question: One SELECT, in the SQL of DuckDB.
        call: What every command is handed.
    """
    from runwright.app import ask_sql

    with opened(call) as stores:
        answer = ask_sql(stores, archive_of(call), question)
    rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    call.out.show(rows, lambda: call.out.table(answer.columns, answer.rows))

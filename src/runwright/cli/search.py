"""What a search among runs found, in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from runwright.cli.output import Output, short
from runwright.service.search_views import FoundRuns

LINE = 80

OPTIONS = {"thread_id": "thread"}
"""Options of `runs ls` that are called otherwise than the filter."""


def print_found(out: Output, page: FoundRuns, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows of runs with where the text stands in each, how far back that is, and how to go on."""
    out.table((*columns, "found"), [(*row, _found(page, str(row[0]))) for row in rows])
    for name in page.names:
        out.note(f"The text is a value of --{OPTIONS.get(name, name)} too, which lists runs of any age at once.")
    back = "" if page.back_to is None else f", back to {page.back_to:%Y-%m-%d %H:%M:%S}"
    further = f" Look further back: --after {page.next}" if page.has_more else ""
    out.note(f"{page.looked_at} runs looked at{back}.{further}")


def _found(page: FoundRuns, run_id: str) -> str:
    match = page.matches.get(run_id)
    return "" if match is None else f"{match.place}: {short(match.before + match.found + match.after, LINE)}"

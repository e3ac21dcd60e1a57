"""`runwright costs`: what calls cost, and what they would cost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from runwright.cli.call import Called
from runwright.cli.output import Output
from runwright.core.cost import CostKey
from runwright.errors import InvalidRequest

if TYPE_CHECKING:
    from runwright.service.views import CostGroup, CostLineView, CostReport, RunCost

UNPRICED = "unpriced"


async def costs(
    *,
    by: CostKey = "model",
    since: str | None = None,
    until: str | None = None,
    agent: str | None = None,
    on_model: str | None = None,
    at_prices: Path | None = None,
    call: Called,
) -> None:
    """Sum up what calls cost. With another model or other prices, say what they would cost; nothing is changed.

    Args:
        by: What to sum up by.
        since: Calls that ended from then on: a day as 2026-11-01, or how long ago as 12h, 30d or 2w.
        until: Calls that ended before then.
        agent: Of this agent only.
        on_model: What the same calls would cost on this model, as provider:name.
        at_prices: What the same calls would cost at the prices of this file.
        call: What every command is handed.
    """
    from runwright.service.views import CostQuery

    prices = None if at_prices is None else await asyncio.to_thread(_read, at_prices)
    query = CostQuery(by=by, since=since, until=until, agent=agent, on_model=on_model, prices=prices)
    async with call.open(has_agents=False, is_reading=True) as access:
        report = await access.costs.report(query)
    call.out.show(report, lambda: _print(call.out, report))


def print_run(out: Output, cost: RunCost) -> None:
    """What a run cost, as a table of lines under its steps."""
    columns = ("step", "name", "unit", "quantity", "usd per million", "usd", "source")
    rows: list[tuple[object, ...]] = []
    for step in cost.steps:
        spent = "taped" if step.is_taped else step.cost.usd or UNPRICED
        source = " ".join([step.cost.source, *dict.fromkeys(line.version for line in step.lines if line.version)])
        rows.append((step.step, step.name, "", "", "", spent, source))
        rows += [_line(line, step.name) for line in step.lines]
    out.table(columns, rows)
    out.note(f"{cost.run_id}: {_usd(cost.cost.usd)}")


def _line(line: CostLineView, name: str) -> tuple[object, ...]:
    of = "" if line.ref == name else line.ref
    return ("", of, line.unit, line.quantity, line.unit_price_usd or "", line.amount_usd or UNPRICED, "")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"The file of prices {str(path)!r} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The file of prices {str(path)!r} is not UTF-8 text; write it in TOML.") from error


def _print(out: Output, report: CostReport) -> None:
    is_repriced = report.total.what_if is not None
    columns = (report.by, "calls", "input", "output", "usd", "unpriced")
    other = ("would be", "difference", "then unpriced") if is_repriced else ()
    rows = [_row(group, group.key or "-") for group in report.data]
    out.table((*columns, *other), [*rows, _row(report.total, "total")] if rows else [])
    if report.total.unpriced_calls:
        out.note(
            f"{report.total.unpriced_calls} of {report.total.calls} calls are unpriced and not in the sums: "
            "`runwright models price REF` shows what is known; docs: howto/costs."
        )
    if is_repriced:
        out.note(
            "The difference is of calls that are priced both ways. Another model may count the same text otherwise."
        )


def _row(group: CostGroup, key: str) -> tuple[object, ...]:
    usage, what_if = group.usage, group.what_if
    row = (key, group.calls, usage.input_tokens, usage.output_tokens, group.usd or UNPRICED, group.unpriced_calls)
    if what_if is None:
        return row
    return (*row, what_if.usd or UNPRICED, what_if.difference_usd, what_if.unpriced_calls)


def _usd(usd: str | None) -> str:
    return UNPRICED if usd is None else f"${usd}"

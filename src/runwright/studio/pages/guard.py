"""What stands around calls: how they fare, breakers, limits, budgets, the cache, Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import msgspec

from runwright.core.pool import PoolStats
from runwright.errors import InvalidRequest
from runwright.service.budgets import RaiseBody
from runwright.service.cache import CacheSpace, CacheView
from runwright.service.guard import GuardQuery, GuardReport
from runwright.studio.page import Action, Ask, Page, own_path

SPACES: tuple[CacheSpace, ...] = get_args(CacheSpace)


class GuardView(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of the guard since a time, and what it keeps."""

    since: str
    report: GuardReport
    cache: CacheView
    pools: Sequence[PoolStats]
    spaces: Sequence[CacheSpace] = SPACES


async def show_guard(ask: Ask) -> GuardView:
    """The figures of the guard. Raises InvalidRequest for a time that cannot be read."""
    since = ask.query.get("since", "7d")
    return GuardView(
        since=since,
        report=await ask.app.guard.report(GuardQuery(since=since, target=ask.query.get("target"))),
        cache=await ask.app.cache.stats(),
        pools=(await ask.app.redis.stats()).data,
    )


async def clear_cache(ask: Ask) -> str:
    """Forget what is kept of a kind, or all. Raises InvalidRequest."""
    asked = (await ask.form()).get("of", [""])[0]
    space: CacheSpace | None = next((each for each in SPACES if each == asked), None)
    if asked and space is None:
        raise InvalidRequest(f"What is kept is one of {', '.join(SPACES)}, not {asked[:40]!r}.")
    await ask.app.cache.clear(space)
    return ask.url("/guard")


async def raise_budget(ask: Ask) -> str:
    """Raise an account for its window; runs that wait for it go on. Raises InvalidRequest."""
    form = {name: values[0] for name, values in (await ask.form()).items() if values[0]}
    follows = own_path(form.pop("next", ""), "/guard")
    try:
        body = msgspec.convert(form, RaiseBody, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The limit is not valid: {error}.") from error
    await ask.app.budgets.raise_to(body, by="studio")
    return ask.url(follows)


PAGES = (Page(path="/guard", view=show_guard, template="guard.html", title="Guard", nav="Guard"),)
ACTIONS = (
    Action(path="/guard/cache/clear", act=clear_cache),
    Action(path="/guard/budgets/raise", act=raise_budget),
)

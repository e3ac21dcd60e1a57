"""Policies: what the guard may do with a call, as frozen values. A guard is a set of them.

In a `Guard`, None leaves a policy to the next wider place (run, tool, agent, model, app, in this order), True takes
the policy's defaults and False switches it off.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr

from runwright.core.money import NANO

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Usd = Annotated[str, Meta(pattern=r"^\d+(\.\d{1,9})?$")]
Share = Annotated[float, Meta(ge=0, le=1)]
BACKOFFS = ("exponential", "linear", "fibonacci", "decorrelated", "constant")
"""The built-in strategies of waiting."""

Strategy = Annotated[str, Meta(pattern=f"^({'|'.join(BACKOFFS)})$", extra_json_schema={"enum": list(BACKOFFS)})]
"""A name of a strategy. Data names a built-in one; code may name one of its own, as nothing is checked there."""

Window = Literal["run", "tree", "thread", "group", "user", "day", "month", "ever"]


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One thing that the guard does, with the figures that bound it."""


class Backoff(Policy, frozen=True, kw_only=True):
    """How long to wait before attempt n + 1, before jitter. Times are seconds.

    `full` jitter draws from 0 up to the computed wait (Brooker, "Exponential Backoff and Jitter", 2015), after the cap
    is applied; a provider's Retry-After is a floor under it. `strategy` is one of the built-in names, or in
    code one of the `backoffs` of its surroundings.
    """

    strategy: Strategy = "exponential"
    base_s: Seconds = 0.5
    multiplier: Annotated[float, Meta(ge=1)] = 2.0
    cap_s: Seconds = 20.0
    jitter: Literal["full", "equal", "none"] = "full"


class Retry(Policy, frozen=True, kw_only=True):
    """Send again what failed in a way that can pass. `attempts` counts the first one.

    Resends are paid from a bucket of `bucket` tokens a target, by the costs of AWS's retry rules of 2026 (transient 14,
    throttled 5; one back for a clean success, its cost for a resend that helped), so that an outage is not multiplied.
    """

    attempts: Count = 4
    backoff: Backoff = Backoff()
    bucket: Annotated[int, Meta(ge=0)] = 500


class Breaker(Policy, frozen=True, kw_only=True):
    """Stop calling a target that fails. Opens when of the last `window` calls, at least `minimum`, too many failed.

    A call slower than `slow_s`, a stream to its first chunk, counts as slow. Open for `open_s`, doubled after each
    failed probe up to `open_cap_s`, of which between a half and the whole is drawn; then one probe at a time.
    """

    failure_rate: Share = 0.5
    slow_rate: Share = 1.0
    slow_s: Seconds | None = None
    window: Count = 50
    minimum: Count = 20
    open_s: Seconds = 5.0
    open_cap_s: Seconds = 120.0


class Limit(Policy, frozen=True, kw_only=True):
    """How much may be sent to a target: requests and tokens a period (GCRA), and calls at once.

    `burst` is the share of a period's amount that may be sent at once. `adaptive` follows what the provider says in its
    headers, pauses for its Retry-After, and slows down on 429 (AIMD). At most `queue` calls wait, none longer than
    `queue_s`; those beyond are refused, background work first.
    """

    requests: Count | None = None
    tokens: Count | None = None
    per_s: Seconds = 60.0
    burst: Annotated[float, Meta(gt=0, le=1)] = 0.1
    concurrency: Count | None = None
    adaptive: bool = True
    queue: Annotated[int, Meta(ge=0)] = 1000
    queue_s: Seconds = 60.0


class Similar(Policy, frozen=True, kw_only=True):
    """Answer a question from the answer to one that is much like it: of conversations without tools, where all but the
    last message of the user is equal.

    In `shadow` every call is made, and what would have been answered is noted and compared. `answer` needs such
    evidence of the same agent and version: an upper bound of the share of wrong answers that is at most `risk`.
    Questions are alike from a cosine of `threshold`.
    """

    mode: Literal["shadow", "answer"] = "shadow"
    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.95
    risk: Annotated[float, Meta(ge=0.001, lt=1)] = 0.01


class Cache(Policy, frozen=True, kw_only=True):
    """Answer an equal call from its earlier answer, for `ttl_s` seconds.

    `of` says what is kept: answers of models and read tools, or the results of whole runs. Answers to sampled calls
    (temperature above 0 or not given) are kept and shared only with `sampled`. Equal calls at the same time are one;
    with `ttl_s` 0 that is all. `similar` also answers questions that are much alike.
    """

    ttl_s: Annotated[float, Meta(ge=0)] = 3600.0
    of: Literal["calls", "runs"] = "calls"
    sampled: bool = False
    similar: Similar | None = None


class Budget(Policy, frozen=True, kw_only=True):
    """What may be spent by a run, a run with all below it (`tree`), a thread, group, user, or by all that the place of
    this budget covers, in a window.

    `usd` is a decimal string; `usd_per_run="0.05"` is short for `usd="0.05", per="run"`. At the limit a call fails, or
    its run waits with the reason `budget` until the budget is raised.
    """

    usd: Usd | None = None
    usd_per_run: Usd | None = None
    tokens: Count | None = None
    calls: Count | None = None
    per: Window = "run"
    at_limit: Literal["fail", "wait"] = "fail"

    def __post_init__(self) -> None:
        """Take the short form. Raises ValueError where both forms are given."""
        if self.usd_per_run is None:
            return
        if self.usd is not None or self.per != "run":
            raise ValueError("usd_per_run stands for usd and per='run': give one of them")
        force_setattr(self, "usd", self.usd_per_run)
        force_setattr(self, "usd_per_run", None)

    @property
    def nano_usd(self) -> int | None:
        """The amount of money in nano-USD."""
        return None if self.usd is None else int(Decimal(self.usd) * NANO)


class Timeout(Policy, frozen=True, kw_only=True):
    """How long one attempt may take: to connect, to its first chunk, between chunks, and in all. None is no bound.

    Where `total_s` is not set, the agent's `limits.model_timeout_s` or `limits.tool_timeout_s` holds.
    """

    connect_s: Seconds | None = 10.0
    first_token_s: Seconds | None = None
    idle_s: Seconds | None = 60.0
    total_s: Seconds | None = None


class Hedge(Policy, frozen=True, kw_only=True):
    """Send a second equal call when the first is slow to begin, take the first that answers and cancel the other.

    After `after_s` seconds, or after the 95th percentile of what was measured. At most the share `extra` of calls is
    doubled. Only for calls without effects, and only before the first chunk.
    """

    after_s: Seconds | None = None
    extra: Share = 0.05


class Fallback(Policy, frozen=True, kw_only=True):
    """Where else to send a model call, in order, when its model fails or its breaker is open.

    With `mid_stream` also after the first chunk was shown: the stream then says that the answer begins again.
    """

    models: tuple[str, ...]
    mid_stream: bool = False

    def __post_init__(self) -> None:
        """Take a list too: policies are keys of what is known by them."""
        force_setattr(self, "models", tuple(self.models))


class _Figures(dict[str, Any]):
    """What a plugin is told: part of a policy, and so a key."""

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - nobody changes it
        return hash(msgspec.json.encode(self, order="deterministic"))


class Plugin(Policy, frozen=True, kw_only=True):
    """A guard that an installed package offers under this name, with what it is told by `config`."""

    name: str
    config: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Take a plain table."""
        force_setattr(self, "config", _Figures(self.config))


class Guard(Policy, frozen=True, kw_only=True, cache_hash=True):
    """A set of policies: `Guard(retry=Retry(attempts=3), cache=True, breaker=False)`."""

    retry: Retry | bool | None = None
    breaker: Breaker | bool | None = None
    limit: Limit | bool | None = None
    cache: Cache | bool | None = None
    budget: Budget | tuple[Budget, ...] | None = None
    timeout: Timeout | bool | None = None
    hedge: Hedge | bool | None = None
    fallback: Fallback | bool | None = None
    plugins: Plugin | tuple[Plugin, ...] | None = None


DEFAULT_GUARD = Guard(retry=Retry(), breaker=Breaker(), limit=Limit(), cache=False, timeout=Timeout(), hedge=False)
"""What holds where nobody says otherwise."""


class GuardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator set: for everything, for models by reference or `provider:*`, for tools by name."""

    app: Guard | None = None
    models: Mapping[str, Guard] = {}
    tools: Mapping[str, Guard] = {}


LIMITS: Final = "limits"
"""Whose the budgets are that an agent's `limits.tokens` and `limits.usd` are: those of each of its runs."""


class ScopedBudget(msgspec.Struct, frozen=True):
    """A budget and whose it is: `app`, `agent:NAME`, `tool:NAME`, `model:REF`, `limits` or `run`.

    `of` is the run above whose `limits` these are; empty for the run's own.
    """

    budget: Budget
    scope: str
    of: str = ""


class ScopedPlugin(msgspec.Struct, frozen=True):
    """A guard of a package and who set it."""

    plugin: Plugin
    scope: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The policies that hold for a call. None is off. `places` says where each that holds was set, by policy name.

    Of each policy the narrowest setting holds; budgets and plugins hold all together.
    """

    retry: Retry | None = None
    breaker: Breaker | None = None
    limit: Limit | None = None
    cache: Cache | None = None
    timeout: Timeout | None = None
    hedge: Hedge | None = None
    fallback: Fallback | None = None
    budgets: tuple[ScopedBudget, ...] = ()
    plugins: tuple[ScopedPlugin, ...] = ()
    places: tuple[tuple[str, str], ...] = ()

    def place(self, name: str) -> str:
        """Where the policy of this name was set."""
        return dict(self.places).get(name, "default")


_KINDS: dict[str, type[Policy]] = {
    "retry": Retry,
    "breaker": Breaker,
    "limit": Limit,
    "cache": Cache,
    "timeout": Timeout,
    "hedge": Hedge,
}


def plan(*guards: tuple[str, Guard | None]) -> Plan:
    """What holds, from (scope, guard) pairs, the widest first. Raises ValueError for a fallback that is just True."""
    chosen: dict[str, Policy | None] = {}
    places: dict[str, str] = {}
    budgets: list[ScopedBudget] = []
    plugins: dict[Plugin, ScopedPlugin] = {}
    for scope, guard in guards:
        if guard is None:
            continue
        for name in (*_KINDS, "fallback"):
            value: Policy | bool | None = getattr(guard, name)
            if value is None:
                continue
            chosen[name] = _policy(name, value)
            places[name] = scope
        given = guard.budget
        if given is not None:
            budgets += [ScopedBudget(each, scope) for each in (given if isinstance(given, tuple) else (given,))]
        for each in named_plugins(guard):
            plugins.setdefault(each, ScopedPlugin(each, scope))
    held = {name: policy for name, policy in chosen.items() if policy is not None}
    together = Plan(budgets=tuple(budgets), plugins=tuple(plugins.values()), places=tuple(places.items()))
    return msgspec.structs.replace(together, **held)


def named_plugins(guard: Guard) -> tuple[Plugin, ...]:
    """The plugins that a guard names, in order."""
    given = guard.plugins
    return given if isinstance(given, tuple) else () if given is None else (given,)


def _policy(name: str, value: Policy | bool) -> Policy | None:
    if isinstance(value, Policy):
        return value
    if not value:
        return None
    if name not in _KINDS:
        raise ValueError(f"{name}=True names no models; give {name.title()}(models=(...,))")
    return _KINDS[name]()

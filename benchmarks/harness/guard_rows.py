"""What is measured of the guard, with whom it is compared, and what is to be reached."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Value = float
Picked = Callable[[Any], Value]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line: the same case with the same arguments for us and for the peers that have it.

    `goal` is an absolute bound on our value, `ratio_goal` one on ours divided by the first peer's; `at_least` turns
    both.
    """

    label: str
    unit: str
    case: str
    peers: tuple[str, ...] = ()
    arguments: Mapping[str, object] = field(default_factory=dict[str, object])
    pick: str = ""
    goal: float | None = None
    ratio_goal: float | None = None
    at_least: bool = False
    rounds: int = 1

    def value(self, answer: Any) -> Value:
        return float(answer[self.pick] if self.pick else answer)

    def is_met(self, ours: Value, ratio: float | None) -> bool | None:
        """Whether the goals are reached; None where there is none to compare with."""
        pairs = [(ours, self.goal), (ratio, self.ratio_goal)]
        checks = [self._holds(value, goal) for value, goal in pairs if value is not None and goal is not None]
        return all(checks) if checks else None

    def _holds(self, value: float, goal: float) -> bool:
        return value >= goal if self.at_least else value <= goal

    @property
    def goals(self) -> str:
        sign = ">=" if self.at_least else "<="
        texts = [f"{sign} {self.goal:g}" if self.goal is not None else ""]
        texts.append(f"{sign} {self.ratio_goal:g}x" if self.ratio_goal is not None else "")
        return ", ".join(filter(None, texts))


STACK = "tenacity_circuitbreaker"
ROWS: tuple[Row, ...] = (
    Row(
        label="added time of a call that succeeds",
        unit="us",
        case="cost",
        peers=(STACK,),
        arguments={"calls": 3000},
        ratio_goal=0.3,
        rounds=9,
    ),
    Row(
        label="success, 15 % independent faults, 3 attempts",
        unit="share",
        case="success",
        peers=(STACK, "openai_sdk"),
        arguments={"share": 0.15, "calls": 100_000, "attempts": 3, "seed": 1},
        goal=0.996,
        at_least=True,
    ),
    Row(
        label="success, 15 % independent faults, 4 attempts",
        unit="share",
        case="success",
        peers=(STACK, "openai_sdk"),
        arguments={"share": 0.15, "calls": 100_000, "attempts": 4, "seed": 1},
        goal=0.999,
        at_least=True,
    ),
    Row(
        label="runs of 20 calls that succeed, the same with 4 attempts",
        unit="share",
        case="runs",
        arguments={"share": 0.15, "runs": 2000, "attempts": 4, "seed": 2},
        goal=0.989,
        at_least=True,
    ),
    Row(
        label="upstream calls per call in a full outage, after 50 calls",
        unit="calls",
        case="outage",
        peers=("openai_sdk", STACK),
        arguments={"calls": 200, "skip": 50},
        goal=1.05,
    ),
    Row(
        label="upstream calls for 200 equal calls at once",
        unit="calls",
        case="stampede",
        peers=("aiocache_cache", "cashews_cache", "openai_sdk"),
        arguments={"askers": 200},
        goal=1,
    ),
    Row(
        label="followers served when the first asker is cancelled, of 49",
        unit="callers",
        case="followers",
        peers=("cashews_cache", "aiocache_cache"),
        arguments={"followers": 49},
        pick="served",
        goal=49,
        at_least=True,
    ),
    Row(
        label="upstream calls of that",
        unit="calls",
        case="followers",
        peers=("cashews_cache", "aiocache_cache"),
        arguments={"followers": 49},
        pick="upstream",
        goal=1,
    ),
    Row(
        label="callers let through at half-open, of 50",
        unit="callers",
        case="half_open",
        peers=("tenacity_circuitbreaker", "purgatory_breaker", "aiobreaker_breaker", "hyx_breaker"),
        arguments={"callers": 50},
        goal=1,
    ),
    Row(
        label="herd: most arrivals in 100 ms after 1,000 clients were refused",
        unit="calls",
        case="herd",
        peers=("openai_sdk",),
        arguments={"clients": 1000, "rate": 100},
        pick="peak",
        ratio_goal=0.33,
    ),
    Row(
        label="refusals (429) for each success, two processes, 60 workers, quota 10/s",
        unit="calls",
        case="pacing",
        peers=("openai_sdk",),
        arguments={"workers": 60, "quota": 10, "each": 20},
        pick="refused",
        ratio_goal=0.1,
    ),
    Row(
        label="budget spent by 100 calls at once, of which it pays for 10",
        unit="budgets",
        case="overshoot",
        peers=("litellm_budget",),
        arguments={"callers": 100, "affordable": 10},
        goal=1,
    ),
    Row(
        label="cache: set of 4 KB until it is on disk, ours of 100 at a time, p50",
        unit="us",
        case="sets",
        peers=("diskcache_cache",),
        arguments={"calls": 2000},
        pick="p50",
        ratio_goal=0.4,
        rounds=5,
    ),
    Row(
        label="cache: get of 4 KB, p50",
        unit="us",
        case="gets",
        peers=("diskcache_cache",),
        arguments={"calls": 2000},
        pick="p50",
        ratio_goal=1.0,
        rounds=5,
    ),
    Row(
        label="cache: what a caller waits for a set while two processes write, p99",
        unit="us",
        case="two_processes",
        peers=("diskcache_cache",),
        arguments={"calls": 1000},
        pick="p99",
        ratio_goal=0.15,
        rounds=3,
    ),
    Row(
        label="cache: a hit in SQLite against one in Valkey, from the loop",
        unit="us",
        case="loop_hit",
        peers=("redis_py",),
        arguments={"calls": 2000},
        ratio_goal=0.25,
        rounds=5,
    ),
    Row(
        label="hedge: p99 where 1.5 % of calls stall",
        unit="s",
        case="stalls",
        peers=("openai_sdk",),
        arguments={"calls": 4000, "seed": 3},
        pick="p99",
        ratio_goal=0.25,
    ),
    Row(
        label="hedge: calls beyond one a call",
        unit="share",
        case="stalls",
        arguments={"calls": 4000, "seed": 3},
        pick="extra",
        goal=0.05,
    ),
    Row(
        label="key of the next turn of a conversation of 400 KB",
        unit="us",
        case="key",
        peers=("json_sha256",),
        arguments={"calls": 200},
        ratio_goal=0.01,
        rounds=5,
    ),
    Row(
        label="Redis: SET of 4 KB over the pool against a connection for each, loopback",
        unit="us",
        case="pool",
        peers=("redis_py",),
        arguments={"calls": 1000, "delay_s": 0.0},
        pick="us",
        ratio_goal=0.1,
        rounds=3,
    ),
    Row(
        label="Redis: the same over a network of 4 ms",
        unit="us",
        case="pool",
        peers=("redis_py",),
        arguments={"calls": 100, "delay_s": 0.002},
        pick="us",
        ratio_goal=0.25,
        rounds=3,
    ),
    Row(
        label="Redis: commands that found a connection, of 1,000",
        unit="share",
        case="pool",
        arguments={"calls": 1000, "delay_s": 0.0},
        pick="reuse",
        goal=0.99,
        at_least=True,
    ),
)

"""What providers say about their limits, in the headers of their answers.

Read are `x-ratelimit-*` as OpenAI, Groq, Mistral and those like them send it, `anthropic-ratelimit-*`, and `RateLimit`
with `RateLimit-Policy` of the IETF (draft-ietf-httpapi-ratelimit-headers-11) and its older triple of fields. What does
not make sense is taken as not said.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from runwright.core.model import Quota

LONGEST_RESET_S = 366 * 86400.0
MOST = 10**15
MINUTE_S = 60.0
LONGEST_FIELD = 1000
_ANTHROPIC = ("tokens", "input-tokens", "output-tokens")
_EARLIEST_EPOCH_S = 1_000_000_000.0
_MILLISECOND_EPOCH = 100_000_000_000.0
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d))+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_VALUE = r'(?:"(?:[^"\\]|\\.)*"|[^;,"\s]+)'
_PARAMETER = re.compile(rf";\s*([a-z*][a-z0-9_\-.*]*)=({_VALUE})")
_ITEM = re.compile(rf'\s*({_VALUE})((?:\s*;\s*[^;,="\s]+(?:={_VALUE})?)*)\s*(?:,|$)')


class Level(msgspec.Struct, frozen=True, gc=False):
    """How many are left of how many, and when all are back."""

    left: int
    limit: int | None = None
    reset_s: float | None = None


def quota_of(headers: Mapping[str, str], *, now: datetime | None = None) -> Quota | None:
    """What the headers say, or None. Names are looked up in lower case; HTTP's own mappings do not mind the case."""
    now = now or datetime.now(UTC)
    requests, tokens = _named(headers, now)
    is_window = False
    if requests is None and tokens is None:
        requests, tokens = _standard(headers, now)
        is_window = True
    if requests is None and tokens is None:
        return None
    requests, tokens = requests or _NOTHING, tokens or _NOTHING
    return Quota(
        requests=requests.limit,
        requests_left=None if requests is _NOTHING else requests.left,
        requests_reset_s=requests.reset_s,
        tokens=tokens.limit,
        tokens_left=None if tokens is _NOTHING else tokens.left,
        tokens_reset_s=tokens.reset_s,
        is_window=is_window,
    )


_NOTHING = Level(0)


def _named(headers: Mapping[str, str], now: datetime) -> tuple[Level | None, Level | None]:
    """The forms that say whether they count requests or tokens."""
    requests = (
        _level(headers, "x-ratelimit-{}-requests", now)
        or _level(headers, "anthropic-ratelimit-requests-{}", now)
        or _of_minute(_level(headers, "x-ratelimit-{}-req-minute", now))
    )
    tokens = (
        _level(headers, "x-ratelimit-{}-tokens", now)
        or _scarcest([_level(headers, f"anthropic-ratelimit-{kind}-{{}}", now) for kind in _ANTHROPIC])
        or _of_minute(_level(headers, "x-ratelimit-{}-tokens-minute", now))
    )
    return requests, tokens


def _scarcest(levels: list[Level | None]) -> Level | None:
    """What is used up holds; else the first, which is what Anthropic calls the most restrictive."""
    said = [level for level in levels if level is not None]
    return next((level for level in said if not level.left), said[0] if said else None)


def _standard(headers: Mapping[str, str], now: datetime) -> tuple[Level | None, Level | None]:
    """The forms of the IETF, and those of nobody in particular that look like them."""
    if said := headers.get("ratelimit"):
        return _structured(said[:LONGEST_FIELD], (headers.get("ratelimit-policy") or "")[:LONGEST_FIELD])
    return _level(headers, "ratelimit-{}", now) or _level(headers, "x-ratelimit-{}", now), None


def _level(headers: Mapping[str, str], form: str, now: datetime) -> Level | None:
    left = _count(headers.get(form.format("remaining")))
    limit = _count(headers.get(form.format("limit")))
    # A limit of nothing is an account that may not call at all, and no limit to keep to.
    if left is None or limit == 0 or (limit is not None and left > limit):
        return None
    return Level(left, limit, _until(headers.get(form.format("reset")), now))


def _of_minute(level: Level | None) -> Level | None:
    """Mistral names the minute and not when it ends; what was used comes back within one."""
    if level is None or level.limit is None or level.reset_s is not None:
        return level
    return Level(level.left, level.limit, MINUTE_S * (level.limit - level.left) / level.limit)


def _structured(said: str, policies: str) -> tuple[Level | None, Level | None]:
    """`"name";r=5;t=30`, with `"name";q=10;w=60;qu="requests"` as its policy (RFC 9651); of each unit the scarcest."""
    found: dict[str, Level] = {}
    declared = dict(_items(policies))
    for name, own in _items(said):
        policy = declared.get(name, {})
        left, limit = _count(own.get("r")), _count(policy.get("q"))
        if left is None or (limit is not None and left > limit):
            continue
        # Without a time, all is back after a whole window at the latest.
        reset_s = _seconds(own.get("t")) if "t" in own else _seconds(policy.get("w"))
        unit = "tokens" if "token" in policy.get("qu", "") else "requests"
        known = found.get(unit)
        if known is None or left < known.left:
            found[unit] = Level(left, limit, reset_s)
    return found.get("requests"), found.get("tokens")


def _items(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The items of a list with their parameters; nothing after the first that is none."""
    at = 0
    while at < len(text) and (item := _ITEM.match(text, at)):
        yield item[1].strip('"'), {name: value.strip('"') for name, value in _PARAMETER.findall(item[2])}
        at = item.end()


def _count(text: str | None) -> int | None:
    """A whole number from 0; some send it as a decimal."""
    text = (text or "").strip()
    if len(text) > 30 or not text.isascii() or not _NUMBER.fullmatch(text):
        return None
    count = int(float(text))
    return count if count <= MOST else None


def _until(text: str | None, now: datetime) -> float | None:
    """Seconds until a reset, from seconds, a duration as Go writes it, a time (RFC 3339), or seconds since 1970."""
    text = (text or "").strip()
    if not text or len(text) > 64:
        return None
    seconds = _seconds(text)
    if seconds is None and _DURATION.fullmatch(text):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if seconds is None:
        seconds = _from_time(text, now)
    elif seconds >= _EARLIEST_EPOCH_S:
        since = seconds / 1000 if seconds >= _MILLISECOND_EPOCH else seconds
        seconds = max(0.0, since - now.timestamp())
    return seconds if seconds is not None and seconds <= LONGEST_RESET_S else None


def _from_time(text: str, now: datetime) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return max(0.0, (moment - now).total_seconds()) if moment.tzinfo is not None else None


def _seconds(text: str | None) -> float | None:
    text = (text or "").strip()
    if len(text) > 30 or not text.isascii() or not _NUMBER.fullmatch(text):
        return None
    seconds = float(text)
    return seconds if math.isfinite(seconds) else None

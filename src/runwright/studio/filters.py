"""How values look in templates: text that cannot act, Markdown without HTML, times, durations, money, JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

import msgspec
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

from runwright.core.money import NANO
from runwright.core.unseen import UNSEEN
from runwright.journal.wording import json_text

SHOWN = 20_000
"""Characters of a text that a page shows; the rest can be downloaded."""

GIST = 120
"""Characters of a value that stand in a row of a list."""
GIST_BYTES = 2000

_CODE = re.compile("`([^`]+)`")


def inert(value: object) -> object:
    """Show characters that act on what stands around them as their names. Jinja calls it for every value."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", value)


def coded(text: str) -> Markup:
    """A line of ours with what stands between backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(inert(text)))))


def typed(value: object) -> Markup:
    """What a field holds, as it is: what was made inert there would be sent so."""
    return escape(value)


def when(at: datetime | None, kind: Literal["ago", "exact"] = "ago") -> Markup:
    """A time, in UTC; the browser says how long ago that is, or shows it in its own zone where it is `exact`."""
    if at is None:
        return Markup("<span class=none>–</span>")
    utc = at.astimezone(UTC)
    shown = utc.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup("<time datetime={}{}>{}</time>").format(
        utc.isoformat(), Markup(" class=exact") if kind == "exact" else "", shown
    )


def duration(seconds: float | None) -> str:
    """Seconds as a person writes them."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min" if minutes else f"{hours} h"
    return f"{minutes} min {rest:02} s" if rest else f"{minutes} min"


def usd(amount: str | Decimal | None) -> str:
    """An amount in USD with as many digits as tell something; what has no price says so."""
    if amount is None:
        return "unpriced"
    value = Decimal(amount)
    if value == 0:
        return "$0"
    places = 2 if abs(value) >= 1 else min(9, 2 - value.adjusted())
    return f"${value:.{places}f}"


def nano(amount: int | None, is_signed: bool = False) -> str:
    """An amount in nano-USD; with its sign where it is a difference."""
    if amount is None:
        return "–" if is_signed else usd(None)
    shown = usd(Decimal(abs(amount)) / NANO)
    return f"{_sign(amount)}{shown}" if is_signed else shown


def signed(number: int | None) -> str:
    """A difference of numbers."""
    return "–" if number is None else f"{_sign(number)}{count(abs(number))}"


def lag(seconds: float | None) -> str:
    """A difference of durations."""
    return "–" if seconds is None else f"{_sign(round(seconds, 3))}{duration(abs(seconds))}"


def _sign(number: float) -> str:
    return "+" if number > 0 else "\u2212" if number < 0 else ""


def count(number: int) -> str:
    """A number with its thousands apart."""
    return f"{number:,}".replace(",", "\u202f")


def size(number: int) -> str:
    """Bytes in units of a thousand."""
    amount = float(number)
    for unit in ("B", "kB", "MB"):
        if abs(amount) < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def brief(name: str) -> str:
    """An id with its middle left out: times make the beginnings alike, and chance the ends different."""
    return name if len(name) <= 16 else f"{name[:8]}…{name[-6:]}"


def gist(value: bytes | msgspec.Raw) -> str:
    """The beginning of JSON text on one line; a text without its quotes."""
    raw = bytes(value)
    read: object = raw[:GIST_BYTES].decode("utf-8", "replace").removeprefix('"')
    if len(raw) <= GIST_BYTES:
        read = msgspec.json.decode(raw)
    text = read if isinstance(read, str) else msgspec.json.encode(read).decode()
    line = " ".join(text[: 2 * GIST].split())
    return line if len(line) <= GIST else line[: GIST - 1] + "…"


def pretty(value: object) -> str:
    """A value as JSON text over lines, cut where it is long."""
    text = bytes(value) if isinstance(value, bytes | msgspec.Raw) else msgspec.json.encode(value)
    try:
        shown = msgspec.json.format(text, indent=2).decode("utf-8", "replace")
    except msgspec.DecodeError:
        shown = text.decode("utf-8", "replace")
    return cut(shown)


def words(value: bytes | msgspec.Raw) -> str | None:
    """The text that JSON text stands for; None where it is something else."""
    raw = bytes(value)
    return msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else None


def arguments(text: str) -> str:
    """What a model wrote as arguments of a call: JSON over lines, or as it stands where it is none."""
    return pretty(text.encode("utf-8", "replace"))


def as_text(value: bytes | msgspec.Raw) -> str:
    """JSON text as a person reads it: a text without its quotes, else over lines; cut where it is long."""
    return cut(json_text(bytes(value)))


def cut(text: str) -> str:
    """The beginning of a long text, and how much is left out."""
    if len(text) <= SHOWN:
        return text
    return f"{text[:SHOWN]}\n… {count(len(text) - SHOWN)} more characters"


CELLS = 20_000
"""Cells that tables of a text could have; with more, its tables stay text: empty cells are written for missing ones."""

_OPTIONS = {"html": False, "linkify": False, "maxNesting": 20}
_markdown = MarkdownIt("js-default", _OPTIONS)
_without_tables = MarkdownIt("js-default", _OPTIONS).disable("table")


def markdown(text: str) -> Markup:
    """Markdown of a model as HTML: without HTML of its own, without pictures, with links that tell nothing."""
    source = str(inert(cut(text)))
    lines = source.splitlines()
    cells = len(lines) * max((line.count("|") for line in lines), default=0)
    parser = _markdown if cells <= CELLS else _without_tables
    tokens = parser.parse(source)
    for token in tokens:
        for child in token.children or ():
            _tame(child)
    # Entities have become characters by now.
    return Markup(inert(parser.renderer.render(tokens, parser.options, {})))


def _tame(token: Token) -> None:
    """A picture becomes a text: to fetch it would tell its server who reads, and what."""
    if token.type == "image":
        token.content = f"[{token.content} {token.attrs.get('src', '')}]"
        token.type, token.children = "text", None
    elif token.type == "link_open":
        token.attrSet("rel", "noopener noreferrer nofollow")
        token.attrSet("target", "_blank")


FILTERS: Mapping[str, Callable[..., object]] = {
    "coded": coded,
    "typed": typed,
    "when": when,
    "duration": duration,
    "usd": usd,
    "nano": nano,
    "signed": signed,
    "lag": lag,
    "arguments": arguments,
    "count": count,
    "size": size,
    "brief": brief,
    "gist": gist,
    "pretty": pretty,
    "cut": cut,
    "as_text": as_text,
    "words": words,
    "markdown": markdown,
}

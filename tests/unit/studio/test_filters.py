"""How values look: inert, short, and in the reader's terms."""

import re
from datetime import UTC, datetime
from importlib.resources import files

import msgspec
import pytest

from runwright.studio import filters


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred", "a⟨U+001B⟩[31mred"),
        ("safe\u202egnp.exe", "safe⟨U+202E⟩gnp.exe"),
        ("zero\u200bwidth", "zero⟨U+200B⟩width"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("grüße 👋 ❤️", "grüße 👋 ❤️"),
        ("tag\U000e0041", "tag⟨U+E0041⟩"),
        ("line\u2028paragraph\u2029", "line⟨U+2028⟩paragraph⟨U+2029⟩"),
        ("soft\u00adhyphen", "soft⟨U+00AD⟩hyphen"),
        ("\u034f\u115f\u180e\u3164\uffa0", "⟨U+034F⟩⟨U+115F⟩⟨U+180E⟩⟨U+3164⟩⟨U+FFA0⟩"),
    ],
)
def test_characters_that_act_are_named(text: str, shown: str) -> None:
    """Control characters, and those that hide or turn text, are shown by their number."""
    assert filters.inert(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:alert)",
        '[x](https://a.example "\\"onmouseover=alert(1)")',
        "<https://a.example/'onmouseover=alert(1)>",
    ],
)
def test_markdown_lets_nothing_act(text: str) -> None:
    """HTML in Markdown stays text, and links lead to pages alone."""
    shown = str(filters.markdown(text))
    assert "<script" not in shown
    assert "<img" not in shown
    assert 'href="javascript' not in shown
    assert 'href="data' not in shown
    assert 'href="vbscript' not in shown


@pytest.mark.parametrize("text", ["a &#x202E;b", "a &#8203;b", '[a &zwj;b](https://a.example "&#x202e;t")'])
def test_entities_of_markdown_are_named_too(text: str) -> None:
    """An entity that stands for a hidden character does not become one."""
    shown = str(filters.markdown(text))
    assert not {"\u202e", "\u200b", "\u200d"} & set(shown)
    assert "⟨U+20" in shown


def test_a_table_makes_no_more_cells_than_a_page_holds() -> None:
    """Cells that rows lack are written for them, so a text whose table would be far larger than it keeps its pipes."""
    wide = "|" + "a|" * 600 + "\n|" + "-|" * 600 + "\n" + "x\n" * 600
    assert "<td" not in filters.markdown(wide)
    assert "<td>2</td>" in filters.markdown("|a|b|\n|-|-|\n|1|2|")


def test_islands_name_the_same_characters() -> None:
    """What a script writes into a page hides no character that pages name."""
    script = (files("runwright.studio") / "static" / "islands" / "inert.js").read_text()
    found = re.search(r"const UNSEEN =\s+/(.+)/gu;", script)
    assert found is not None
    named = re.compile(re.sub(r"\\u\{(\w+)\}", lambda each: chr(int(each[1], 16)), found[1]))
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, 0xE1000)]))
    shown = re.findall(r"⟨U\+(\w+)⟩", str(filters.inert(every)))
    assert {ord(each) for each in named.findall(every)} == {int(each, 16) for each in shown}


def test_a_picture_is_a_text() -> None:
    """A picture of a model's Markdown is not fetched: its address would tell who reads, and what."""
    assert filters.markdown("![secret](https://evil.example/?q=1)") == ("<p>[secret https://evil.example/?q=1]</p>\n")


def test_a_link_tells_its_target_nothing() -> None:
    """A link opens beside the page, without a way back to it."""
    assert 'rel="noopener noreferrer nofollow" target="_blank"' in filters.markdown("[a](https://a.example)")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(None, "unpriced"), ("0", "$0"), ("12.346", "$12.35"), ("0.0012345", "$0.00123"), ("0.000000001", "$0.000000001")],
)
def test_money_has_the_digits_that_tell_something(amount: str | None, shown: str) -> None:
    """Small amounts keep three digits that count, and what has no price says so."""
    assert filters.usd(amount) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "–"), (0.0421, "42 ms"), (3.25, "3.2 s"), (75, "1 min 15 s"), (3720, "1 h 02 min"), (7200, "2 h")],
)
def test_durations_are_read_at_a_glance(seconds: float | None, shown: str) -> None:
    """Milliseconds below a second, minutes and hours above."""
    assert filters.duration(seconds) == shown


def test_a_time_is_for_the_browser_to_localise() -> None:
    """A time stands as UTC with a zone, in an element that scripts find."""
    at = datetime(2026, 11, 22, 7, 1, 11, tzinfo=UTC)
    assert filters.when(at) == "<time datetime=2026-11-22T07:01:11+00:00>2026-11-22 07:01:11 UTC</time>"
    assert str(filters.when(at, "exact")).startswith("<time datetime=2026-11-22T07:01:11+00:00 class=exact>")


def test_help_shows_names_as_code_and_stays_inert() -> None:
    """What stands between backticks is code, and nothing in the line is HTML."""
    assert filters.coded('a `b"<i>` \u202e') == "a <code>b&#34;&lt;i&gt;</code> ⟨U+202E⟩"


def test_a_long_value_is_cut_and_says_so() -> None:
    """Of a text of megabytes the page shows the beginning and how much is left out."""
    shown = filters.pretty("x" * 5_000_000)
    assert len(shown) < filters.SHOWN + 100
    assert "more characters" in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b'"two\\n  lines"', "two lines"),
        (b'{"a": [1, 2]}', '{"a":[1,2]}'),
        (b'"' + b"x" * 5000 + b'"', "x" * (filters.GIST - 1) + "…"),
    ],
    ids=["text", "object", "long"],
)
def test_a_row_shows_the_gist_of_a_value(value: bytes, shown: str) -> None:
    """In a list a value takes one line, however long it is, and a text stands without quotes."""
    assert filters.gist(value) == shown
    assert filters.gist(msgspec.Raw(value)) == shown

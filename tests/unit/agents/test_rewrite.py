"""Changes in YAML text."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.agents.rewrite import rewrite

FILE = """\
# Reports of the week.
- name: weekly   # for the board
  template: report@^1.2
  config:
    # They read no more than this.
    length: 5  # lines
    tone: warm
    parts:
    - title: one
      # The second has none.
    - title: two

# And more.
- name: daily
"""

LEAVES = st.one_of(st.booleans(), st.integers(), st.none(), st.text(max_size=12), st.sampled_from(["1", "on", "a\nb"]))
NAMES = st.sampled_from(["a", "b", "c", "on", "1", "two words"])
DATA = st.dictionaries(
    NAMES,
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)),
    max_size=4,
)


def change(**config: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Replaces the configuration."""
    return lambda entry: entry | {"config": config}


def test_what_is_not_touched_stays() -> None:
    """Renamed, changed, added and removed fields leave every other line and all comments as they were."""
    parts = [{"title": "one", "size": 1}, {"title": "zwei"}]
    changed = rewrite(FILE, change(lines=5, parts=parts, style={"tone": "warm"}, more=True), index=0)
    assert changed.has_comments
    assert (
        changed.text
        == """\
# Reports of the week.
- name: weekly   # for the board
  template: report@^1.2
  config:
    # They read no more than this.
    lines: 5  # lines
    parts:
    - title: one
      size: 1
      # The second has none.
    - title: zwei
    style:
      tone: warm
    more: true

# And more.
- name: daily
"""
    )


@pytest.mark.parametrize(
    ("text", "config", "wanted"),
    [
        ("config: {a: 1}  # few\n", {"b": 1}, "config: {b: 1}  # few\n"),
        ("config:\n  a: 1\n", {}, "config: {}\n"),
        ("config: {}\n", {"a": [1]}, "config: {a: [1]}\n"),
        ("config:\n  a: |\n    long\n    text\n  b: 2\n", {"a": "short", "b": 2}, "config:\n  a: short\n  b: 2\n"),
        ("config:\n  a: 'x'", {"a": "x", "b": "1"}, "config:\n  a: 'x'\n  b: '1'\n"),
        ("config:\n  a: [1, 2] # two\n", {"a": [3]}, "config:\n  a: [3] # two\n"),
        ("config:\n  - a: 1\n    b: 2\n", [{"b": 3}], "config:\n  - b: 3\n"),
    ],
)
def test_forms(text: str, config: Any, wanted: str) -> None:
    """Flow and block style, long texts and a first key behind a dash are changed in place."""
    assert rewrite(text, lambda entry: entry | {"config": config}).text == wanted


def test_anchors() -> None:
    """Where a value stands in several places, the text is written anew and says so."""
    text = "# Shared.\nmetadata: &x\n  n: 1\nconfig:\n  who: *x\n"
    changed = rewrite(text, change(who={"n": 2}))
    assert not changed.has_comments
    assert changed.text == "metadata:\n  n: 1\nconfig:\n  who:\n    n: 2\n"


@settings(max_examples=40)
@given(DATA, DATA, st.sampled_from([None, True, False]))
def test_any_change(before: dict[str, Any], after: dict[str, Any], flow: bool | None) -> None:
    """Whatever a definition held and is to hold, the text then holds exactly that."""
    text = yaml.safe_dump(before, default_flow_style=flow, allow_unicode=True)
    changed = rewrite(text, lambda _: after)
    assert yaml.safe_load(changed.text) == yaml.safe_load(yaml.safe_dump(after))

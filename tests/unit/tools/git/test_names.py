"""Names of files as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.errors import ToolFailed
from runwright.tools.git.citations import Cited, cited
from runwright.tools.git.names import shown, taken

SEGMENT = st.binary(min_size=1, max_size=12).filter(lambda each: b"/" not in each and b"\0" not in each)


@given(st.lists(SEGMENT.filter(lambda each: each not in (b".", b"..")), min_size=1, max_size=4).map(b"/".join))
def test_every_name_comes_back(name: bytes) -> None:
    """What is shown of a name, of whatever bytes, names it again; it is one line."""
    assert taken(shown(name)) == name
    assert "\n" not in shown(name)


@given(st.text(alphabet=st.sampled_from('./\\"ab056\0é'), max_size=30))
def test_no_text_leads_out(text: str) -> None:
    """What is taken of any text is a path within the repository, or refused."""
    try:
        path = taken(text)
    except ToolFailed:
        return
    assert not path.startswith(b"/")
    assert b".." not in path.split(b"/")
    assert b"\0" not in path


@pytest.mark.parametrize("text", ["..", "a/../b", '"\\056\\056/x"', '"a\\000"', "a\0"])
def test_ways_out_are_refused(text: str) -> None:
    """Steps upwards are refused, also in quotes."""
    with pytest.raises(ToolFailed):
        taken(text)


def test_places_are_read_from_an_answer() -> None:
    """Places stand in brackets or as code, several together, each counted once; links and times are none."""
    answer = (
        "See [src/app.py:12], `lib/a b.py:3-5` and [x.c:1, y.c:L2-L4; src/app.py:12]. "
        "Not [this](https://x.example:80/y), [https://x.example:80], [10 o'clock] or a.py:9, nor `f(x)`."
    )
    assert cited(answer) == (
        Cited("src/app.py", 12, 12),
        Cited("lib/a b.py", 3, 5),
        Cited("x.c", 1, 1),
        Cited("y.c", 2, 4),
    )

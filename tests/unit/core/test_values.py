"""Values in messages: short, and with the words of JSON."""

import pytest

from runwright.agents.input import read_messages
from runwright.core.values import SHORT, in_short
from runwright.errors import InvalidRequest


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ({"a": [None, False, 1, "x"]}, "{'a': [null, false, 1, 'x']}"),
    ],
    ids=["null", "true", "inside"],
)
def test_a_value_has_the_words_of_json(value: object, text: str) -> None:
    """Nothing, true and false are written as whoever sent them wrote them."""
    assert in_short(value) == text


@pytest.mark.parametrize(
    "value", ["x" * 999, ["x" * 999] * 9, {"x" * 999: "y"}, 10**999], ids=["text", "list", "object", "number"]
)
def test_a_long_value_is_cut(value: object) -> None:
    """No value makes a message long."""
    assert len(in_short(value)) <= SHORT


def test_input_that_is_nothing_is_told_as_null() -> None:
    """A caller who sent null reads null."""
    with pytest.raises(InvalidRequest, match=r"not null$"):
        read_messages(b"null")

"""Declared mappings: what references stand for, and what is wrong with them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.agents.mapping import filled, problems
from runwright.errors import InvalidRequest

SCOPE = {
    "input": {"city": "Bern", "days": [1, 2]},
    "last": "sunny",
    "steps": {"look": {"output": {"sky": "blue", "warm": True}}},
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("$input", SCOPE["input"]),
        ("$input.city", "Bern"),
        ("$input.days.1", 2),
        ("$last", "sunny"),
        ("$steps.look.output.warm", True),
        ("It is {{ last }} in {{input.city}}", "It is sunny in Bern"),
        ("as JSON: {{ input.days }}", "as JSON: [1,2]"),
        ({"a": ["$last", {"b": "$input.city"}], "c": 3}, {"a": ["sunny", {"b": "Bern"}], "c": 3}),
        ("$$input", "$input"),
        ("$5 a day", "$5 a day"),
        (None, None),
    ],
)
def test_references_stand_for_values(value: object, expected: object) -> None:
    """A reference alone gives the value as it is; inside of text it gives text."""
    assert list(problems(value, names=["look"])) == []
    assert filled(value, SCOPE) == expected


@pytest.mark.parametrize("value", ["$input.town", "$input.days.7", "$last.0", "{{ steps.look.output.rain }}"])
def test_a_missing_field_is_told(value: str) -> None:
    """A field that is not there names the reference and where it ends."""
    with pytest.raises(InvalidRequest, match="is not there"):
        filled(value, SCOPE)


@pytest.mark.parametrize(
    ("value", "place", "detail"),
    [
        ({"a": ["$inptu"]}, "/a/0", "'inptu' names nothing here; there are: input, last, steps.NAME.output"),
        ("{{ city }}", "", "'city' names nothing here"),
        ("$steps.lok.output", "", "there is no earlier step 'lok'; did you mean 'look'?"),
        ("$steps.look", "", "write steps.look.output, or a field of it, not 'steps.look'"),
        ("$steps", "", "there is no earlier step ''"),
    ],
)
def test_a_reference_to_nothing_is_found_before(value: object, place: str, detail: str) -> None:
    """What can never be there is told with its place, before anything runs."""
    ((at, told),) = problems(value, names=["look"])
    assert (at, told.startswith(detail)) == (place, True), told


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text().filter(lambda text: "$" not in text and "{{" not in text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(value=JSON, scope=JSON)
def test_values_without_references_stay(value: object, scope: object) -> None:
    """JSON without references is given as it is, whatever the run has; nothing in that is taken for a reference."""
    assert filled(value, {"input": scope}) == value
    assert filled({"whole": "$input"}, {"input": scope}) == {"whole": scope}

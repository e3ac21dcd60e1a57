"""Semantic versions and constraints on them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.agents.version import Constraint, Version, newest

NUMBERS = st.tuples(*[st.integers(0, 30)] * 3)
# The order of semver.org 2.0.0, section 11.
ORDER = """1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0
    1.0.1-rc.1 1.0.1 1.9.0 1.10.0 2.0.0"""


def test_order() -> None:
    """Versions come in the order of the standard; what a build adds does not count."""
    order = ORDER.split()
    keys = [Version.read(each).key for each in order]
    assert all(one < other for one, other in pairwise(keys))
    assert Version.read("1.0.0+a") == Version.read("1.0.0+b")


@pytest.mark.parametrize(
    ("constraint", "fitting", "unfit"),
    [
        ("*", "0.0.1 9.0.0", "1.0.0-rc.1"),
        ("^1.2", "1.2.0 1.9.9", "1.1.9 2.0.0 2.0.0-rc.1 1.3.0-rc.1"),
        ("^1", "1.0.0 1.9.9", "0.9.9 2.0.0"),
        ("^0.2.3", "0.2.3 0.2.9", "0.2.2 0.3.0"),
        ("^0.0.3", "0.0.3", "0.0.4"),
        ("^0", "0.0.0 0.9.9", "1.0.0"),
        ("~1.2.3", "1.2.3 1.2.9", "1.2.2 1.3.0"),
        ("~1", "1.0.0 1.9.0", "2.0.0"),
        ("1.2", "1.2.0 1.2.9", "1.3.0 1.1.0"),
        ("1.2.3", "1.2.3", "1.2.4 1.2.2"),
        ("=1.2.3", "1.2.3", "1.2.4"),
        (">=1.2 <3", "1.2.0 2.9.9", "3.0.0 1.1.9"),
        (">= 1.2, < 3", "1.2.0 2.9.9", "3.0.0"),
        (">1.2", "1.3.0", "1.2.9"),
        (">1.2.3", "1.2.4", "1.2.3"),
        ("<=1.2", "1.2.9 0.1.0", "1.3.0"),
        ("<=1.2.3", "1.2.3", "1.2.4"),
        ("^1.3.0-rc.1", "1.3.0-rc.2 1.3.0 1.4.0", "1.3.0-beta 1.4.0-rc.1 2.0.0"),
    ],
)
def test_constraint(constraint: str, fitting: str, unfit: str) -> None:
    """A constraint holds for the versions that npm's would hold for."""
    read = Constraint.read(constraint)
    assert [each for each in fitting.split() if not read.holds(Version.read(each))] == []
    assert [each for each in unfit.split() if read.holds(Version.read(each))] == []


@pytest.mark.parametrize("text", ["latest", "^", "^1.2.3.4", "1.x", ">=1 nonsense", "^01", "^^1", "1 | 2", "-1"])
def test_no_constraint(text: str) -> None:
    """What is no constraint is refused with the part that is wrong."""
    with pytest.raises(ValueError, match="is no constraint on versions"):
        Constraint.read(text)


@pytest.mark.parametrize("text", ["1", "1.2", "1.2.3.4", "01.0.0", "1.0.0-", "v1.0.0", ""])
def test_no_version(text: str) -> None:
    """A version has three numbers without leading zeros."""
    with pytest.raises(ValueError, match="three numbers"):
        Version.read(text)


@given(NUMBERS, NUMBERS)
def test_caret_keeps_the_first_number_that_counts(asked: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    """`^` allows what is at least as new and the same up to its first number that is not zero."""
    text, version = (".".join(map(str, each)) for each in (asked, other))
    kept = next((place for place, number in enumerate(asked) if number), 2) + 1
    is_allowed = other >= asked and other[:kept] == asked[:kept]
    assert Constraint.read(f"^{text}").holds(Version.read(version)) is is_allowed


def test_newest() -> None:
    """The newest that fits is taken; a pre-release only where it is named, or where there is no release."""
    known = ["1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1"]
    assert newest(known) == "1.10.0"
    assert newest(known, Constraint.read("^2.0.0-rc.0")) == "2.0.0-rc.1"
    assert newest(known, Constraint.read("^3")) is None
    assert newest(["1.0.0-rc.1"]) == "1.0.0-rc.1"
    assert newest([]) is None


def test_floor() -> None:
    """The floor of a constraint is the least version that it names."""
    assert str(Constraint.read(">=1.2 <3").floor) == "1.2.0"
    assert Constraint.read("*").floor is None

"""Code of others."""

import pytest

from runwright.errors import ConfigError
from runwright.plugins import guarded, load_reference


def test_reference() -> None:
    """A reference leads to an attribute, or one inside it."""
    assert load_reference("json:decoder.JSONDecoder").__class__ is type


@pytest.mark.parametrize("reference", ["json", ":x", "json:", "json:no", "no_such_module:x"])
def test_wrong_reference(reference: str) -> None:
    """A reference that leads nowhere is a configuration error."""
    with pytest.raises(ConfigError):
        load_reference(reference)


def test_guarded() -> None:
    """Whatever foreign code raises becomes a ConfigError with the line, if it lies below the place."""
    with pytest.raises(ConfigError) as caught:
        guarded(__file__, _broken)
    ((place, detail),) = caught.value.problems
    assert place.startswith(f"{__file__}:")
    assert detail == "ZeroDivisionError: division by zero"
    with pytest.raises(ConfigError) as caught:
        guarded("entry point x", _broken)
    assert caught.value.problems[0][0] == "entry point x"


def _broken() -> float:
    return 1 / 0

"""Code of others."""

import pytest

from runwright.errors import AgentError, ConfigError, ToolFailed
from runwright.plugins import awaited, guarded, load_reference


def test_reference() -> None:
    """A reference leads to an attribute, or one inside it."""
    assert load_reference("json:decoder.JSONDecoder").__class__ is type


def test_reference_beside_a_file() -> None:
    """A reference that begins with a dot leads into the package of the file."""
    assert load_reference(".decoder:JSONDecoder", "json") is load_reference("json:decoder.JSONDecoder")


@pytest.mark.parametrize("reference", ["json", ":x", "json:", "json:no", "no_such_module:x", ".decoder:JSONDecoder"])
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


@pytest.mark.anyio
@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit("mine"), ToolFailed("mine")])
async def test_awaited(error: BaseException) -> None:
    """Whatever foreign code raises while it is awaited is an AgentError, but for errors of Runwright."""

    async def fails() -> None:
        raise error

    with pytest.raises((AgentError, ToolFailed), match="mine") as caught:
        await awaited(fails())
    assert (caught.value is error) == isinstance(error, ToolFailed)


def _broken() -> float:
    return 1 / 0

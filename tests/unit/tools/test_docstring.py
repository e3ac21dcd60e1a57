"""Docstrings, as a model is told about them."""

import pytest

from runwright.tools.docstring import Doc, read_docstring

GOOGLE = """Say the weather
    in a city.

    More than a model needs.

    Args:
        city: The name of
            the city.
        unit (str): c or f.
    """
NUMPY = """Say the weather
    in a city.

    Parameters
    ----------
    city : str
        The name of
        the city.
    unit : str
        c or f.
    """
SPHINX = """Say the weather
    in a city.

    :param city: The name of
        the city.
    :param unit: c or f.
    """


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_styles(text: str) -> None:
    """All three styles give the summary and the parameters, each on one line."""
    assert read_docstring(text) == Doc(
        "Say the weather in a city.", {"city": "The name of the city.", "unit": "c or f."}
    )


@pytest.mark.parametrize("text", [None, "", "  \n "])
def test_nothing(text: str | None) -> None:
    """A function without a docstring has an empty summary."""
    assert read_docstring(text) == Doc()


def test_plain_text() -> None:
    """A docstring in no style has a summary: its first paragraph."""
    assert read_docstring("Say it.\n\nThen more: of it.") == Doc("Say it.")


def test_unreadable() -> None:
    """A docstring that breaks its style's rules still has a summary."""
    assert read_docstring("Say it.\n\n:param\n").summary == "Say it."

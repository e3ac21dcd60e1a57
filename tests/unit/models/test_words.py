"""Words of requests and tools."""

from runwright.models.words import last_results, last_user_text, overlap, words
from tests.unit.models.calls import ORDER, WEATHER, ask


def test_telling_words() -> None:
    """Words that say nothing, case and plurals do not count; joined names are taken apart."""
    assert words("What are the Orders of orderStatus_v2?") == {"order", "statu", "v2"}


def test_overlap() -> None:
    """A word of the tool's name counts twice."""
    assert overlap("the weather in a city", WEATHER) == 3
    assert overlap("the weather in a city", ORDER) == 0


def test_last_results_in_order() -> None:
    """Only the results at the end of the conversation count, in their order."""
    assert last_results(ask("Hi", WEATHER, results=("one", "two"))) == ["one", "two"]
    assert last_results(ask("Hi", WEATHER)) == []
    assert last_user_text(ask("Hi", WEATHER, results=("one",))) == "Hi"

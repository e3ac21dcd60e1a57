"""Guards from plain data."""

from typing import Any

import msgspec
import pytest

from runwright.core.policy import BACKOFFS, Backoff, Budget, Cache, Fallback, Guard, GuardSettings, Policy, Retry
from runwright.core.policy_reader import guard_schema, read_guard, read_settings, write_guard
from runwright.errors import ConfigError
from runwright.guard.backoff import STRATEGIES


def test_a_guard_is_read_as_it_was_written() -> None:
    """Data made of a guard is plain JSON, and gives the same guard again."""
    guard = Guard(
        retry=Retry(attempts=2, backoff=Backoff(strategy="linear")),
        cache=False,
        budget=(Budget(usd="0.05"), Budget(tokens=10, per="day")),
        fallback=Fallback(models=("a:b",)),
    )
    data = write_guard(guard)
    assert msgspec.json.decode(msgspec.json.encode(data)) == data
    assert read_guard(data) == guard


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        ({"retrys": {}}, "/retrys", "there is no policy 'retrys'; did you mean 'retry'?"),
        ({"xyz": {}}, "/xyz", "there is no policy 'xyz'; known: retry, breaker"),
        ({"retry": {"attemps": 1}}, "/retry/attemps", "there is no figure 'attemps'; did you mean 'attempts'?"),
        ({"retry": {"attempts": 0}}, "/retry/attempts", "this is an integer of at least 1, not 0"),
        ({"retry": {"attempts": "3"}}, "/retry/attempts", "this is an integer, not '3'"),
        ({"retry": {"backoff": {"base_s": 0}}}, "/retry/backoff/base_s", "this is a number above 0, not 0"),
        ({"retry": {"backoff": {"jitter": "some"}}}, "/retry/backoff/jitter", "one of full, equal, none, not 'some'"),
        ({"retry": "yes"}, "/retry", "this is true or false or a table of figures, not 'yes'"),
        ({"budget": {"usd": "cheap"}}, "/budget/usd", "this is an amount of USD, such as '0.05', not 'cheap'"),
        ({"budget": [{}, {"per": "year"}]}, "/budget/1/per", "not 'year'"),
        ({"budget": {"usd": "1", "usd_per_run": "1"}}, "/budget", "give one of them"),
        ({"fallback": {}}, "/fallback/models", "Fallback needs 'models'"),
        ({"fallback": True}, "/fallback", "a fallback names its models"),
        ({"breaker": {"failure_rate": 2}}, "/breaker/failure_rate", "this is a number of at most 1, not 2"),
        ([], "", "this is a table of policies, not []"),
    ],
)
def test_a_mistake_has_a_place_and_says_what_is_right(data: Any, place: str, words: str) -> None:
    """What is wrong is told with a JSON pointer below the given one, the value, and what would be right."""
    with pytest.raises(ConfigError) as caught:
        read_guard(data, at="/guard")
    ((found, detail),) = caught.value.problems
    assert (found, words in detail) == (f"/guard{place}", True), detail


def test_all_mistakes_are_told_at_once() -> None:
    """Every figure that is wrong is named, not only the first."""
    with pytest.raises(ConfigError) as caught:
        read_guard({"retry": {"attempts": 0, "bucket": -1}, "cach": True})
    assert [place for place, _ in caught.value.problems] == ["/retry/attempts", "/retry/bucket", "/cach"]


def test_amounts_may_be_numbers() -> None:
    """An amount of money that was written as a number is the text that it reads as."""
    guard = read_guard({"budget": [{"usd": 0.05}, {"usd_per_run": 2}, {"usd": 1e-7}]})
    assert guard.budget == (Budget(usd="0.05"), Budget(usd="2"), Budget(usd="0.0000001"))


def test_settings_hold_policies_for_all_and_for_single_ones() -> None:
    """Policies stand by themselves, those of single models and tools under their names, and text gives figures."""
    data = {
        "retry": {"attempts": "2"},
        "models": {"openai:*": {"cache": "true"}},
        "tools": {"send": {"cache": {"ttl_s": 5}}},
    }
    assert read_settings(data) == GuardSettings(
        app=Guard(retry=Retry(attempts=2)),
        models={"openai:*": Guard(cache=True)},
        tools={"send": Guard(cache=Cache(ttl_s=5.0))},
    )
    assert read_settings({}) == GuardSettings()


def test_settings_name_models_with_their_providers() -> None:
    """A model without a provider, and a tool that should fall back on models, are refused."""
    with pytest.raises(ConfigError) as caught:
        read_settings({"models": {"gpt": {}}, "tools": {"t": {"fallback": {"models": ["a:b"]}}}})
    assert [place for place, _ in caught.value.problems] == ["/models/gpt", "/tools/t/fallback"]


def test_similar_questions_are_an_agents_own() -> None:
    """Settings cannot let similar questions be answered: not for everything, for a model or for a tool."""
    similar: dict[str, Any] = {"cache": {"similar": {}}}
    with pytest.raises(ConfigError, match="set it in the agent's guard") as caught:
        read_settings({**similar, "models": {"a:b": similar}, "tools": {"t": similar}})
    places = ["/models/a:b/cache/similar", "/tools/t/cache/similar", "/cache/similar"]
    assert [place for place, _ in caught.value.problems] == places


def test_a_risk_is_never_the_whole() -> None:
    """A risk of 100 %, which anything would meet, and a threshold of nothing are refused with their places."""
    with pytest.raises(ConfigError) as caught:
        read_guard({"cache": {"similar": {"risk": 1, "threshold": 0, "mode": "on"}}})
    told = [f"{place}: {detail}" for place, detail in caught.value.problems]
    assert told == [
        "/cache/similar/risk: this is a number below 1, not 1",
        "/cache/similar/threshold: this is a number above 0, not 0",
        "/cache/similar/mode: this is one of shadow, answer, not 'on'",
    ]


def test_the_schema_knows_every_figure() -> None:
    """The JSON Schema holds every policy with its figures, refuses others, and needs no references."""
    schema = guard_schema()
    assert "$ref" not in msgspec.json.encode(schema).decode()
    assert list(schema["properties"]) == list(Guard.__struct_fields__)
    for name, part in schema["properties"].items():
        (table,) = [each for each in part["anyOf"] if each["type"] == "object"]
        (kind,) = [each for each in Policy.__subclasses__() if each.__name__.lower() == name.removesuffix("s")]
        assert set(table["properties"]) == set(kind.__struct_fields__)
        assert table["additionalProperties"] is False


def test_strategies_are_told_when_the_data_is_read() -> None:
    """Data that names no built-in strategy is refused with the names there are; they are those that the guard has."""
    with pytest.raises(ConfigError) as caught:
        read_guard({"retry": {"backoff": {"strategy": "cubic"}}})
    (problem,) = caught.value.problems
    assert problem == ("/retry/backoff/strategy", f"this is one of {', '.join(BACKOFFS)}, not 'cubic'")
    assert tuple(STRATEGIES) == BACKOFFS
    for name in BACKOFFS:
        assert read_guard({"retry": {"backoff": {"strategy": name}}}) == Guard(
            retry=Retry(backoff=Backoff(strategy=name))
        )

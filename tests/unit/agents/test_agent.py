"""`Agent(...)`."""

import sys
from time import perf_counter
from typing import Any

import pytest
from pydantic import BaseModel

from runwright import Agent, Budget, Guard, Limits, ModelSettings, Retry, tool
from runwright.agents.base import Origin
from runwright.core.agent import Definition
from runwright.errors import ConfigError


class Answer(BaseModel):
    """An answer."""

    city: str


@tool(effect="read")
async def weather(city: str) -> str:
    """Say the weather."""
    return city


def problems(agent: Agent) -> tuple[tuple[str, str], ...]:
    """What is wrong with an agent."""
    with pytest.raises(ConfigError) as caught:
        agent.declare()
    return caught.value.problems


def test_as_data() -> None:
    """What is written becomes data, and the Python objects stand beside it."""
    agent = Agent(
        "support",
        model="demo",
        instructions="Be brief.",
        tools=[weather, "search"],
        approvals=["weather"],
        output=Answer,
        settings=ModelSettings(temperature=0.0),
        limits={"steps": 3},
        metadata={"team": "a"},
        guard=Guard(retry=Retry(attempts=2), budget=Budget(usd_per_run="0.05")),
    )
    declared = agent.declare()
    assert declared.definition == Definition(
        name="support",
        metadata={"team": "a"},
        guard={"retry": {"attempts": 2}, "budget": {"usd": "0.05"}},
        config={
            "model": "demo",
            "instructions": "Be brief.",
            "tools": ["weather", "search"],
            "approvals": ["weather"],
            "output": Answer.model_json_schema(),
            "settings": {"temperature": 0.0},
            "limits": {"steps": 3},
        },
    )
    assert (declared.parts.tools, declared.parts.output) == ({"weather": weather}, Answer)


def test_least() -> None:
    """A name is enough."""
    assert Agent("a").declare().definition == Definition(name="a")


def test_schema_output() -> None:
    """A JSON Schema can be the output; there is no Python type then."""
    declared = Agent("a", output={"type": "object"}, limits=Limits(steps=2)).declare()
    assert declared.definition.config == {"output": {"type": "object"}, "limits": {"steps": 2}}
    assert declared.parts.output is None


def test_function() -> None:
    """With `run` the template is `function`."""

    async def run(text: str) -> str:
        return text

    declared = Agent("a", run=run).declare()
    assert (declared.definition.template, declared.parts.function) == ("function", run)


def plain() -> None:
    """Not a tool."""


@pytest.mark.parametrize(
    ("agent", "place", "words"),
    [
        (Agent("two words"), "/name", "a name is up to 64 letters, digits"),
        (Agent("a", version="1"), "/version", "three numbers, such as '1.0.0', not '1'"),
        (Agent("a", tools=[weather, weather]), "/tools/1", "has a tool 'weather' already"),
        (Agent("a", tools=[plain]), "/tools/0", "decorate the function with @tool"),  # pyright: ignore[reportArgumentType] - on purpose
        (Agent("a", output=type("Strange", (), {})), "/output", "has no JSON Schema"),
        (Agent("a", guard=Guard(retry=Retry(attempts=0))), "/guard/retry/attempts", "an integer of at least 1, not 0"),
        (Agent("a", guard={"retrys": True}), "/guard/retrys", "there is no policy 'retrys'; did you mean 'retry'?"),
        (Agent("a", model="x", config={"model": "y"}), "/config/model", "'model' is given outside of config too"),
    ],
)
def test_wrong(agent: Agent, place: str, words: str) -> None:
    """What is wrong is located in the definition."""
    ((found, detail),) = problems(agent)
    assert (found, words in detail) == (place, True), detail


def test_frozen() -> None:
    """An agent cannot be changed."""
    with pytest.raises(AttributeError):
        Agent("a").name = "b"  # pyright: ignore[reportAttributeAccessIssue] - on purpose


def test_light() -> None:
    """Building an agent costs less than 10 us and 6 KiB."""
    options: dict[str, Any] = {"model": "demo", "tools": (weather,), "settings": {"temperature": 0}}
    started = perf_counter()
    agents = [Agent("support", **options) for _ in range(1000)]
    assert (perf_counter() - started) / 1000 < 10e-6
    assert sys.getsizeof(agents[0]) < 6 * 1024


def test_origin() -> None:
    """A place names the file, the line and the path inside it; for an API body it is the pointer."""
    code = Origin(source="code", file="a.py", path="support")
    file = Origin(source="file", file="a.yaml", path="[1]", lines={"": 1, "/settings": 3})
    assert [code.at(), code.at("/tools/0")] == ["a.py: support", "a.py: support.tools[0]"]
    assert [file.at("/settings/stop/0"), file.at()] == ["a.yaml:3: [1].settings.stop[0]", "a.yaml:1: [1]"]
    assert Origin(source="api").at("/a") == "/a"

"""A plain async function as an agent."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
from pydantic import BaseModel

from runwright import Agent, Context, tool
from runwright.agents.factory import build
from runwright.agents.input import INPUT_SCHEMA
from runwright.agents.registry import Registry
from runwright.core.agent import BuiltAgent, CodeFlow
from runwright.errors import ConfigError, InvalidRequest, OutputInvalid


class Ticket(BaseModel):
    """A pydantic input."""

    title: str
    urgent: bool = False


@dataclass
class Verdict:
    """A dataclass output."""

    team: str


@tool
def search(query: str) -> str:
    """Search."""
    return query


def built(function: Callable[..., Awaitable[object]], **options: Any) -> tuple[BuiltAgent, CodeFlow]:
    """An agent of a function."""
    agent = build(Agent("triage", run=function, **options).declare(), templates=Registry().templates, toolbox={})
    assert isinstance(agent.flow, CodeFlow)
    return agent, agent.flow


async def say(text: str, context: Context) -> str:
    """Text in, text out."""
    return f"{text} {context}"


async def triage(ticket: Ticket) -> Verdict:
    """Models in and out."""
    return Verdict(team=ticket.title)


async def ping() -> int:
    """Nothing in."""
    return 3


async def anything(value):  # noqa: ANN001, ANN201 - on purpose # pyright: ignore - on purpose
    """Whatever in and out."""
    return value  # pyright: ignore - on purpose


CONTEXT = cast("Context", "here")


async def test_text() -> None:
    """A function of text takes every shape of a conversation's input."""
    agent, flow = built(say, model="demo", tools=[search], limits={"steps": 2})
    value = flow.read_input(b'{"messages": [{"role": "user", "content": "hi"}]}')
    assert flow.write_output(await flow.function(CONTEXT, value)) == b'"hi here"'
    assert (agent.input_schema, agent.output_schema) == (INPUT_SCHEMA, {"type": "string"})
    assert (flow.model, flow.tools, flow.limits.steps) == ("demo", {"search": search}, 2)


async def test_models() -> None:
    """Input and output are checked and described by their types."""
    agent, flow = built(triage)
    value = flow.read_input(b'{"title": "it burns"}')
    assert flow.write_output(await flow.function(CONTEXT, value)) == b'{"team":"it burns"}'
    assert agent.input_schema == Ticket.model_json_schema()
    assert agent.output_schema["required"] == ["team"]
    with pytest.raises(InvalidRequest) as caught:
        flow.read_input(b'{"urgent": "very"}')
    assert [place for place, _ in caught.value.problems] == ["/title", "/urgent"]


async def test_no_input() -> None:
    """A function may take nothing."""
    _, flow = built(ping)
    assert flow.write_output(await flow.function(CONTEXT, flow.read_input(b"null"))) == b"3"


async def test_untyped() -> None:
    """A function without type hints takes and gives any JSON."""
    agent, flow = built(anything)  # pyright: ignore - on purpose
    assert flow.write_output(await flow.function(CONTEXT, flow.read_input(b'{"a":[1]}'))) == b'{"a":[1]}'
    assert (agent.input_schema, agent.output_schema) == ({}, {})


def test_unserialisable() -> None:
    """An output without a JSON form is an error that names agent and type."""
    _, flow = built(ping)
    with pytest.raises(OutputInvalid, match="what `run` of agent 'triage' returned is unusable: a object cannot"):
        flow.write_output(object())


def plain(text: str) -> str:
    """Not async."""
    return text


async def two(one: str, other: str) -> str:
    """Two inputs."""
    return one + other


async def strange(value: CodeFlow) -> str:
    """An input without a schema."""
    return str(value)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (plain, "use async def"),
        (two, "not one, other: put several inputs into one pydantic model"),
        (strange, "has no JSON Schema"),
    ],
)
def test_wrong(function: Callable[..., Any], words: str) -> None:
    """A function that cannot be an agent is a configuration error that says what to change."""
    with pytest.raises(ConfigError, match=words):
        built(function)


def test_python_only() -> None:
    """The template cannot be used where there is no function."""
    with pytest.raises(ConfigError, match="needs a function in Python"):
        build(Agent("a", template="function").declare(), templates=Registry().templates, toolbox={})

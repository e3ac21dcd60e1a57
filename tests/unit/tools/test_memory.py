"""The tools with which a model writes its memory."""

from __future__ import annotations

import pytest

from runwright import Agent, Limits
from runwright.agents.registry import Registry
from runwright.core.agent import Loop, MemoryBlock
from runwright.errors import ConfigError, InvalidRequest
from runwright.tools.memory import memory_tools

BLOCKS = (MemoryBlock(name="profile"), MemoryBlock(name="todo", scope="thread"))


def test_there_are_tools_where_there_are_blocks() -> None:
    """Their schema names the blocks; without blocks there are none."""
    assert memory_tools(()) == {}
    tools = memory_tools(BLOCKS)
    assert list(tools) == ["memory_set", "memory_append"]
    assert [(tool.spec.name, tool.effect) for tool in tools.values()] == [
        ("memory_set", "idempotent"),
        ("memory_append", "idempotent"),
    ]
    properties = tools["memory_set"].spec.parameters["properties"]
    assert isinstance(properties, dict)
    assert properties["block"]["enum"] == ["profile", "todo"]
    assert tools["memory_set"].fingerprint != memory_tools(BLOCKS[:1])["memory_set"].fingerprint


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{", "do not fit"),
        ('{"block": "profile"}', "missing required field `text`"),
        ('{"block": "profile", "text": 1}', "Expected `str`"),
        ('{"block": "profile", "text": "x", "more": 1}', "unknown field `more`"),
        ('{"block": "none", "text": "x"}', "there are: profile, todo"),
    ],
    ids=["cut", "missing", "number", "more", "block"],
)
def test_wrong_arguments_say_what_would_be_right(arguments: str, told: str) -> None:
    """The model is told what does not fit."""
    with pytest.raises(InvalidRequest, match=told):
        memory_tools(BLOCKS)["memory_set"].check(arguments)


def test_an_agent_with_memory() -> None:
    """A definition names its blocks, and the tools if the model may write."""
    registry = Registry()
    agent = Agent(
        "support",
        memory=[MemoryBlock(name="profile", limit=100), {"name": "todo", "scope": "thread"}],
        tools=["memory_append"],
        limits=Limits(steps=5),
    )
    registry.put(agent.declare())
    flow = registry.get("support").flow
    assert isinstance(flow, Loop)
    assert flow.memory == (MemoryBlock(name="profile", limit=100), MemoryBlock(name="todo", scope="thread"))
    assert list(flow.tools) == ["memory_append"]
    assert b'"enum":["profile","todo"]' in flow.tools_raw


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"memory": [{"name": "a b"}]}, "/memory/0/name"),
        ({"memory": [{"name": "a"}, {"name": "a", "scope": "thread"}]}, "/memory/1/name"),
        ({"memory": [{"name": "a", "scope": "all"}]}, "/memory/0/scope"),
        ({"memory": [{"name": "a", "limit": 0}]}, "/memory/0/limit"),
        ({"memory": [{"name": "a", "size": 1}]}, "/memory/0/size"),
        ({"tools": ["memory_set"]}, "/tools/0"),
    ],
    ids=["name", "twice", "scope", "limit", "field", "tool"],
)
def test_a_wrong_definition_says_where(fields: dict[str, list[object]], place: str) -> None:
    """Each mistake has its place in the definition."""
    with pytest.raises(ConfigError) as caught:
        Registry().check(Agent("support", **fields).declare())  # pyright: ignore[reportArgumentType] - wrong on purpose
    assert [at for at, _ in caught.value.problems] == [place]

"""Agents of Pydantic AI, served as they are: their model requests and tool calls are steps.

runwright run desk "weather in Rome" --agents examples/frameworks

With `pip install 'runwright[local]'` and `runwright models pull smollm2-135m` the second one answers on this machine:
`runwright run local-desk "Say hello." --agents examples/frameworks`.
"""

from pydantic_ai import Agent as PydanticAgent

from runwright import Agent

assistant = PydanticAgent(instructions="Answer briefly.", name="assistant")
talker = PydanticAgent(instructions="Answer in one sentence.", name="talker", model_settings={"max_tokens": 24})


@assistant.tool_plain(name="weather", metadata={"effect": "read"})
async def look_up(city: str) -> str:
    """Say the weather in a city."""
    return f"sunny in {city}"


desk = Agent("desk", template="pydantic-ai", config={"agent": assistant})
local = Agent("local-desk", template="pydantic-ai", model="local:smollm2-135m", config={"agent": talker})

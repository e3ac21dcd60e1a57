"""An agent of Pydantic AI, served as it is: its model requests and tool calls are steps.

runwright run desk "weather in Rome" --agents examples/features
"""

from pydantic_ai import Agent as PydanticAgent

from runwright import Agent

assistant = PydanticAgent(instructions="Answer briefly.", name="assistant")


@assistant.tool_plain(name="weather", metadata={"effect": "read"})
async def look_up(city: str) -> str:
    """Say the weather in a city."""
    return f"sunny in {city}"


desk = Agent("desk", template="pydantic-ai", config={"agent": assistant})

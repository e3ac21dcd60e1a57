"""The agents of the serving benchmark. An agent has the name of its model, whose knobs the upstream reads."""

from runwright import Agent, tool

_INSTRUCTIONS = "You are a benchmark. Answer with words."


@tool(effect="read")
async def lookup(key: str) -> str:
    """Look a key up.

    Args:
        key: The key.
    """
    return f"value of {key}"


plain = Agent("bench-n16", model="openai:bench-n16", instructions=_INSTRUCTIONS)
slow = Agent("bench-d50-n16", model="openai:bench-d50-n16", instructions=_INSTRUCTIONS)
burst = Agent("bench-n64", model="openai:bench-n64", instructions=_INSTRUCTIONS)
paced = Agent("bench-c5-n64", model="openai:bench-c5-n64", instructions=_INSTRUCTIONS)
with_tool = Agent("bench-tool-n16", model="openai:bench-tool-n16", instructions=_INSTRUCTIONS, tools=[lookup])

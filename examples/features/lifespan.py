"""Something that is opened once, when the server starts, and handed to every tool.

runwright run counter "Count once" --agents examples/features
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count as counting

from runwright import Agent, Context, tool


@asynccontextmanager
async def lifespan() -> AsyncGenerator[dict[str, object]]:
    """Open what tools need, give it, and close it at the end."""
    yield {"numbers": counting(1)}


@tool(effect="once")
async def count(context: Context) -> int:
    """Count once."""
    return next(context.state["numbers"])


agent = Agent("counter", tools=[count])

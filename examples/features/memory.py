"""An agent that keeps what it learns about its user, in a block that it is shown and may write.

runwright run companion "memory append profile: likes tea" --agents examples/features
runwright run greeter "Ada" --agents examples/features

Then look at it: `runwright memory ls`, and `show`, `log` or `blame` with `agent:greeter guests`.
"""

from runwright import Agent, Context

companion = Agent(
    "companion",
    instructions="Be kind. Note what you learn about the user.",
    memory=[{"name": "profile", "description": "Who the user is and what they like.", "limit": 2000}],
    tools=["memory_set", "memory_append"],
)


async def greet(name: str, context: Context) -> str:
    """A code flow reads and writes memory itself: each is a recorded step."""
    visits = await context.memory.get("visits", 0) + 1
    await context.memory.set("visits", visits)
    await context.memory.append("guests", name)
    return f"Welcome, {name}: visit {visits}."


greeter = Agent("greeter", run=greet)

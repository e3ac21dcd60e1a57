"""An agent of Pydantic AI that buys and sells, served where `CRASH_BRIDGED` is set: it takes a second to load."""

import os
from typing import NamedTuple

from runwright import Agent, Context

from .market import MODEL, act

if "CRASH_BRIDGED" in os.environ:
    from pydantic_ai import Agent as PydanticAgent
    from pydantic_ai import RunContext

    class Call(NamedTuple):
        """What the witness is told of a call."""

        run_id: str
        idempotency_key: str

    trader = PydanticAgent(instructions="Buy and sell.", name="trader", deps_type=str)

    def _call(context: RunContext[str]) -> Call:
        return Call(context.deps, f"{context.deps}-{context.tool_call_id}")

    @trader.tool(metadata={"effect": "read"})
    async def look(context: RunContext[str], topic: str) -> str:
        """Look something up."""
        return await act("look", _call(context), f"{topic} is green")

    @trader.tool(metadata={"effect": "idempotent"})
    async def reserve(context: RunContext[str], item: str) -> str:
        """Reserve an item."""
        return await act("reserve", _call(context), f"reserved {item}")

    @trader.tool
    async def charge(context: RunContext[str], amount: int) -> str:
        """Charge a card."""
        return await act("charge", _call(context), f"charged {amount}")

    @trader.tool
    async def notify(context: RunContext[str], to: str) -> str:
        """Send a message."""
        return await act("notify", _call(context), f"told {to}")

    @trader.tool(metadata={"effect": "idempotent"})
    async def stamp(context: RunContext[str], text: str) -> str:
        """Stamp a paper."""
        return await act("stamp", _call(context), f"stamped {text}")

    def run_id(context: Context) -> str:
        """The dependencies of a run: its id."""
        return context.run_id

    bridged = Agent("bridged", template="pydantic-ai", model=MODEL, config={"agent": trader, "deps": run_id})

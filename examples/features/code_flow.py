"""A plain async function as an agent: two branches at once, each with its own lane, then a model call.

runwright run compare '{"first": "Paris", "second": "Rome"}' --as-json --agents examples/features
"""

import asyncio

from pydantic import BaseModel

from runwright import Agent, Context, tool


class Cities(BaseModel):
    """The input."""

    first: str
    second: str


@tool(effect="read")
async def population(city: str) -> int:
    """How many people live in a city."""
    await asyncio.sleep(0.1)
    return {"Paris": 2_100_000, "Rome": 2_750_000}.get(city, 0)


async def compare(cities: Cities, context: Context) -> str:
    """Compare two cities. Everything that touches the world goes through the context and is a step."""
    first, second = await asyncio.gather(
        context.lane("first").tool(population, city=cities.first),
        context.lane("second").tool(population, city=cities.second),
    )
    larger = cities.first if first > second else cities.second
    answer = await context.model(f"Say that {larger} is the larger city.", instructions="One short sentence.")
    return answer.message.content or larger


agent = Agent("compare", description="Compares two cities.", run=compare)

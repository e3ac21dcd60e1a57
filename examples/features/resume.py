"""Work that goes on after a crash, and a call that may not be repeated.

runwright run courier "Pack a parcel for customer 7" --agents examples/features

Serve it, start the run in the background, `kill -9` the server while it packs, and serve again: the packing is called
a second time with the same key. A pick-up for customer 0 loses its answer, so its run waits until somebody says what
became of it: `examples/clients/resolve.py`.
"""

import asyncio

from runwright import Agent, Context, tool


@tool(effect="idempotent")
async def pack_parcel(customer: int, context: Context) -> str:
    """Pack a parcel for a customer."""
    context.progress("packing", fraction=0.5)
    await asyncio.sleep(1)
    return f"The parcel for customer {customer} is packed, packing list {context.idempotency_key[-8:]}."


@tool(effect="once")
async def order_pickup(customer: int) -> str:
    """Order a pick-up at a customer's."""
    if customer == 0:
        raise ConnectionError("the line broke after the order was sent")
    return f"The pick-up at customer {customer} is ordered."


agent = Agent("courier", instructions="Answer briefly.", tools=[pack_parcel, order_pickup])

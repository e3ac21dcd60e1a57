"""Tools with the three effects, and what a tool can do with its context.

runwright run customers "Look up customer 7" --agents examples/features
runwright run customers "Add a note to customer 7" --agents examples/features
"""

from runwright import Agent, Context, NotSent, tool


@tool(effect="read")
async def look_up_customer(customer: int) -> dict[str, object]:
    """Look up a customer.

    Args:
        customer: The customer's number.
    """
    return {"customer": customer, "name": "Ada", "city": "London"}


@tool(effect="idempotent")
def add_note(customer: int, context: Context) -> str:
    """Add a note to a customer. A plain function runs in a thread."""
    context.progress("writing the note", fraction=0.5)
    context.emit("note.added", {"customer": customer, "key": context.idempotency_key})
    return f"A note was added to customer {customer}."


@tool(effect="once", timeout_s=30)
async def call_customer(customer: int) -> str:
    """Call a customer on the telephone."""
    if customer < 1:
        raise NotSent(f"there is no customer {customer}: nobody was called")
    return f"Customer {customer} was called."


agent = Agent("customers", instructions="Answer briefly.", tools=[look_up_customer, add_note, call_customer])

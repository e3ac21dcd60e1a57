"""A tool that a person has to allow: the run waits, and `runwright approvals` lets it go on.

runwright run treasurer "balance of the account" --agents examples/features

Asked to "pay an amount of 50", it asks back at the terminal. With `runwright serve examples/features`, approve that
with `runwright approvals ls` and `runwright approvals approve ID`.
"""

from runwright import Agent, tool


@tool(effect="read")
async def balance(account: str) -> str:
    """The balance of an account."""
    return f"{account}: 120 EUR"


@tool(effect="once")
async def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount} EUR"


agent = Agent("treasurer", tools=[balance, pay], approvals={"pay": {"expires_s": 86400}})

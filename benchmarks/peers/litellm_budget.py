"""LiteLLM's budget of a process, with answers it makes up itself: no network."""

import asyncio
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm


def overshoot(callers: int, affordable: int) -> float:
    """How many times the budget is spent by so many calls at once, of which it pays for a few."""

    async def ask() -> float:
        answer = await litellm.acompletion(
            model="gpt-4o", messages=[{"role": "user", "content": "Say it."}], mock_response="answer " * 50
        )
        return litellm.completion_cost(answer)

    async def main() -> float:
        one = await ask()
        litellm.max_budget = one * (affordable + 1)
        given = await asyncio.gather(*(ask() for _ in range(callers)), return_exceptions=True)
        return sum(cost for cost in given if isinstance(cost, float)) / (one * affordable)

    return asyncio.run(main())

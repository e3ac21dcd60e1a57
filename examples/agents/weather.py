"""An agent with one tool, on a language model that runs in the server's own process.

Try it with "What is the weather in Paris?". The model names `local:smollm2-135m` on purpose, so that the example
behaves the same wherever it runs; it needs `pip install 'runwright[local]'` and `runwright models pull smollm2-135m`.
With `model=None` the agent takes the default: a provider whose key is set, an Ollama on this machine, the local
model, or the demo model, which is no LLM.
"""

from runwright import Agent, tool

REPORTS = {
    "berlin": "It is cloudy and 17 °C in Berlin.",
    "lisbon": "It is windy and 21 °C in Lisbon.",
    "london": "It is rainy and 14 °C in London.",
    "oslo": "It is snowy and -2 °C in Oslo.",
    "paris": "It is sunny and 24 °C in Paris.",
    "tokyo": "It is clear and 19 °C in Tokyo.",
}


@tool(effect="read")
async def weather(city: str) -> str:
    """Say the weather in a city."""
    return REPORTS.get(city.lower(), f"There is no weather report for {city}.")


agent = Agent(
    "weather",
    model="local:smollm2-135m",
    description="Says the weather in a city.",
    instructions="Answer questions about the weather with the weather tool. Answer briefly.",
    tools=[weather],
    settings={"temperature": 0, "seed": 1},
)

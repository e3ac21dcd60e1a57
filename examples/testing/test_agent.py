"""A test of an agent: its tools are real, its model says what the test tells it to say.

Run it with `pytest examples/testing`: it needs no key and no network.
"""

import asyncio

import msgspec

from runwright import Agent, App, tool
from runwright.app import AppOptions
from runwright.core.ports import Model
from runwright.models import ModelRegistry
from runwright.service.views import RunView
from runwright.testing import ScriptedModel, calls


@tool(effect="read")
async def look_up_customer(customer: int) -> str:
    """Look up a customer."""
    return f"Customer {customer} is Ada."


agent = Agent("customers", instructions="Answer briefly.", tools=[look_up_customer])


class OneModel(ModelRegistry):
    """Gives the same model for every reference."""

    def __init__(self, model: Model) -> None:
        super().__init__(default=model.ref)
        self._model = model

    def resolve(self, ref: str | None) -> Model:
        """The one model."""
        return self._model


async def run(model: ScriptedModel, text: str) -> RunView:
    """Run the agent with everything in memory."""
    async with App(agents=[agent], models=OneModel(model), options=AppOptions(is_in_memory=True)) as app:
        return await app.run("customers", text)


def test_the_customer_is_looked_up() -> None:
    """The tool is called with what the model says, and its result goes back to the model."""
    model = ScriptedModel(calls(("look_up_customer", {"customer": 7})), "That is Ada.")
    view = asyncio.run(run(model, "Who is customer 7?"))
    assert view.status == "completed"
    assert msgspec.json.decode(view.output) == "That is Ada."
    told = [entry.message for entry in model.requests[1].messages]
    assert "Customer 7 is Ada." in str(told[-1])


def test_a_wrong_argument_is_told_to_the_model() -> None:
    """A call that does not fit is no step: the model is told what would be right."""
    model = ScriptedModel(calls(("look_up_customer", {"customer": "seven"})), "I do not know.")
    view = asyncio.run(run(model, "Who is customer seven?"))
    assert view.usage.tool_calls == 0
    assert "customer" in str(model.requests[1].messages[-1].message)

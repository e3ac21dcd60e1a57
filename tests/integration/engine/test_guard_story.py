"""A run's record explains every wait and every resend of its calls."""

from collections.abc import Sequence
from typing import Any

from runwright import Agent, App, Context, Guard, Retry, tool
from runwright.app import AppOptions
from runwright.core.event import Event, GuardDecided, StepCompleted, StepRestarted, StepStarted
from runwright.core.run import Run
from runwright.guard import Backoff, Limit
from runwright.models import ModelRegistry
from runwright.settings import Settings

FAST = Backoff(base_s=0.01, jitter="none", strategy="constant")
OPTIONS: dict[str, Any] = {"is_in_memory": True, "is_offline": True}


class Story:
    """A reader that keeps all events in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, run: Run, events: Sequence[Event]) -> None:
        """Keep them."""
        self.events += events


async def told(agent: Agent) -> list[Event]:
    """The events of a run of an agent."""
    story = Story()
    options = AppOptions(**OPTIONS, readers=(story,))
    async with App(Settings(), agents=[agent], models=ModelRegistry(default="demo"), options=options) as app:
        view = await app.run(agent.name, "go")
        assert view.status == "completed", view.error
    return story.events


async def test_resends_of_an_idempotent_tool_hand_it_the_same_key() -> None:
    """A tool that fails twice is sent again with the key of the first attempt, and the record says why each time."""
    keys: list[str] = []

    @tool(effect="idempotent", guard=Guard(retry=Retry(attempts=3, backoff=FAST)))
    async def pay(amount: int, context: Context) -> str:
        keys.append(context.idempotency_key)
        if len(keys) < 3:
            raise ConnectionError(f"reset {len(keys)}")
        return "paid"

    async def work(text: str, context: Context) -> None:
        await context.tool("pay", amount=5)

    events = await told(Agent("a", run=work, tools=[pay]))
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert keys[0]
    data = [event.data for event in events]
    resends = [each for each in data if isinstance(each, GuardDecided)]
    assert [(each.layer, each.action, each.attempt, each.wait_s) for each in resends] == [
        ("retry", "resend", 2, 0.01),
        ("retry", "resend", 3, 0.01),
    ]
    assert [f"reset {number}" in each.reason for number, each in enumerate(resends, start=1)] == [True, True]
    again = [each for each in data if isinstance(each, StepRestarted)]
    assert [(each.attempt, each.cause) for each in again] == [(2, "retry"), (3, "retry")]
    assert sum(isinstance(each, StepStarted) for each in data) == sum(isinstance(each, StepCompleted) for each in data)


async def test_waits_are_told_with_their_length() -> None:
    """The waits that a record tells of make up the time that its calls took."""

    @tool(effect="read", guard=Guard(limit=Limit(requests=1, per_s=0.1, burst=1.0), retry=False))
    async def look(number: int) -> int:
        return number

    async def work(text: str, context: Context) -> None:
        for number in range(3):
            await context.tool("look", number=number)

    events = await told(Agent("a", run=work, tools=[look]))
    waits = [(event.step, event.data) for event in events if isinstance(event.data, GuardDecided)]
    begun = {event.seq: event.ts for event in events if isinstance(event.data, StepStarted)}
    ended = {event.step: event.ts for event in events if isinstance(event.data, StepCompleted)}
    waited = {step: data.wait_s for step, data in waits if step is not None and data.action == "waited"}
    assert list(waited) == list(begun)[1:]
    assert {data.layer for _, data in waits} == {"rate"}
    for step, wait_s in waited.items():
        assert 0 < wait_s <= (ended[step] - begun[step]).total_seconds() + 0.001

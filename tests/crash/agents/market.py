"""Agents that buy and sell, whose tools tell a witness what they do, and whose process can die at will.

`CRASH_WITNESS` names the witness's file. `CRASH_AT` says where this process kills itself: `entered TOOL` or
`done TOOL`, inside a tool; `before TYPE N` or `after TYPE N`, around the commit that holds the Nth event of that type;
`after commit N`, behind the Nth commit of events of all runs.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from runwright import Agent, Context, tool
from runwright.core.ports import DELTA_ROW, Batch
from runwright.errors import RunwrightError
from runwright.journal import write
from runwright.journal.write import Journal
from runwright.store.append import SqlWrites

WITNESS = os.environ["CRASH_WITNESS"]
POINT = os.environ.get("CRASH_AT", "").split()
MODEL = "openai:scripted"

Outcomes = Sequence[RunwrightError | None]
Append = Callable[[SqlWrites, Sequence[Batch]], Outcomes]


class Call(Protocol):
    """What the witness is told of a call."""

    @property
    def run_id(self) -> str:
        """The id of the run."""
        ...

    @property
    def idempotency_key(self) -> str:
        """The same for each attempt."""
        ...


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _tell(name: str, moment: str, context: Call) -> None:
    """Write a line that outlives this process, then die if this is the place."""
    line = json.dumps({"tool": name, "moment": moment, "key": context.idempotency_key, "run": context.run_id})
    file = os.open(WITNESS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, line.encode() + b"\n")
    os.fsync(file)
    os.close(file)
    if POINT == [moment, name]:
        _die()


async def act(name: str, context: Call, result: str) -> str:
    """Tell the witness, do it, and tell again."""
    _tell(name, "entered", context)
    await asyncio.sleep(0.005)
    _tell(name, "done", context)
    return result


@tool(effect="read")
async def look(topic: str, context: Context) -> str:
    """Look something up."""
    return await act("look", context, f"{topic} is green")


@tool(effect="idempotent")
async def reserve(item: str, context: Context) -> str:
    """Reserve an item."""
    return await act("reserve", context, f"reserved {item}")


@tool(effect="once")
async def charge(amount: int, context: Context) -> str:
    """Charge a card."""
    return await act("charge", context, f"charged {amount}")


@tool(effect="once")
async def notify(to: str, context: Context) -> str:
    """Send a message."""
    return await act("notify", context, f"told {to}")


@tool(effect="idempotent")
async def stamp(text: str, context: Context) -> str:
    """Stamp a paper."""
    return await act("stamp", context, f"stamped {text}")


loop = Agent("loop", model=MODEL, instructions="Buy and sell.", tools=[look, reserve, charge, notify, stamp])


async def trade(order: str, context: Context) -> str:
    """The same as a code flow: one thing after the other, and the last two side by side."""
    await context.model(f"plan {order}")
    told = [
        await context.tool("look", topic="tea"),
        await context.tool("reserve", item="tea"),
        await context.tool("charge", amount=7),
    ]
    async with asyncio.TaskGroup() as group:
        notified = group.create_task(context.lane("notify").tool("notify", to="ann"))
        stamped = group.create_task(context.lane("stamp").tool("stamp", text="sold"))
    told += [notified.result(), stamped.result()]
    answer = await context.model(f"say {'; '.join(told)}")
    return answer.message.content or ""


flow = Agent("flow", run=trade, model=MODEL, tools=[look, reserve, charge, notify, stamp])


async def keep(order: str, context: Context) -> str:
    """Three writes to memory: two by the flow, one by its tool."""
    await context.memory.append("log", "first")
    await context.tool("note", text="second")
    await context.memory.append("log", "third")
    return str(await context.memory.get("log"))


@tool(effect="idempotent")
async def note(text: str, context: Context) -> str:
    """Note something down."""
    await context.memory.append("log", text)
    return await act("note", context, f"noted {text}")


keeper = Agent("keeper", run=keep, tools=[note])


async def stamped(text: str, context: Context) -> str:
    """One tool call: what a chain and a parallel run are made of."""
    return str(await context.tool("stamp", text=text))


clerk = Agent("clerk", run=stamped, tools=[stamp])
head = Agent("head", template="supervisor", model=MODEL, config={"agents": ["clerk"], "parallel": 3})
minuter = Agent(
    "minuter",
    template="supervisor",
    model=MODEL,
    config={"agents": ["clerk"], "history": {"messages": 2, "summary": {"max_tokens": 50}}},
)


@tool(effect="once")
async def pay(text: str, context: Context) -> str:
    """Pay."""
    return await act("pay", context, f"paid {text}")


async def paid(text: str, context: Context) -> str:
    """One tool call that must not happen twice."""
    return str(await context.tool("pay", text=text))


cashier = Agent("cashier", run=paid, tools=[pay])


async def sign(text: str, context: Context) -> str:
    """Sign what was bought."""
    return f"signed {text}"


errand = Agent(
    "errand",
    template="task",
    model=MODEL,
    tools=[look, reserve, charge],
    config={
        "parallel": True,
        "steps": [
            {"name": "look", "tool": "look", "arguments": {"topic": "tea"}},
            {"name": "reserve", "tool": "reserve", "arguments": {"item": "tea"}, "needs": ["look"]},
            {"name": "charge", "tool": "charge", "arguments": {"amount": 7}, "needs": ["look"]},
            {"name": "paper", "agent": "clerk", "needs": ["reserve"]},
            {"name": "say", "prompt": "say {{ steps.charge.output }} {{ steps.paper.output }}"},
            {"name": "sign", "function": sign, "input": "$steps.say.output"},
        ],
        "output": "$steps.sign.output",
    },
)


@tool(effect="once", approval=True)
async def send(to: str, context: Context) -> str:
    """Send a parcel, if a person allows it."""
    return await act("send", context, f"sent to {to}")


async def deliver(order: str, context: Context) -> str:
    """Send one parcel."""
    return str(await context.tool("send", to=order))


async def oversee(order: str, context: Context) -> str:
    """Have another agent send a parcel, and stamp the paper."""
    sent = str(await context.run("courier", "ann"))
    return f"{sent}; {await context.tool('stamp', text='sold')}"


courier = Agent("courier", run=deliver, tools=[send])
overseer = Agent("overseer", run=oversee, tools=[stamp])


KINDS: dict[int, list[str]] = {}
"""The types of the events in each batch that was made and is not yet written."""


def _noting(make: Callable[[Any], Batch]) -> Callable[[Any], Batch]:
    def noting(entry: Any) -> Batch:
        batch = make(entry)
        KINDS[id(batch)] = [event.type for event in entry.events]
        return batch

    return noting


def _dying(append: Append) -> Append:
    """Commit batch by batch, and die before or after the one that is meant."""
    moment, kind, number = POINT
    left = int(number)

    def dying(writes: SqlWrites, batches: Sequence[Batch]) -> Outcomes:
        nonlocal left
        outcomes: list[RunwrightError | None] = []
        for batch in batches:
            # A row holds several events and goes by the type of one; deltas have rows of their own.
            kinds = ["commit", *KINDS.pop(id(batch), [])]
            found = kinds.count(kind) + sum(row.type == kind == DELTA_ROW for row in batch.events)
            is_here = 0 < left <= found
            left -= found
            if is_here and moment == "before":
                _die()
            outcomes.extend(append(writes, [batch]))
            if is_here:
                _die()
        return outcomes

    return dying


def _never(_: Journal, entry: object) -> bool:
    return False


@asynccontextmanager
async def lifespan() -> AsyncGenerator[None]:
    """Runs in the server before its engine: the only place where a test reaches into that process."""
    if len(POINT) == 3:
        # What one turn of the loop appends may be one commit or several: here each append is one of its own.
        setattr(Journal, "merge", _never)  # noqa: B010 - on purpose, and only here
        setattr(write, "_batch", _noting(write._batch))  # noqa: B010  # pyright: ignore[reportPrivateUsage] - as above
        setattr(SqlWrites, "append", _dying(SqlWrites.append))  # noqa: B010 - on purpose, and only here
    yield


reader = Agent("reader", template="repository", model=MODEL, config={"repository": f"{WITNESS}-site"})

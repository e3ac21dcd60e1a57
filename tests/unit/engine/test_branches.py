"""The tasks of a flow, as far as they can be known."""

from __future__ import annotations

import asyncio

import pytest

from runwright.engine.branches import Branches

pytestmark = pytest.mark.anyio


async def _wait(go: asyncio.Event) -> None:
    await go.wait()


async def test_a_task_is_alone_until_it_begins_another() -> None:
    """A task that was begun within the flow counts until it is over."""
    branches, go = Branches(), asyncio.Event()
    branches.enter()
    assert branches.is_alone()
    task = asyncio.create_task(_wait(go))
    assert not branches.is_alone()
    go.set()
    await task
    del task
    # The loop still holds the task whose end woke this one.
    await asyncio.sleep(0)
    assert branches.is_alone()


async def test_tasks_that_ask_know_of_each_other() -> None:
    """A task with a mark of its own does not hide those that inherited the one before."""
    branches = Branches()
    branches.enter()

    async def ask() -> bool:
        return branches.is_alone()

    assert await asyncio.gather(ask(), ask()) == [False, False]


async def test_what_a_tool_begins_is_no_part_of_the_flow() -> None:
    """Tasks that begin while a step is performed do not count, but the task that performs it does."""
    branches, go = Branches(), asyncio.Event()
    branches.enter()
    with branches.away():
        task = asyncio.create_task(_wait(go))
        assert not branches.is_alone()
    assert branches.is_alone()
    go.set()
    await task

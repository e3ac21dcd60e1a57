"""Properties of replays, over random agents: what a run did, its strict replay does, and it touches nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from runwright.core.event import Event, ReplayDiverged, RunTainted, RunWaiting
from runwright.core.replay import Replay
from runwright.core.run import TERMINAL, RunRequest
from runwright.core.step import SUPERSEDED
from runwright.errors import Conflict
from runwright.journal.tape import read_tape
from runwright.service.views import Resolution, RunView
from runwright.store import open_stores
from tests.unit.engine.chance import (
    Course,
    Stop,
    Talk,
    Use,
    World,
    calm_courses,
    calm_talks,
    courses,
    talks,
)
from tests.unit.engine.harness import Process, started

pytestmark = [pytest.mark.chance, pytest.mark.timeout(300)]
PATIENCE_S = 20.0


def runs(count: int) -> Any:
    """So many random runs. They are not shrunk: what comes of branches side by side depends on when it is tried."""
    phases = [phase for phase in Phase if phase not in {Phase.shrink, Phase.explain}]
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=phases)


async def recorded(process: Process, world: World, plan: Talk | Course) -> RunView:
    """A run of the plan that is over."""
    handle = await process.create(mode="background")
    if plan.stop is not None:
        await world.stopped(plan.stop)
        await process.engine.cancel(handle.run_id, "enough")
    await handle.wait()
    return await ended(process, plan, handle.run_id)


async def ended(process: Process, plan: Talk | Course, run_id: str) -> RunView:
    """The run when it is over. It never diverges: it goes on exactly where it was."""
    resolutions: list[Literal["done", "fail", "retry"]] = [plan.resolution for _ in range(3)]
    while (view := await process.settled(run_id, *TERMINAL, "waiting")).status == "waiting":
        if view.reason == "diverged":
            await process.engine.cancel(run_id, "diverged")
            story = await process.story(run_id)
            raise AssertionError([event.data.detail for event in story if isinstance(event.data, RunWaiting)])
        unknown = next((step for step in await process.steps(view.id) if step.status == "unknown"), None)
        # A tool may have come to its end meanwhile, and the run goes on by itself.
        if unknown is not None:
            with suppress(Conflict):
                # A run that comes to its end before the step does would wait for it again each time.
                await process.runs.resolve(
                    view.id, Resolution(action=resolutions.pop() if resolutions else "done", step=unknown.seq)
                )
    return view


async def replayed(process: Process, of: str, **how: Any) -> RunView:
    """A replay that is over."""
    request = RunRequest(agent="", input=b"", replay=Replay(of=of, **how), mode="background")
    async with asyncio.timeout(PATIENCE_S):
        return await (await process.runs.create(request)).wait()


def digests(events: Sequence[Event]) -> Counter[tuple[str, str]]:
    """The hashes of the steps of a run, with their names."""
    steps = [step for step in read_tape(events) if step.error is None or step.error.code != SUPERSEDED]
    return Counter((step.name, step.digest) for step in steps)


def outcome(view: RunView) -> tuple[object, ...]:
    """How a run ended."""
    error = None if view.error is None else (view.error.code, view.error.message)
    return view.status, bytes(view.output), error


async def repeats(plan: Talk | Course) -> None:
    """A run of the plan, its replay, and the replay of that are the same, and only the first one does anything."""
    world = World()
    async with started(world.agent(plan), model=world.model) as process:
        first = await recorded(process, world, plan)
        await same(process, world, first)


async def same(process: Process, world: World, first: RunView) -> None:
    """The replay of a run, and the replay of that, are the same, and do nothing."""
    story = await process.story(first.id)
    assert not [event.data.reason for event in story if isinstance(event.data, RunTainted)]
    asked, of = world.asked, first.id
    for _ in range(2):
        again = await replayed(process, of)
        events = await process.story(again.id)
        told = [event.data.detail for event in events if isinstance(event.data, ReplayDiverged)]
        assert (told, outcome(again)) == ([], outcome(first)), (told, outcome(again), outcome(first))
        found, expected = digests(events), digests(story)
        assert found == expected, (found - expected, expected - found)
        of = again.id
    assert world.asked == asked


@given(talks)
@runs(350)
def test_a_loop_is_repeated(plan: Talk) -> None:
    """Whatever a loop does, its strict replay does the same, without the world."""
    asyncio.run(repeats(plan))


@given(courses)
@runs(350)
def test_a_flow_is_repeated(plan: Course) -> None:
    """Whatever a code flow does, its strict replay does the same, without the world."""
    asyncio.run(repeats(plan))


async def survives(plan: Talk | Course, kills: Sequence[Stop]) -> None:
    """A run whose process is killed again and again goes on exactly where it was, so that its replay is the same."""
    world = World()
    agent, stores = world.agent(plan), await asyncio.to_thread(open_stores, ":memory:")
    run_id = ""
    for kill in kills:
        asked = world.asked
        async with started(agent, model=world.model, stores=stores) as process:
            run_id = run_id or (await process.create(mode="background")).run_id
            work = asyncio.ensure_future(_stopped(process, world, plan, run_id))
            await world.stopped(replace(kill, after=asked + kill.after))
            await process.crash()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
    async with started(agent, model=world.model, stores=stores) as process:
        if (await process.runs.get(run_id)).status not in TERMINAL:
            await _stopped(process, world, plan, run_id)
        await same(process, world, await ended(process, plan, run_id))
    await asyncio.to_thread(stores.close)


async def _stopped(process: Process, world: World, plan: Talk | Course, run_id: str) -> None:
    if plan.stop is not None:
        await world.stopped(plan.stop)
        await process.engine.cancel(run_id, "enough")


KILLS = st.lists(st.builds(Stop, after=st.integers(1, 5), turns=st.integers(0, 40)), min_size=1, max_size=2)


@given(talks, KILLS)
@runs(100)
def test_a_loop_survives(plan: Talk, kills: Sequence[Stop]) -> None:
    """A loop whose process is killed goes on where it was: its replay is the same."""
    asyncio.run(survives(plan, kills))


@given(courses, KILLS)
@runs(250)
def test_a_flow_survives(plan: Course, kills: Sequence[Stop]) -> None:
    """A code flow whose process is killed goes on where it was, whatever raced in it: its replay is the same."""
    asyncio.run(survives(plan, kills))


class Edit(msgspec.Struct, frozen=True):
    """A change of a course: of which part, and how."""

    place: int
    how: Literal["other", "removed", "added"]


EDITS = st.builds(Edit, st.integers(0, 5), st.sampled_from(["other", "removed", "added"]))
OTHER = Use("look", asked=99)


def edited(plan: Course, edit: Edit) -> Course:
    """The course with one part changed."""
    place, parts = edit.place % len(plan.parts), list(plan.parts)
    parts[place : place + (edit.how != "added")] = [] if edit.how == "removed" else [OTHER]
    return replace(plan, parts=tuple(parts))


async def tells_edit(plan: Course, edit: Edit) -> None:
    """The strict replay of a flow that was edited goes as far as the edit, and tells of that."""
    world = World()
    async with started(world.agent(plan), model=world.model) as process:
        first = await recorded(process, world, plan)
        steps, asked = [step.seq for step in await process.steps(first.id)], world.asked
        process.agents.agents["agent"] = world.agent(edited(plan, edit))
        again = await replayed(process, first.id)
        (told,) = [event.data for event in await process.story(again.id) if isinstance(event.data, ReplayDiverged)]
        assert (again.error and again.error.code, world.asked) == ("diverged", asked)
        place = edit.place % len(steps)
        used = [step.taped for step in await process.steps(again.id)]
        if edit.how == "removed":
            # The others are asked for, and at the end this one is missed.
            assert (told.taped, used) == (steps[place], steps[:place] + steps[place + 1 :])
        else:
            assert used == steps[:place]
            assert told.taped is None or told.taped in steps[place:]


@given(calm_courses, EDITS)
@runs(150)
def test_an_edit_of_a_flow_is_told_where_it_is(plan: Course, edit: Edit) -> None:
    """A part of a flow that is changed, removed or added is told when the replay comes to it, and not before."""
    asyncio.run(tells_edit(plan, edit))


async def tells_request(plan: Talk, place: int) -> None:
    """The strict replay of a loop with another result of a tool ends at the request that shows it."""
    world = World()
    async with started(world.agent(plan), model=world.model) as process:
        first = await recorded(process, world, plan)
        steps = await process.steps(first.id)
        tools = [step.seq for step in steps if step.kind == "tool"]
        changed = tools[place % len(tools)]
        expected = next(step.seq for step in steps if step.kind == "model" and step.seq > changed)
        again = await replayed(process, first.id, results={changed: msgspec.Raw(b'"other"')})
        (told,) = [event.data for event in await process.story(again.id) if isinstance(event.data, ReplayDiverged)]
        assert (again.error and again.error.code, told.taped) == ("diverged", expected)
        assert "+  other" in told.difference.splitlines()


@given(calm_talks, st.integers(0, 9))
@runs(100)
def test_another_result_is_told_at_the_request_that_shows_it(plan: Talk, place: int) -> None:
    """With another result of one tool call, the replay ends at the next request of the model, which is shown."""
    asyncio.run(tells_request(plan, place))


async def goes_on(plan: Talk | Course) -> None:
    """A fork at each step of a run comes to its end, and takes over the steps before it and no others."""
    world = World()
    async with started(world.agent(plan), model=world.model) as process:
        first = await recorded(process, world, plan)
        steps = [step.seq for step in await process.steps(first.id)]
        for at in steps:
            process.agents.agents["agent"] = world.agent(plan)
            fork = await replayed(process, first.id, at=at, live=("tool:put", "tool:pay"))
            assert fork.status == "completed", fork.error
            taken = [step.taped for step in await process.steps(fork.id) if step.taped is not None]
            assert taken == [seq for seq in steps if seq < at]


@given(calm_talks | calm_courses)
@runs(50)
def test_a_run_is_forked_at_any_step(plan: Talk | Course) -> None:
    """A fork at each step of a run comes to its end, and takes over the steps before it and no others."""
    asyncio.run(goes_on(plan))

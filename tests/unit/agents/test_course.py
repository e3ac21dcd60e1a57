"""Properties of tasks, over random steps that need each other, in processes that may die."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import json

from runwright.agents.needs import Needing, needs_problems
from runwright.core.agent import BuiltAgent
from runwright.core.context import Context
from runwright.core.event import ProgressReported
from runwright.core.run import TERMINAL
from runwright.errors import ToolFailed
from runwright.service.views import RunView
from runwright.store import open_stores
from runwright.testing import ScriptedTool
from tests.unit.agents.tasks import repeated, tasking
from tests.unit.engine.harness import Process, started, until

pytestmark = pytest.mark.timeout(60)

FEW = settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    # What comes of steps side by side depends on when it is tried.
    phases=[phase for phase in Phase if phase not in {Phase.shrink, Phase.explain}],
)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A task: what each step needs, which of them fail, after how many turns of the loop each one ends."""

    needs: Mapping[str, tuple[str, ...]]
    failing: frozenset[str]
    turns: Mapping[str, int]
    parallel: bool | int
    is_strict: bool
    dying: str | None = None

    @property
    def room(self) -> int:
        """How many steps may be at work at once."""
        if isinstance(self.parallel, bool):
            return len(self.needs) if self.parallel else 1
        return self.parallel

    @property
    def doomed(self) -> frozenset[str]:
        """The steps that cannot begin if the task is strict: they need one that fails."""
        found: set[str] = set(self.failing)
        for name, needs in self.needs.items():
            if found & set(needs):
                found.add(name)
        return frozenset(found - self.failing)


@st.composite
def plans(draw: st.DrawFn, *, has_death: bool = False) -> Plan:
    """Steps that need some of those before them, in whatever order they are declared."""
    names = [f"s{number}" for number in range(draw(st.integers(1, 7)))]
    needs = {
        name: tuple(draw(st.lists(st.sampled_from(names[:place]), unique=True, max_size=3))) if place else ()
        for place, name in enumerate(names)
    }
    return Plan(
        needs=needs,
        failing=frozenset(draw(st.lists(st.sampled_from(names), max_size=2))),
        turns={name: draw(st.integers(0, 6)) for name in names},
        parallel=draw(st.sampled_from([False, True, 2, 3])),
        is_strict=draw(st.booleans()),
        dying=draw(st.sampled_from(names)) if has_death else None,
    )


class World:
    """The tools of a plan, and what they did: `begun` and `ended` are the steps, in order."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.late: list[str] = []
        self.at_once = 0
        self.is_dying = plan.dying is not None
        self.death = asyncio.Event()

    def agent(self, order: list[str]) -> BuiltAgent:
        """The task, with its steps declared in this order."""
        steps = [{"name": name, "tool": name, "needs": self.plan.needs[name]} for name in order]
        failures = "strict" if self.plan.is_strict else "lenient"
        return tasking(steps, *(_Told(name, self) for name in order), parallel=self.plan.parallel, failures=failures)

    async def act(self, name: str) -> str:
        """Do what a step does."""
        self.begun.append(name)
        if not set(self.plan.needs[name]) <= set(self.ended):
            self.late.append(name)
        self.at_once += 1
        assert self.at_once <= self.plan.room
        try:
            for _ in range(self.plan.turns[name]):
                await asyncio.sleep(0)
            if self.is_dying and name == self.plan.dying:
                self.death.set()
                await asyncio.get_running_loop().create_future()
        finally:
            self.at_once -= 1
        self.ended.append(name)
        if name in self.plan.failing:
            raise ToolFailed(f"{name} fails")
        return name


class _Told(ScriptedTool):
    def __init__(self, name: str, world: World) -> None:
        super().__init__(name, lambda _: name)
        self._world = world

    async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
        """Do what the step does."""
        return json.encode(await self._world.act(self.spec.name))


async def _judge(process: Process, world: World, view: RunView) -> None:
    """What holds for every task that has come to its end."""
    plan = world.plan
    assert not world.late, "a step began before one that it needs had ended"
    taken = {step.lane: step.status for step in await process.steps(view.id)}
    assert {name for name, status in taken.items() if status == "failed"} == plan.failing & taken.keys()
    if plan.is_strict and plan.failing:
        assert view.status == "failed"
        assert not plan.doomed & taken.keys()
    else:
        assert view.status == "completed", view.error
        assert taken.keys() == plan.needs.keys()
        steps: dict[str, Any] = json.decode(view.output)["steps"]
        assert {name: each["output"] for name, each in steps.items()} == {
            name: None if name in plan.failing else name for name in plan.needs
        }
    told = [event.data for event in await process.story(view.id) if isinstance(event.data, ProgressReported)]
    assert [each.fraction for each in told] == [(place + 1) / len(plan.needs) for place in range(len(taken))]
    before = len(world.begun)
    await repeated(process, view)
    assert len(world.begun) == before


@FEW
@given(plan=plans(), data=st.data())
def test_each_step_runs_once_and_after_what_it_needs(plan: Plan, data: st.DataObject) -> None:
    """However steps need each other: each runs once, after those, with no more at once than there is room for."""
    order = data.draw(st.permutations(list(plan.needs)))

    async def check() -> None:
        world = World(plan)
        async with started(world.agent(order)) as process:
            view = await process.run()
            assert Counter(world.begun).most_common(1)[0][1] == 1
            await _judge(process, world, view)

    asyncio.run(check())


@FEW
@given(plan=plans(has_death=True), data=st.data())
def test_what_was_finished_before_a_death_is_not_done_again(plan: Plan, data: st.DataObject) -> None:
    """A process dies in one of the steps: another one goes on, and repeats only what was at work then."""
    order = data.draw(st.permutations(list(plan.needs)))

    async def check() -> None:
        world = World(plan)
        async with started(world.agent(order), stores=stores) as process:
            handle = await process.create(mode="background")
            over = asyncio.create_task(handle.wait())
            await asyncio.wait(
                [over, dead := asyncio.create_task(world.death.wait())], return_when=asyncio.FIRST_COMPLETED
            )
            dead.cancel()
            await until(lambda: process.journal.depth == 0)
            finished = {step.lane for step in await process.steps(handle.run_id) if step.status != "running"}
            await process.crash()
            over.cancel()
        world.is_dying, world.at_once = False, 0
        before = Counter(world.begun)
        async with started(world.agent(order), stores=stores) as process:
            view = await process.settled(handle.run_id, *TERMINAL)
            again = Counter(world.begun) - before
            assert not finished & again.keys()
            await _judge(process, world, view)

    stores = open_stores(":memory:")
    asyncio.run(check())
    stores.close()


@given(needs=st.dictionaries(st.sampled_from("abcdefg"), st.lists(st.sampled_from("abcdefg"), max_size=3), min_size=1))
def test_a_circle_is_told_where_there_is_one(needs: dict[str, list[str]]) -> None:
    """Needs are refused as a circle exactly if there is no order in which all steps can run."""
    known = {name: {need for need in each if need in needs} for name, each in needs.items()}
    steps = [Needing(name=name, needs=tuple(each), mapped={}) for name, each in known.items()]
    left = dict(known)
    while ready := [name for name, each in left.items() if not each & left.keys()]:
        left = {name: each for name, each in left.items() if name not in ready}
    told = [detail for _, detail in needs_problems(steps, output=None)]
    assert bool(told) == bool(left)
    assert all(detail.startswith("no step can begin: ") for detail in told)

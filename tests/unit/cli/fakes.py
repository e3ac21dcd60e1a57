"""Stand-ins for what commands talk to: a terminal, and the runs of a server."""

import io
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec

from runwright.agents.agent import Agent
from runwright.cli.access import (
    Access,
    AgentAccess,
    ApprovalAccess,
    BudgetAccess,
    CacheAccess,
    CostAccess,
    DiffAccess,
    ExportAccess,
    GroupAccess,
    GuardAccess,
    MemoryAccess,
    MigrationAccess,
    PinAccess,
    RedisAccess,
    ScheduleAccess,
    SearchAccess,
    SimilarAccess,
    SimulationAccess,
    StatAccess,
    ThreadAccess,
)
from runwright.cli.call import Call, Options
from runwright.cli.output import Output
from runwright.core.event import Data, Event, RunCompleted
from runwright.core.money import UNPRICED
from runwright.core.ports import RunFilter
from runwright.core.run import Run, RunRequest
from runwright.errors import NotFound
from runwright.service.views import Page, Resolution, RunView, StepView, run_view

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Always."""
        return True


def a_run(run_id: str = "run_1", **fields: object) -> RunView:
    """A run; `input` and `output` are JSON text."""
    input, output = fields.pop("input", b"null"), fields.pop("output", None)
    values = {"status": "completed", "created_at": NOW, "started_at": NOW, "ended_at": NOW, "cost": UNPRICED} | fields
    run = Run(id=run_id, agent="support", version="1.0.0", fingerprint="f", **values)  # pyright: ignore[reportArgumentType] - fields of a test's choice
    assert isinstance(input, bytes)
    end = RunCompleted(output=msgspec.Raw(output)) if isinstance(output, bytes) else None
    return run_view(run, input=input, end=end)


def told(*bodies: Data, run_id: str = "run_1") -> list[Event]:
    """Events numbered from 1."""
    return [Event(run_id, seq, NOW, data) for seq, data in enumerate(bodies, start=1)]


class FakeHandle:
    """A run that was just created."""

    def __init__(self, runs: "FakeRuns", run_id: str) -> None:
        self._runs = runs
        self.run_id = run_id

    async def wait(self) -> RunView:
        """The run."""
        return await self._runs.get(self.run_id)

    def events(self, after: int = 0) -> AsyncIterator[Sequence[Event]]:
        """Its events."""
        return self._runs.events(self.run_id, after=after)


class FakeRuns:
    """Runs in memory, and what was asked for: `created`, `cancelled`, `resolved`, `paused`, `resumed`, `filters`."""

    def __init__(self, *views: RunView, events: Sequence[Event] = (), steps: Sequence[StepView] = ()) -> None:
        self._views = {view.id: view for view in views}
        self._events = events
        self._steps = steps
        self.created: list[RunRequest] = []
        self.cancelled: list[tuple[str, str]] = []
        self.resolved: list[Resolution] = []
        self.resumed: list[str] = []
        self.paused: list[tuple[str, str]] = []
        self.filters: list[RunFilter] = []

    async def create(self, request: RunRequest) -> FakeHandle:
        """The first run."""
        self.created.append(request)
        return FakeHandle(self, next(iter(self._views)))

    async def get(self, run_id: str) -> RunView:
        """One run."""
        if run_id not in self._views:
            raise NotFound(f"There is no run {run_id!r}.")
        return self._views[run_id]

    async def find(self, where: RunFilter) -> Page[RunView]:
        """All runs, or those of a status that are below one, as a page that has one after it when it is full."""
        self.filters.append(where)
        found = list(self._views.values())
        if where.parent_run_id is not None:
            found = [view for view in found if view.id != where.parent_run_id and where.status in (None, view.status)]
        shown = found[: where.limit]
        has_more = len(found) > where.limit
        return Page(data=shown, has_more=has_more, next=shown[-1].id if has_more else None)

    async def steps(self, run_id: str, *, after: int = 0, limit: int = 100) -> Page[StepView]:
        """All steps."""
        await self.get(run_id)
        return Page(data=[step for step in self._steps if step.seq > after][:limit])

    async def events(self, run_id: str, *, after: int = 0) -> AsyncGenerator[Sequence[Event]]:
        """All events, each in a group of its own."""
        await self.get(run_id)
        for event in self._events:
            if event.seq > after:
                yield (event,)

    async def cancel(self, run_id: str, *, reason: str = "") -> RunView:
        """Note it."""
        self.cancelled.append((run_id, reason))
        return await self.get(run_id)

    async def resolve(self, run_id: str, resolution: Resolution) -> RunView:
        """Note it."""
        self.resolved.append(resolution)
        return await self.get(run_id)

    async def pause(self, run_id: str, *, reason: str = "") -> RunView:
        """Note it."""
        self.paused.append((run_id, reason))
        return await self.get(run_id)

    async def resume(self, run_id: str) -> RunView:
        """Note it."""
        self.resumed.append(run_id)
        return await self.get(run_id)


class FakeAccess:
    """What commands reach."""

    def __init__(
        self,
        runs: FakeRuns | None = None,
        agents: AgentAccess | None = None,
        *,
        approvals: ApprovalAccess | None = None,
        diffs: DiffAccess | None = None,
        costs: CostAccess | None = None,
        stats: StatAccess | None = None,
        guard: GuardAccess | None = None,
        simulations: SimulationAccess | None = None,
        memory: MemoryAccess | None = None,
        cache: CacheAccess | None = None,
        redis: RedisAccess | None = None,
        similar: SimilarAccess | None = None,
        migrations: MigrationAccess | None = None,
        schedules: ScheduleAccess | None = None,
        searches: SearchAccess | None = None,
    ) -> None:
        self.runs = runs or FakeRuns()
        self._agents = agents
        self._approvals = approvals
        self._diffs = diffs
        self._costs = costs
        self._stats = stats
        self._guard = guard
        self._simulations = simulations
        self._memory = memory
        self._cache = cache
        self._redis = redis
        self._similar = similar
        self._migrations = migrations
        self._schedules = schedules
        self._searches = searches

    @property
    def searches(self) -> SearchAccess:
        """The searches of the test."""
        assert self._searches is not None
        return self._searches

    @property
    def agents(self) -> AgentAccess:
        """The agents of the test."""
        assert self._agents is not None
        return self._agents

    @property
    def migrations(self) -> MigrationAccess:
        """The migrations of the test."""
        assert self._migrations is not None
        return self._migrations

    @property
    def schedules(self) -> ScheduleAccess:
        """The schedules of the test."""
        assert self._schedules is not None
        return self._schedules

    @property
    def approvals(self) -> ApprovalAccess:
        """The approvals of the test."""
        assert self._approvals is not None
        return self._approvals

    @property
    def diffs(self) -> DiffAccess:
        """The diffs of the test."""
        assert self._diffs is not None
        return self._diffs

    @property
    def exports(self) -> ExportAccess:
        """Nothing: files are made by commands over a real store."""
        raise NotImplementedError

    @property
    def groups(self) -> GroupAccess:
        """Nothing: groups are shown over a real store."""
        raise NotImplementedError

    @property
    def threads(self) -> ThreadAccess:
        """Nothing: threads are shown over a real store."""
        raise NotImplementedError

    @property
    def costs(self) -> CostAccess:
        """The costs of the test."""
        assert self._costs is not None
        return self._costs

    @property
    def pins(self) -> PinAccess:
        """Nothing: pins are put over a real store."""
        raise NotImplementedError

    @property
    def guard(self) -> GuardAccess:
        """The guard of the test."""
        assert self._guard is not None
        return self._guard

    @property
    def budgets(self) -> BudgetAccess:
        """Nothing: budgets are looked at over a real store."""
        raise NotImplementedError

    @property
    def similar(self) -> SimilarAccess:
        """The similar questions of the test."""
        assert self._similar is not None
        return self._similar

    @property
    def simulations(self) -> SimulationAccess:
        """The simulations of the test."""
        assert self._simulations is not None
        return self._simulations

    @property
    def stats(self) -> StatAccess:
        """The stats of the test."""
        assert self._stats is not None
        return self._stats

    @property
    def cache(self) -> CacheAccess:
        """The cache of the test."""
        assert self._cache is not None
        return self._cache

    @property
    def redis(self) -> RedisAccess:
        """The connections of the test."""
        assert self._redis is not None
        return self._redis

    @property
    def memory(self) -> MemoryAccess:
        """The memory of the test."""
        assert self._memory is not None
        return self._memory


class FakeCall(Call):
    """A call whose output is kept and whose access is the test's."""

    def __init__(
        self,
        access: Access | None = None,
        *,
        options: Options | None = None,
        is_json: bool = False,
        is_tty: bool = False,
    ) -> None:
        self.stdout = Terminal() if is_tty else io.StringIO()
        self.stderr = Terminal() if is_tty else io.StringIO()
        super().__init__(options or Options(), Output(is_json=is_json, stdout=self.stdout, stderr=self.stderr))
        self._access = access or FakeAccess()
        self.brought: Sequence[Agent] = ()

    @asynccontextmanager
    async def open(
        self, *, has_agents: bool = True, is_reading: bool = False, agents: Sequence[Agent] = ()
    ) -> AsyncGenerator[Access]:
        """The test's access."""
        self.brought = agents
        yield self._access

    @property
    def printed(self) -> str:
        """What stands on stdout."""
        return self.stdout.getvalue()

    @property
    def noted(self) -> str:
        """What stands on stderr."""
        return self.stderr.getvalue()

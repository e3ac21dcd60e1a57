"""What commands reach, here or on a server: the same surface over both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from runwright.cli.cost_access import BudgetAccess, CostAccess
from runwright.core.event import Event
from runwright.core.ports import RunFilter
from runwright.core.run import RunRequest
from runwright.service.views import (
    AgentSchema,
    AgentView,
    Page,
    Resolution,
    RunView,
    StepView,
    TemplateView,
)

if TYPE_CHECKING:
    from runwright.core.memory import Owner
    from runwright.journal.diff import RunDiff
    from runwright.service.approval_views import ApprovalBody, ApprovalQuery, ApprovalView
    from runwright.service.cache import CacheCleared, CacheSpace, CacheView
    from runwright.service.error_views import ErrorQuery, ErrorReport
    from runwright.service.groups import GroupView
    from runwright.service.guard import GuardQuery, GuardReport
    from runwright.service.memory_views import (
        BlockBody,
        BlockView,
        CommitView,
        LineView,
        MemoryDiff,
        RestoreBody,
        RunMemoryView,
    )
    from runwright.service.migrations import Asking, MigrationView
    from runwright.service.pins import PinView
    from runwright.service.redis import RedisReport
    from runwright.service.schedules import FiringView, ScheduleView, TriggerView
    from runwright.service.search_views import FoundRuns
    from runwright.service.similar import JudgeBody, PairQuery, PairView, ShadowQuery, ShadowReport
    from runwright.service.simulation_views import SimulationQuery, SimulationReport
    from runwright.service.stat_views import StatQuery, StatReport
    from runwright.service.threads import ThreadMessages, ThreadView


class RunHandle(Protocol):
    """A run that was just created."""

    @property
    def run_id(self) -> str:
        """Its id."""
        ...

    async def wait(self) -> RunView:
        """The run when it is over or waits for somebody."""
        ...

    def events(self, after: int = 0) -> AsyncIterator[Sequence[Event]]:
        """Its events, live."""
        ...


class RunAccess(Protocol):
    """What commands ask about runs."""

    async def create(self, request: RunRequest) -> RunHandle:
        """Create a run."""
        ...

    async def get(self, run_id: str) -> RunView:
        """One run."""
        ...

    async def find(self, where: RunFilter) -> Page[RunView]:
        """A page of runs, newest first."""
        ...

    async def steps(self, run_id: str, *, after: int = 0, limit: int = 100) -> Page[StepView]:
        """A page of a run's steps."""
        ...

    def events(self, run_id: str, *, after: int = 0) -> AsyncIterator[Sequence[Event]]:
        """Events with numbers above `after`, live until the terminal one."""
        ...

    async def cancel(self, run_id: str, *, reason: str = "") -> RunView:
        """Cancel a run."""
        ...

    async def resolve(self, run_id: str, resolution: Resolution) -> RunView:
        """Say what became of a step."""
        ...

    async def pause(self, run_id: str, *, reason: str = "") -> RunView:
        """Have a run wait before its next step."""
        ...

    async def resume(self, run_id: str) -> RunView:
        """Let a run go on."""
        ...


class SearchAccess(Protocol):
    """What commands ask about the texts of runs."""

    async def find(self, text: str, where: RunFilter) -> FoundRuns:
        """A page of the runs that hold a text, newest first."""
        ...


class ApprovalAccess(Protocol):
    """What commands ask about steps that need a person."""

    async def find(self, where: ApprovalQuery) -> Page[ApprovalView]:
        """A page of what waits."""
        ...

    async def get(self, approval_id: str) -> ApprovalView:
        """One."""
        ...

    async def resolve(self, approval_id: str, body: ApprovalBody) -> ApprovalView:
        """Approve, deny or answer."""
        ...


class DiffAccess(Protocol):
    """What commands ask about two runs."""

    async def between(self, left: str, right: str) -> RunDiff:
        """How the right run differs from the left one."""
        ...


class ExportAccess(Protocol):
    """What commands ask about runs as files."""

    async def export(self, run_id: str, *, redact: Sequence[str] = ()) -> bytes:
        """A run as a file, without what these rules find."""
        ...

    async def import_file(self, raw: bytes) -> RunView:
        """Take a run in from a file."""
        ...


class GroupAccess(Protocol):
    """What commands ask about groups."""

    async def get(self, group: str, *, steps: int = 0) -> GroupView:
        """A group, with its first steps."""
        ...


class ThreadAccess(Protocol):
    """What commands ask about threads."""

    async def list(self, *, user: str | None = None, after: str | None = None, limit: int = 50) -> Page[ThreadView]:
        """A page of threads, newest first."""
        ...

    async def get(self, thread_id: str) -> ThreadView:
        """One thread."""
        ...

    async def messages(self, thread_id: str) -> ThreadMessages:
        """Its conversation."""
        ...


class MemoryAccess(Protocol):
    """What commands ask about memory."""

    async def owners(self, *, after: str | None = None, limit: int = 50) -> Page[Owner]:
        """Who has memory."""
        ...

    async def blocks(self, owner: str, *, at: str | None = None) -> Page[BlockView]:
        """All blocks, now or at a place in the history."""
        ...

    async def commits(
        self, owner: str, *, name: str | None = None, after: int | None = None, limit: int = 50
    ) -> Page[CommitView]:
        """Commits, newest first."""
        ...

    async def diff(self, owner: str, left: str, right: str | None = None) -> MemoryDiff:
        """How memory differs between two places in its history."""
        ...

    async def blame(self, owner: str, name: str, *, at: int | None = None) -> Page[LineView]:
        """Who wrote each line of a block."""
        ...

    async def put(self, owner: str, name: str, body: BlockBody) -> BlockView:
        """Write a block."""
        ...

    async def delete(self, owner: str, name: str, *, expect: int | None = None) -> None:
        """Take a block away."""
        ...

    async def restore(self, owner: str, body: RestoreBody) -> CommitView:
        """Make an old content stand again."""
        ...

    async def of_run(self, run_id: str) -> RunMemoryView:
        """What a run read and wrote."""
        ...


class PinAccess(Protocol):
    """What commands ask about pins."""

    async def pin(self, run_id: str) -> PinView:
        """Keep a run."""
        ...

    async def unpin(self, run_id: str) -> PinView:
        """Let a run go when its time comes."""
        ...


class StatAccess(Protocol):
    """What commands ask about what happened."""

    async def report(self, query: StatQuery) -> StatReport:
        """What happened, counted."""
        ...

    async def errors(self, query: ErrorQuery) -> ErrorReport:
        """What failed, grouped."""
        ...


class CacheAccess(Protocol):
    """What commands ask about the cache."""

    async def stats(self) -> CacheView:
        """What it did and what it holds."""
        ...

    async def clear(self, of: CacheSpace | None = None) -> CacheCleared:
        """Forget what is kept."""
        ...


class SimilarAccess(Protocol):
    """What commands ask about similar questions."""

    async def report(self, query: ShadowQuery) -> ShadowReport:
        """What shadow mode found."""
        ...

    async def pairs(self, query: PairQuery) -> Page[PairView]:
        """Pairs whose answers differ."""
        ...

    async def judge(self, run_id: str, step: int, body: JudgeBody) -> PairView:
        """Say whether the kept answer would have done."""
        ...


class RedisAccess(Protocol):
    """What commands ask about Redis."""

    async def stats(self) -> RedisReport:
        """What each pool is and did."""
        ...


class GuardAccess(Protocol):
    """What commands ask about the guard."""

    async def report(self, query: GuardQuery) -> GuardReport:
        """How calls fare with resends."""
        ...


class SimulationAccess(Protocol):
    """What commands ask about other policies."""

    async def report(
        self, query: SimulationQuery, *, told: Callable[[int, int], None] | None = None
    ) -> SimulationReport:
        """What other policies would have made of recorded calls; `told` how many are simulated, of how many."""
        ...


class ScheduleAccess(Protocol):
    """What commands ask about schedules."""

    async def find(self, *, agent: str | None = None, after: str | None = None, limit: int = 50) -> Page[ScheduleView]:
        """A page of schedules by name."""
        ...

    async def get(self, name: str) -> ScheduleView:
        """One schedule."""
        ...

    async def create(self, data: Mapping[str, object]) -> ScheduleView:
        """Make a schedule."""
        ...

    async def patch(self, name: str, data: Mapping[str, object]) -> ScheduleView:
        """Change parts of a schedule."""
        ...

    async def delete(self, name: str) -> None:
        """Forget a schedule."""
        ...

    async def pause(self, name: str) -> ScheduleView:
        """Let nothing begin."""
        ...

    async def resume(self, name: str) -> ScheduleView:
        """Go on."""
        ...

    async def trigger(self, name: str) -> TriggerView:
        """Start a run now."""
        ...

    async def firings(self, name: str, *, before: int | None = None, limit: int = 50) -> Page[FiringView]:
        """What became of its times, newest first."""
        ...


class AgentAccess(Protocol):
    """What commands ask about agents and templates."""

    async def list(self, *, after: str | None = None, limit: int = 50) -> Page[AgentView]:
        """A page of agents by name."""
        ...

    async def get(self, name: str, version: str | None = None) -> AgentView:
        """One agent."""
        ...

    async def schema(self, name: str, version: str | None = None) -> AgentSchema:
        """What an agent takes and gives."""
        ...

    async def templates(self) -> Page[TemplateView]:
        """All templates."""
        ...

    async def template(self, name: str) -> TemplateView:
        """One template."""
        ...


class MigrationAccess(Protocol):
    """What commands ask about definitions that are behind their templates."""

    async def list(self, asking: Asking = ...) -> Page[MigrationView]:
        """Every definition beside its template."""
        ...

    async def perform(self, asking: Asking = ...) -> Page[MigrationView]:
        """Move stored definitions."""
        ...


class Access(Protocol):
    """Everything that commands reach."""

    @property
    def runs(self) -> RunAccess:
        """Runs."""
        ...

    @property
    def searches(self) -> SearchAccess:
        """The texts of runs."""
        ...

    @property
    def approvals(self) -> ApprovalAccess:
        """Steps that need a person."""
        ...

    @property
    def diffs(self) -> DiffAccess:
        """Runs side by side."""
        ...

    @property
    def exports(self) -> ExportAccess:
        """Runs as files."""
        ...

    @property
    def groups(self) -> GroupAccess:
        """Runs that belong together."""
        ...

    @property
    def threads(self) -> ThreadAccess:
        """Conversations."""
        ...

    @property
    def costs(self) -> CostAccess:
        """Costs."""
        ...

    @property
    def budgets(self) -> BudgetAccess:
        """What may be spent."""
        ...

    @property
    def memory(self) -> MemoryAccess:
        """Memory."""
        ...

    @property
    def pins(self) -> PinAccess:
        """Runs that stay."""
        ...

    @property
    def stats(self) -> StatAccess:
        """What happened, counted."""
        ...

    @property
    def cache(self) -> CacheAccess:
        """Answers that are kept."""
        ...

    @property
    def similar(self) -> SimilarAccess:
        """Similar questions."""
        ...

    @property
    def redis(self) -> RedisAccess:
        """Connections to Redis."""
        ...

    @property
    def guard(self) -> GuardAccess:
        """How calls fare with resends."""
        ...

    @property
    def simulations(self) -> SimulationAccess:
        """Other policies."""
        ...

    @property
    def schedules(self) -> ScheduleAccess:
        """Schedules."""
        ...

    @property
    def agents(self) -> AgentAccess:
        """Agents and templates."""
        ...

    @property
    def migrations(self) -> MigrationAccess:
        """Definitions beside their templates."""
        ...

"""A running server as commands see it: the same surface over HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import quote

import aiohttp
import msgspec

from runwright.cli.http import ANSWER_S, CONNECT_S, Http
from runwright.cli.remote_runs import RemoteRuns, RemoteSearches, agent_path, run_path
from runwright.cli.remote_schedules import RemoteSchedules
from runwright.core.memory import Owner
from runwright.journal.diff import RunDiff
from runwright.service.approval_views import ApprovalBody, ApprovalQuery, ApprovalView
from runwright.service.budgets import BudgetView, RaiseBody
from runwright.service.cache import CacheCleared, CacheSpace, CacheView
from runwright.service.call_views import CallQuery, CallView
from runwright.service.drains import DrainBody, DrainView
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
from runwright.service.migrations import EVERY, Asking, MigrationView
from runwright.service.pins import PinView
from runwright.service.redis import RedisReport
from runwright.service.similar import JudgeBody, PairQuery, PairView, ShadowQuery, ShadowReport
from runwright.service.simulation_views import SimulationQuery, SimulationReport
from runwright.service.stat_views import StatQuery, StatReport
from runwright.service.threads import ThreadMessages, ThreadView
from runwright.service.views import (
    AgentSchema,
    AgentView,
    CostQuery,
    CostReport,
    Page,
    RunCost,
    RunView,
    TemplateView,
)

SIMULATED_S = 900.0
"""How long the answer of a simulation may take."""


class RemoteApprovals:
    """Steps on the server that need a person."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def find(self, where: ApprovalQuery) -> Page[ApprovalView]:
        """A page of what waits."""
        return await self._http.ask(Page[ApprovalView], "GET", "/approvals", query=msgspec.structs.asdict(where))

    async def get(self, approval_id: str) -> ApprovalView:
        """One."""
        return await self._http.ask(ApprovalView, "GET", f"/approvals/{quote(approval_id, safe='')}")

    async def resolve(self, approval_id: str, body: ApprovalBody) -> ApprovalView:
        """Approve, deny or answer."""
        path = f"/approvals/{quote(approval_id, safe='')}/resolve"
        return await self._http.ask(ApprovalView, "POST", path, body=body)


class RemoteDiffs:
    """Runs of the server side by side."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def between(self, left: str, right: str) -> RunDiff:
        """How the right run differs from the left one."""
        return await self._http.ask(RunDiff, "GET", f"{run_path(left)}/diff/{quote(right, safe='')}")


class RemoteExports:
    """Runs of the server as files."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def export(self, run_id: str, *, redact: Sequence[str] = ()) -> bytes:
        """A run as a file, without what these rules find."""
        asked = "&".join(f"redact={quote(rule, safe='')}" for rule in redact)
        return await self._http.bytes("GET", f"{run_path(run_id)}/export?{asked}")

    async def import_file(self, raw: bytes) -> RunView:
        """Take a run in from a file."""
        return msgspec.json.decode(await self._http.bytes("POST", "/runs/import", data=raw), type=RunView)


class RemoteGroups:
    """Groups on the server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def get(self, group: str, *, steps: int = 0) -> GroupView:
        """A group, with its first steps."""
        return await self._http.ask(GroupView, "GET", f"/groups/{quote(group, safe='')}", query={"steps": steps})


class RemoteThreads:
    """Threads on the server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def list(self, *, user: str | None = None, after: str | None = None, limit: int = 50) -> Page[ThreadView]:
        """A page of threads, newest first."""
        query = {"user": user, "after": after, "limit": limit}
        return await self._http.ask(Page[ThreadView], "GET", "/threads", query=query)

    async def get(self, thread_id: str) -> ThreadView:
        """One thread."""
        return await self._http.ask(ThreadView, "GET", f"/threads/{quote(thread_id, safe='')}")

    async def messages(self, thread_id: str) -> ThreadMessages:
        """Its conversation."""
        return await self._http.ask(ThreadMessages, "GET", f"/threads/{quote(thread_id, safe='')}/messages")


class RemoteCosts:
    """Costs on the server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def report(self, query: CostQuery) -> CostReport:
        """What calls cost, or would cost."""
        return await self._http.ask(CostReport, "POST", "/costs", body=query)

    async def calls(self, query: CallQuery) -> Page[CallView]:
        """Single calls, the dearest or newest first."""
        return await self._http.ask(Page[CallView], "GET", "/costs/calls", query=msgspec.structs.asdict(query))

    async def run(self, run_id: str) -> RunCost:
        """What a run cost, step by step."""
        return await self._http.ask(RunCost, "GET", f"{run_path(run_id)}/cost")


class RemoteMemory:
    """Memory on the server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def owners(self, *, after: str | None = None, limit: int = 50) -> Page[Owner]:
        """Who has memory."""
        return await self._http.ask(Page[Owner], "GET", "/memory", query={"after": after, "limit": limit})

    async def blocks(self, owner: str, *, at: str | None = None) -> Page[BlockView]:
        """All blocks, now or at a place in the history."""
        return await self._http.ask(Page[BlockView], "GET", f"{_memory(owner)}/blocks", query={"at": at})

    async def commits(
        self, owner: str, *, name: str | None = None, after: int | None = None, limit: int = 50
    ) -> Page[CommitView]:
        """Commits, newest first."""
        query = {"name": name, "after": after, "limit": limit}
        return await self._http.ask(Page[CommitView], "GET", f"{_memory(owner)}/commits", query=query)

    async def diff(self, owner: str, left: str, right: str | None = None) -> MemoryDiff:
        """How memory differs between two places in its history."""
        query = {"left": left, "right": right}
        return await self._http.ask(MemoryDiff, "GET", f"{_memory(owner)}/diff", query=query)

    async def blame(self, owner: str, name: str, *, at: int | None = None) -> Page[LineView]:
        """Who wrote each line of a block."""
        return await self._http.ask(Page[LineView], "GET", f"{_memory(owner, name)}/blame", query={"at": at})

    async def put(self, owner: str, name: str, body: BlockBody) -> BlockView:
        """Write a block."""
        return await self._http.ask(BlockView, "PUT", _memory(owner, name), body=body)

    async def delete(self, owner: str, name: str, *, expect: int | None = None) -> None:
        """Take a block away."""
        await self._http.bytes("DELETE", _memory(owner, name), query={"expect": expect})

    async def restore(self, owner: str, body: RestoreBody) -> CommitView:
        """Make an old content stand again."""
        return await self._http.ask(CommitView, "POST", f"{_memory(owner)}/restore", body=body)

    async def of_run(self, run_id: str) -> RunMemoryView:
        """What a run read and wrote."""
        return await self._http.ask(RunMemoryView, "GET", f"{run_path(run_id)}/memory")


class RemotePins:
    """Pins on the server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def pin(self, run_id: str) -> PinView:
        """Keep a run."""
        return await self._http.ask(PinView, "POST", f"{run_path(run_id)}/pin")

    async def unpin(self, run_id: str) -> PinView:
        """Let a run go when its time comes."""
        return await self._http.ask(PinView, "POST", f"{run_path(run_id)}/unpin")


class RemoteBudgets:
    """What may be spent, on the server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def find(self) -> Page[BudgetView]:
        """The accounts in force."""
        return await self._http.ask(Page[BudgetView], "GET", "/budgets")

    async def raise_to(self, body: RaiseBody) -> Page[BudgetView]:
        """Raise an account."""
        return await self._http.ask(Page[BudgetView], "POST", "/budgets/raise", body=body)


class RemoteStats:
    """What happened, counted on the server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def report(self, query: StatQuery) -> StatReport:
        """What happened, counted."""
        asked = msgspec.structs.asdict(query)
        return await self._http.ask(StatReport, "GET", "/stats", query=asked)

    async def errors(self, query: ErrorQuery) -> ErrorReport:
        """What failed, grouped."""
        return await self._http.ask(ErrorReport, "GET", "/errors", query=msgspec.structs.asdict(query))


class RemoteCache:
    """The cache of the server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def stats(self) -> CacheView:
        """What it did and what it holds."""
        return await self._http.ask(CacheView, "GET", "/cache")

    async def clear(self, of: CacheSpace | None = None) -> CacheCleared:
        """Forget what is kept."""
        return await self._http.ask(CacheCleared, "DELETE", "/cache", query={"of": of})


class RemoteSimilar:
    """Similar questions on the server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def report(self, query: ShadowQuery) -> ShadowReport:
        """What shadow mode found."""
        return await self._http.ask(ShadowReport, "GET", "/cache/shadow", query=msgspec.structs.asdict(query))

    async def pairs(self, query: PairQuery) -> Page[PairView]:
        """Pairs whose answers differ."""
        return await self._http.ask(Page[PairView], "GET", "/cache/pairs", query=msgspec.structs.asdict(query))

    async def judge(self, run_id: str, step: int, body: JudgeBody) -> PairView:
        """Say whether the kept answer would have done."""
        return await self._http.ask(PairView, "POST", f"/cache/pairs/{run_id}/{step}", body=body)


class RemoteRedis:
    """The connections of the server to Redis."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def stats(self) -> RedisReport:
        """What each pool is and did."""
        return await self._http.ask(RedisReport, "GET", "/redis")


class RemoteGuard:
    """The guard of the server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def report(self, query: GuardQuery) -> GuardReport:
        """How calls fare with resends."""
        return await self._http.ask(GuardReport, "GET", "/guard", query=msgspec.structs.asdict(query))


class RemoteSimulations:
    """Other policies, simulated on the server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def report(
        self, query: SimulationQuery, *, told: Callable[[int, int], None] | None = None
    ) -> SimulationReport:
        """What other policies would have made of recorded calls. The server does not tell how far it is."""
        return await self._http.ask(SimulationReport, "POST", "/guard/simulate", body=query, within_s=SIMULATED_S)


class RemoteAgents:
    """Agents and templates on the server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def list(self, *, after: str | None = None, limit: int = 50) -> Page[AgentView]:
        """A page of agents by name."""
        return await self._http.ask(Page[AgentView], "GET", "/agents", query={"after": after, "limit": limit})

    async def get(self, name: str, version: str | None = None) -> AgentView:
        """One agent."""
        return await self._http.ask(AgentView, "GET", agent_path(name), query={"version": version})

    async def schema(self, name: str, version: str | None = None) -> AgentSchema:
        """What an agent takes and gives."""
        return await self._http.ask(AgentSchema, "GET", f"{agent_path(name)}/schema", query={"version": version})

    async def templates(self) -> Page[TemplateView]:
        """All templates."""
        return await self._http.ask(Page[TemplateView], "GET", "/templates")

    async def template(self, name: str) -> TemplateView:
        """One template."""
        return await self._http.ask(TemplateView, "GET", f"/templates/{quote(name, safe='')}")


class RemoteDrains:
    """The drain of the server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def begin(self, body: DrainBody) -> DrainView:
        """Begin it."""
        return await self._http.ask(DrainView, "POST", "/drain", body=body)

    async def get(self) -> DrainView:
        """How far it is."""
        return await self._http.ask(DrainView, "GET", "/drain")


class RemoteMigrations:
    """Definitions of the server beside their templates."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def list(self, asking: Asking = EVERY) -> Page[MigrationView]:
        """Every definition beside its template."""
        page = await self._http.ask(Page[MigrationView], "GET", "/migrations", query={"since": asking.since})
        return Page(data=[view for view in page.data if not asking.agents or view.agent in asking.agents])

    async def perform(self, asking: Asking = EVERY) -> Page[MigrationView]:
        """Move stored definitions."""
        return await self._http.ask(Page[MigrationView], "POST", "/migrations", body=asking)


class Remote:
    """A server and what it has."""

    def __init__(self, http: Http) -> None:
        self.drains = RemoteDrains(http)
        self.runs = RemoteRuns(http)
        self.searches = RemoteSearches(http)
        self.approvals = RemoteApprovals(http)
        self.diffs = RemoteDiffs(http)
        self.exports = RemoteExports(http)
        self.groups = RemoteGroups(http)
        self.threads = RemoteThreads(http)
        self.costs = RemoteCosts(http)
        self.pins = RemotePins(http)
        self.stats = RemoteStats(http)
        self.guard = RemoteGuard(http)
        self.simulations = RemoteSimulations(http)
        self.budgets = RemoteBudgets(http)
        self.memory = RemoteMemory(http)
        self.cache = RemoteCache(http)
        self.similar = RemoteSimilar(http)
        self.redis = RemoteRedis(http)
        self.schedules = RemoteSchedules(http)
        self.agents = RemoteAgents(http)
        self.migrations = RemoteMigrations(http)


@asynccontextmanager
async def connect(url: str, *, key: str | None) -> AsyncGenerator[Remote]:
    """Talk to the server at a URL. Nothing is sent before something is asked."""
    base = url.rstrip("/")
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    timeout = aiohttp.ClientTimeout(total=ANSWER_S, sock_connect=CONNECT_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        yield Remote(Http(session, base))


def _memory(owner: str, name: str | None = None) -> str:
    path = f"/memory/{quote(owner, safe='')}"
    return path if name is None else f"{path}/blocks/{quote(name, safe='')}"

"""The composition root: here, and only here, ports meet what stands behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from runwright import __version__, plugins
from runwright.agents.agent import Agent
from runwright.agents.discover import Discovery, discover
from runwright.agents.registry import Registry, named_models
from runwright.core.budget import Asker
from runwright.core.clock import SystemClock
from runwright.core.parking import ParkingExecutor
from runwright.core.policy_reader import placed
from runwright.core.ports import Clock, KeyValue, Reader
from runwright.core.redact import KnownSecrets
from runwright.core.run import RunRequest
from runwright.core.similar import Embedder
from runwright.engine.drive import Rows
from runwright.engine.owner import BOOTS, Owner, own
from runwright.engine.reports import Price as Pricing
from runwright.engine.worker import Engine, EngineOptions
from runwright.engine.world import World
from runwright.guard import Answers, Guards, Ledger, Likeness, LocalLedger, MemoryKeyValue, Offered, Surroundings, live
from runwright.guard import Registry as GuardRegistry
from runwright.journal.read import JournalReader
from runwright.journal.write import Journal
from runwright.models import PROVIDERS, ModelRegistry, Prices, ProviderSettings, price_lists, provider_spec
from runwright.models.prices import read_file
from runwright.models.weights import EMBEDDER
from runwright.service.agents import Agents
from runwright.service.approvals import Approvals
from runwright.service.budgets import Budgets
from runwright.service.cache import Caches
from runwright.service.costs import Costs
from runwright.service.diffs import Diffs
from runwright.service.drains import Drains
from runwright.service.edges import Edges
from runwright.service.exports import Exports
from runwright.service.groups import Groups
from runwright.service.guard import GuardFigures
from runwright.service.live import Live
from runwright.service.memory import Memory
from runwright.service.migrations import Migrations
from runwright.service.outline import Outlines
from runwright.service.pins import Pins
from runwright.service.redis import RedisFigures
from runwright.service.retention import Retention, Rule
from runwright.service.runs import Runs
from runwright.service.schedules import Schedules
from runwright.service.search import Searches
from runwright.service.similar import SimilarQuestions
from runwright.service.simulation import Ports, Simulations
from runwright.service.stats import Stats
from runwright.service.storage import Storage
from runwright.service.threads import Threads
from runwright.service.views import RunView
from runwright.settings import Settings, provider_settings
from runwright.store import SqlKeyValue, Stores, open_stores, open_stores_to_read
from runwright.tools.deeds import Deeds
from runwright.tools.git import Repositories
from runwright.tools.http import HttpClient
from runwright.tools.sandbox.workshop import Workshop
from runwright.watch.health import Health
from runwright.watch.metrics import Metrics

if TYPE_CHECKING:
    from runwright.backends.duckdb import Answer
    from runwright.backends.redis import Shared

DATABASE = "runwright.db"
PRICES = "prices.toml"

Source = str | PathLike[str]


class AppOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What kind of process this is.

    A server holds the lock of its data directory and takes up the runs of dead processes. `is_in_memory` keeps
    everything in memory, for tests; `is_offline` looks for no model on this machine. `is_read_only` looks at a data
    directory that cannot be written, and runs nothing. `readers` are told of every committed event, in the journal's
    thread.
    """

    is_server: bool = False
    is_in_memory: bool = False
    is_offline: bool = False
    is_read_only: bool = False
    readers: tuple[Reader, ...] = ()


class App:
    """Runwright in one process: `async with App(settings, sources=["agents"]) as app`.

    `sources` are folders, files or modules with definitions; `agents` are definitions of the caller's own.
    """

    runs: Runs
    agents: Agents
    threads: Threads
    memory: Memory
    diffs: Diffs
    exports: Exports
    prices: Prices
    guards: Guards

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        sources: Sequence[Source] = (),
        agents: Sequence[Agent] = (),
        models: ModelRegistry | None = None,
        options: AppOptions | None = None,
    ) -> None:
        self.settings = own = settings or Settings()
        self.options = options or AppOptions()
        self.models = models or ModelRegistry(_providers(own), default=own.model, weights=own.cache_dir)
        self._http = HttpClient()
        self.workshop = Workshop.at(self.settings.sandbox_dir, self.settings.sandbox, self._http)
        copies = None if self.options.is_in_memory else self.settings.data / "repositories"
        self.offered = Offered({}, unknown=self.models.unknown)
        self.repositories = Repositories(copies, provider_settings, **self.settings.repositories.options)
        self.registry = Registry(
            refuse=self.offered.refuse,
            has_key=lambda name: bool(provider_settings([name])),
            caps=self.settings.caps,
            workshop=self.workshop,
            repositories=self.repositories,
        )
        self.metrics = Metrics(version=__version__) if self.settings.metrics else None
        self.health = Health()
        self._sources = tuple(sources)
        self._given = tuple(agent.declare() for agent in agents)
        self._state: dict[str, Any] = {}
        self._stack = AsyncExitStack()
        self._ledger: Ledger
        self._shared: Shared | None = None
        self._answers: Answers

    async def __aenter__(self) -> Self:
        """Open everything. Raises ConfigError or StorageError that says what to do; nothing stays open then."""
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let runs finish, then close everything in reverse order."""
        await self._stack.__aexit__(kind, error, trace)

    @property
    def engine(self) -> Engine:
        """What executes runs in this process."""
        return self._engine

    async def run(self, agent: str, input: object, **options: Any) -> RunView:  # noqa: ANN401 - fields of RunRequest
        """Run an agent and wait until the run is over or waits. `input` is any JSON value."""
        request = RunRequest(agent=agent, input=msgspec.json.encode(input), **options)
        handle = await self.runs.create(request)
        return await handle.wait()

    async def drain(self) -> None:
        """Refuse new runs, and let those at work finish or leave them to the next start."""
        await self._engine.stop(drain_s=self.settings.drain_s)

    async def ready(self) -> list[tuple[str, bool, str]]:
        """The checks behind readiness: name, whether it holds, and what is the matter."""
        error = self._journal.error
        store = "takes rows" if error is None else error.public
        is_draining = self._engine.drain.is_begun
        engine = "refuses new runs, the process is about to stop" if is_draining else f"{self._engine.active} runs"
        # Without Redis the server takes work all the same.
        redis = [] if self._shared is None else [("redis", True, self._shared.state)]
        return [("store", error is None, store), ("engine", not is_draining, engine), *redis]

    def discover(self) -> Discovery:
        """Look through the sources again: for a reload."""
        self.workshop.sandbox.look()
        found = discover(*self._sources)
        return msgspec.structs.replace(found, agents=(*found.agents, *self._given))

    @property
    def files(self) -> set[Path]:
        """What the present agents come from: where their definitions stand, and code that these name."""
        return {*(Path(entry.declared.origin.file) for entry in self.registry.all()), *self.workshop.files}

    def reload(self, found: Discovery | None = None) -> tuple[tuple[str, str], ...]:
        """Take what the sources say now, or what was found; runs keep theirs. Raises ConfigError, changing nothing."""
        problems = self._take(found or self.discover())
        self._count_agents()
        # An App that only looks at definitions is not open.
        return (*problems, *(self.schedules.declare() if hasattr(self, "schedules") else self.registry.dangling()))

    def _take(self, found: Discovery) -> tuple[tuple[str, str], ...]:
        self.offered.offer(plugins.guards())
        self.offered.refuse(placed(self.settings.policies))
        return self.registry.replace(found)

    async def _open(self, stack: AsyncExitStack) -> None:
        asyncio.get_running_loop().set_default_executor(ParkingExecutor())
        discovery = await asyncio.to_thread(self.discover)
        await asyncio.to_thread(self._take, discovery)
        owner = self._own(stack)
        self._stores = await asyncio.to_thread(self._open_stores)
        stack.callback(self._stores.close)
        refs = named_models(self.registry, self.settings.policies)
        if self.options.is_server:
            # A server says which model is the default one.
            refs.add(None)
        looking = asyncio.sleep(0) if self.options.is_offline else self.models.look(refs)
        self.prices, _ = await asyncio.gather(asyncio.to_thread(open_prices, self.settings), looking)
        for close in (self.models.close, self._http.close, self.workshop.sandbox.close):
            stack.push_async_callback(close)
        stack.callback(self.repositories.close)
        for lifespan in discovery.lifespans:
            self._state |= dict(await stack.enter_async_context(lifespan()) or {})
        clock = SystemClock()
        await self._share(stack, clock, owner)
        self._journal = self._write_through(clock, await asyncio.to_thread(plugins.readers))
        rows = _rows(self._stores)
        self._engine = Engine(
            rows=rows,
            journal=self._journal,
            world=self._world(clock),
            agents=self.registry,
            owner=owner,
            clock=clock,
            options=EngineOptions(
                concurrency=self.settings.concurrency,
                queue_limit=self.settings.queue_limit,
                is_adopting=self.options.is_server or self.options.is_in_memory,
                is_recovering=self.settings.recover,
            ),
        )
        self._offer(rows, clock)
        await self.agents.load(is_recording=not self.options.is_read_only)
        self._count_agents()
        if self.metrics is not None:
            self.metrics.watch_runs(lambda: self._engine.executing)
            self._engine.scheduler.told = self.metrics.fired
        if not self.options.is_read_only:
            self._journal.start()
            stack.push_async_callback(self._journal.stop)
            self._retain(stack, rows.reader, clock)
            await asyncio.to_thread(self.schedules.declare)
            await self._engine.start()
            stack.push_async_callback(self.drain)

    async def _share(self, stack: AsyncExitStack, clock: Clock, owner: Owner) -> None:
        """Open what the guard keeps: for this process, or for all of them."""
        self._shared = shared = await open_redis(self.settings, stack)
        self._answers = await asyncio.to_thread(open_answers, self.settings, self._stores, clock, shared=shared)
        stack.push_async_callback(self._answers.close)
        asker = Asker(boot=owner.boot, since=clock.now())
        booked = partial(asyncio.to_thread, self._stores.budgets.booked, asker=asker)
        is_shared = shared is not None and self.settings.redis.guard
        self._ledger = shared.ledger(booked) if shared and is_shared else LocalLedger(booked)
        if self.metrics is not None and shared is not None:
            self.metrics.watch_pool(shared.pool.place, shared.pool.stats)

    def _offer(self, rows: Rows, clock: Clock) -> None:
        """What callers can ask for."""
        stores = self._stores
        edges = Edges(stores.stories, stores.blobs, rows.reader)
        self.runs = Runs(self._engine, stores.runs, rows.reader, stories=stores.stories, edges=edges)
        self.searches = Searches(self.runs, stores.runs, edges)
        self.outlines = Outlines(self._engine, stores.runs, rows.reader)
        self.drains = Drains(self._engine, drain_s=self.settings.drain_s)
        self.approvals = Approvals(self.runs, stores.runs, rows.reader)
        self.agents = Agents(self.registry, stores.agents, clock)
        self.migrations = Migrations(self.agents, self.registry, stores.agents)
        self.threads = Threads(stores.threads, self.runs, clock)
        templates = self.agents.template_names
        self.costs = Costs(stores.costs, stores.runs, rows.reader, prices=self.prices, clock=clock, templates=templates)
        self.memory = Memory(stores.memory, stores.runs, rows.reader, clock=clock)
        self.stats = Stats(stores.stats, clock, templates=templates)
        self.storage = Storage(stores.database)
        self.cache = Caches(self._answers, stores.questions)
        self.similar = SimilarQuestions(
            stores.looks, stores.runs, rows.reader, agents=lambda: (entry.agent for entry in self.registry.all())
        )
        self.redis = RedisFigures(lambda: () if self._shared is None else self._shared.stats())
        self.simulations = Simulations(
            Ports(
                runs=stores.runs,
                reader=rows.reader,
                agent=self.registry.get,
                settings=self.settings.policies,
                price=_pricing(self.prices, clock),
                clock=clock,
            )
        )
        self.budgets = Budgets(
            stores.budgets,
            stores.runs,
            rows.reader,
            ledger=self._ledger,
            policies=self.settings.policies,
            agents=lambda: (entry.agent for entry in self.registry.all()),
            clock=clock,
        )
        self.guard = GuardFigures(
            stores.stats, lambda: live(self.guards.around.registry), budgets=self.budgets, clock=clock
        )
        self.schedules = Schedules(rows, self._engine.scheduler, self.registry, clock=clock)
        self.pins = Pins(stores.pins, stores.runs, clock)
        self.diffs = Diffs(stores.runs, rows.reader)
        self.groups = Groups(self._engine, stores.runs, stores.stories)
        self.exports = Exports(stores.runs, rows.reader, stores.imports, pins=stores.pins, clock=clock)

    def _retain(self, stack: AsyncExitStack, reader: JournalReader, clock: Clock) -> None:
        """Prune in the background, if this is a server and the settings say what may go."""
        rule = Rule(age=self.settings.retention.age, size=self.settings.retention.size_bytes)
        if self.options.is_server and rule != Rule():
            pruning = Retention(self._stores.prune, reader, clock, rule=rule)
            pruning.start()
            stack.push_async_callback(asyncio.to_thread, pruning.stop)

    def _open_stores(self) -> Stores:
        if self.options.is_read_only:
            return open_stores_to_read(self.settings.data / DATABASE)
        place = ":memory:" if self.options.is_in_memory else self.settings.data / DATABASE
        return open_stores(place, durability=self.settings.durability)

    def _own(self, stack: AsyncExitStack) -> Owner:
        if self.options.is_in_memory:
            return Owner(None)
        if self.options.is_read_only:
            return Owner(self.settings.data / BOOTS)
        return own(self.settings.data, stack, is_server=self.options.is_server)

    def _world(self, clock: Clock) -> World:
        known = KnownSecrets(self.settings.secret_values() | self.models.keys)
        sharing = self._shared.sharing() if self._shared and self.settings.redis.guard else None
        around = Surroundings(
            registry=GuardRegistry(sharing=sharing),
            answers=self._answers,
            likeness=Likeness(
                self._stores.questions, self._stores.looks, open=partial(open_embedder, self.settings.cache_dir)
            ),
            secrets=known,
            offered=self.offered,
            ledger=self._ledger,
            clock=clock,
        )
        self.guards = Guards(around, self.settings.policies)
        return World(
            models=self.models,
            secrets=self.settings,
            known=known,
            guards=self.guards,
            price=_pricing(self.prices, clock),
            state=self._state,
            room=self._journal.room,
            memory=self._stores.memory,
            deeds=Deeds(self._http, env=lambda name: provider_settings([name]).get(name)),
        )

    def _write_through(self, clock: Clock, offered: Sequence[Reader]) -> Journal:
        """The journal, and the metrics that read it."""
        self.live = Live(self._stores.changes)
        writes, readers = self._stores.writes, (self.live, *self.options.readers, *offered)
        if self.metrics is None:
            return Journal(writes, clock=clock, readers=readers)
        journal = Journal(writes, clock=clock, readers=(self.metrics, *readers), on_commit=self.metrics.committed)
        self.metrics.watch_queue(lambda: journal.depth)
        return journal

    def _count_agents(self) -> None:
        if self.metrics is not None:
            self.metrics.count_agents(len(self.registry.all()))


def _rows(stores: Stores) -> Rows:
    return Rows(
        runs=stores.runs,
        threads=stores.threads,
        signals=stores.signals,
        schedules=stores.schedules,
        firings=stores.firings,
        reader=JournalReader(stores.runs, stores.blobs),
    )


def _pricing(prices: Prices, clock: Clock) -> Pricing:
    """What something costs now."""
    return lambda ref, used: prices.cost(ref, used, at=clock.now())


async def open_redis(settings: Settings, stack: AsyncExitStack) -> Shared | None:
    """What is shared over Redis, if that is set. Raises MissingExtra, and ConfigError for a wrong URL."""
    chosen = settings.redis
    if chosen.url is None:
        return None
    from runwright.backends.redis import PoolOptions, SharedOptions, open_shared

    pool = PoolOptions(
        url=chosen.url.get_secret_value(),
        max_connections=chosen.max_connections,
        connect_timeout_s=chosen.connect_timeout_s,
        timeout_s=chosen.timeout_s,
        wait_s=chosen.timeout_s,
        idle_s=chosen.idle_s,
    )
    options = SharedOptions(pool=pool, prefix=chosen.prefix, is_alone=chosen.without == "alone")
    shared = await open_shared(options)
    stack.push_async_callback(shared.close)
    return shared


def open_answers(settings: Settings, stores: Stores, clock: Clock, *, shared: Shared | None = None) -> Answers:
    """What the guard keeps: in memory, and in the database or in Redis."""

    def now() -> float:
        return clock.now().timestamp()

    far: KeyValue
    if shared is not None and settings.redis.cache:
        far = shared.key_value()
    else:
        far = SqlKeyValue(stores.database, limit=settings.cache.database_bytes, now=now)
    return Answers(near=MemoryKeyValue(limit=settings.cache.memory_bytes, now=now), far=far, now=now)


def open_embedder(weights: Path) -> Embedder:
    """What compares questions. Raises MissingExtra, and ConfigError without its weights."""
    from runwright.backends.minilm import MiniLm

    return MiniLm(*(weights / file.filename for file in EMBEDDER))


def archive_days(stores: Stores, folder: Path, now: datetime) -> list[str]:
    """Write the rows of past days into Parquet files; says which. Raises ConfigError without the extra `analytics`."""
    from runwright.backends.duckdb import archive

    return archive(stores.database, folder, now)


def ask_sql(stores: Stores, folder: Path, question: str) -> Answer:
    """Answer a question in SQL over live rows and those of the archive. Raises ConfigError and InvalidRequest."""
    from runwright.backends.duckdb import ask

    return ask(stores.database, folder, question)


def open_prices(settings: Settings) -> Prices:
    """What calls cost: the user's prices are of the file that is set, else of the one in the data directory.

    Raises ConfigError.
    """
    path = settings.prices or settings.data / PRICES
    own = read_file(path) if settings.prices is not None or path.is_file() else ()
    providers = _providers(settings)
    prices = Prices(own, lists=price_lists(providers))
    # Else the first of a paid model's calls, or of the tools that spend, reads them on the event loop.
    prices.load()
    return prices


def _providers(settings: Settings) -> Mapping[str, ProviderSettings]:
    """What the user says about providers, in the variables of their own clients and in the settings."""
    variables = [name for spec in PROVIDERS.values() for name in (spec.key_env, spec.base_url_env) if name]
    variables += [entry.key_env for entry in settings.providers.values() if entry.key_env]
    values = provider_settings(variables)
    given: Mapping[str, ProviderSettings] = {
        spec.name: ProviderSettings(base_url=values.get(spec.base_url_env, ""), api_key=values.get(spec.key_env, ""))
        for spec in PROVIDERS.values()
        if spec.base_url_env in values or spec.key_env in values
    }
    named = {
        name: ProviderSettings(
            base_url=entry.base_url,
            api_key=values.get(entry.key_env or provider_spec(name).key_env, ""),
            prices=entry.prices or "",
        )
        for name, entry in settings.providers.items()
    }
    return {**given, **named}

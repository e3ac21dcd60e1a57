"""Prometheus metrics, counted in one place: from the events of the journal, after each commit.

Names of the `gen_ai` series follow the OpenTelemetry GenAI conventions as of October 2026, in their Prometheus form.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import cast

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric

from runwright.core.event import (
    Event,
    EventData,
    GuardDecided,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunWaiting,
    StepCharged,
    StepCompleted,
    StepFailed,
    StepRestarted,
    StepStarted,
)
from runwright.core.money import NANO, Cost
from runwright.core.pool import PoolStats
from runwright.core.run import Run
from runwright.core.schedule import Firing
from runwright.core.step import StepStatus
from runwright.watch.guard import GuardMetrics, GuardSeries
from runwright.watch.series import OTHER, Family, MetricField, Names, counter, gauge, histogram

OPERATION_BUCKETS = tuple(0.01 * 2**power for power in range(14))
TOKEN_BUCKETS = tuple(float(4**power) for power in range(14))
RUN_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
COMMIT_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)

OPEN_AT_MOST = 20_000
"""Runs whose open steps are known, for their durations."""


class Metrics:
    """Counts what the journal commits. Each instance has a registry of its own.

    `record` is called in the journal's writer thread, everything else from any thread.
    """

    def __init__(self, *, version: str) -> None:
        self._registry = CollectorRegistry()
        self._series = Series(self._registry)
        self.guard = GuardMetrics(self._registry)
        self.fired: Callable[[Firing], None] = lambda firing: self._series.firings(firing.became).inc()
        self._open: dict[str, dict[int, _OpenStep]] = {}
        self._agents, self._models = Names(), Names()
        self._tools, self._codes = Names(), Names()
        self._handlers: dict[type[EventData], Callable[[Run, Event], None]] = {
            RunWaiting: self._on_waiting,
            RunCompleted: self._on_ended,
            RunFailed: self._on_ended,
            RunCancelled: self._on_ended,
            StepStarted: self._on_step_started,
            StepRestarted: self._on_step_restarted,
            GuardDecided: lambda _, event: self.guard.decided(cast("GuardDecided", event.data)),
            StepCharged: self._on_step_charged,
            StepCompleted: self._on_step_completed,
            StepFailed: self._on_step_failed,
        }
        self._series.build_info(version, platform.python_version()).set(1)
        ProcessCollector(registry=self._registry)

    def record(self, run: Run, events: Sequence[Event]) -> None:
        """Count the events of one commit."""
        for event in events:
            handler = self._handlers.get(type(event.data))
            if handler is not None:
                handler(run, event)

    def count_agents(self, count: int) -> None:
        """Say how many agents are served."""
        self._series.agents().set(count)

    def watch_queue(self, depth: Callable[[], float]) -> None:
        """Ask `depth` for the entries that wait for the journal's writer, at each scrape."""
        self._series.queue_depth().set_function(depth)

    def watch_runs(self, executing: Callable[[], float]) -> None:
        """Ask `executing` for the runs that execute now, at each scrape."""
        self._series.runs_active().set_function(executing)

    def watch_pool(self, server: str, stats: Callable[[], PoolStats]) -> None:
        """Ask a pool of connections for its figures, at each scrape."""
        self._series.pool_in_use(server).set_function(lambda: stats().in_use)
        self._series.pool_reuse_ratio(server).set_function(lambda: stats().reuse_ratio)
        self._series.pool_away(server).set_function(lambda: stats().is_away)

    def committed(self, duration_s: float) -> None:
        """Note how long one commit of the journal took."""
        self._series.commit_seconds().observe(duration_s)

    def render(self) -> tuple[bytes, str]:
        """All series in the Prometheus text format, and its media type."""
        return generate_latest(_WithoutCreated(self._registry)), CONTENT_TYPE_PLAIN_0_0_4

    def _on_waiting(self, run: Run, _event: Event) -> None:
        self._open.pop(run.id, None)

    def _on_ended(self, run: Run, event: Event) -> None:
        self._open.pop(run.id, None)
        agent = self._agents.bound(run.agent)
        self._series.runs(agent, run.status).inc()
        self._series.run_seconds(agent).observe(_seconds(run.started_at or run.created_at, event.ts))
        if isinstance(event.data, RunFailed):
            self._series.errors("run", self._codes.bound(event.data.error.code)).inc()

    def _on_step_started(self, run: Run, event: Event) -> None:
        data = event.data
        assert isinstance(data, StepStarted)
        self._open.setdefault(run.id, {})[event.seq] = _OpenStep(data.kind, data.name, event.ts)
        self.guard.begun(data.kind, data.name)
        # No event tells that another process took a run over: the oldest ones go.
        while len(self._open) > OPEN_AT_MOST:
            del self._open[next(iter(self._open))]

    def _on_step_restarted(self, run: Run, event: Event) -> None:
        data = event.data
        assert isinstance(data, StepRestarted)
        self._series.restarts(data.cause).inc()
        step = self._open.get(run.id, {}).get(event.step or 0)
        if step is not None:
            step.started_at = event.ts
            step.attempt = data.attempt
            self.guard.begun(step.kind, step.name, data.cause)

    def _on_step_completed(self, run: Run, event: Event) -> None:
        data = event.data
        assert isinstance(data, StepCompleted)
        step = self._ended(run, event, "completed")
        if step.kind == "model":
            self._count_model_call(run, step, data)
        self._time(step, event, provider=data.provider or None, error="")

    def _on_step_charged(self, run: Run, event: Event) -> None:
        data = event.data
        assert isinstance(data, StepCharged)
        self._spend(run, self._model(data.ref, None)[1], data.cost)

    def _on_step_failed(self, run: Run, event: Event) -> None:
        data = event.data
        assert isinstance(data, StepFailed)
        step = self._ended(run, event, "unknown" if data.is_unknown else "failed")
        code = self._codes.bound(data.error.code)
        self._series.errors("step", code).inc()
        self._time(step, event, provider=None, error=code)

    def _ended(self, run: Run, event: Event, status: StepStatus) -> _OpenStep:
        """The step that ended. One that another process began has no start, and its kind shows only in its answer."""
        step = self._open.get(run.id, {}).pop(event.step or 0, None)
        if step is None:
            is_model = isinstance(event.data, StepCompleted) and bool(event.data.model)
            step = _OpenStep("model" if is_model else "tool", "", None)
        self._series.steps(step.kind, status).inc()
        self.guard.ended(step.kind, step.name, status, attempt=step.attempt)
        return step

    def _time(self, step: _OpenStep, event: Event, *, provider: str | None, error: str) -> None:
        if step.started_at is None:
            return
        duration_s = _seconds(step.started_at, event.ts)
        if step.kind == "model":
            provider, model = self._model(step.name, provider)
            self._series.operation_seconds("chat", provider, model, error).observe(duration_s)
        elif step.kind == "tool":
            self._series.tool_seconds(self._tools.bound(step.name), error).observe(duration_s)

    def _count_model_call(self, run: Run, step: _OpenStep, data: StepCompleted) -> None:
        provider, model = self._model(step.name or data.model, data.provider or None)
        usage = data.usage
        self._series.tokens("input", provider, model).observe(usage.input_tokens)
        self._series.tokens("output", provider, model).observe(usage.output_tokens)
        self._spend(run, model, data.cost)

    def _spend(self, run: Run, model: str, cost: Cost) -> None:
        if cost.nano_usd:
            self._series.cost(self._agents.bound(run.agent), model).inc(cost.nano_usd / NANO)

    def _model(self, ref: str, provider: str | None) -> tuple[str, str]:
        head, _, name = ref.partition(":")
        bounded = self._models.bound(name or ref)
        return (OTHER if bounded == OTHER else provider or head), bounded


class Series:
    """Every series by name; a call with label values gives the child."""

    def __init__(self, registry: CollectorRegistry) -> None:
        model = ("gen_ai_provider_name", "gen_ai_request_model")
        self.runs = counter(registry, "runwright_runs", "Runs that ended.", "agent", "status")
        self.run_seconds = histogram(
            registry, "runwright_run_duration_seconds", "From start to end of a run.", "agent", buckets=RUN_BUCKETS
        )
        self.runs_active = gauge(registry, "runwright_runs_active", "Runs that execute now.")
        self.steps = counter(registry, "runwright_steps", "Steps that ended.", "kind", "status")
        self.restarts = counter(registry, "runwright_step_restarts", "Steps that began again.", "cause")
        self.errors = counter(registry, "runwright_errors", "Errors that ended a run or a step.", "where", "code")
        self.firings = counter(registry, "runwright_firings", "Times of schedules, by what became of them.", "became")
        self.cost = counter(
            registry,
            "runwright_cost_usd",
            "Cost of priced calls in USD.",
            "agent",
            "model",
        )
        self.agents = gauge(registry, "runwright_agents", "Agents that are served.")
        self.build_info = gauge(registry, "runwright_build_info", "Always 1.", "version", "python")
        self.pool_in_use = gauge(registry, "pool_in_use", "Connections that are in use.", "server")
        self.pool_reuse_ratio = gauge(registry, "pool_reuse_ratio", "Commands without a new connection.", "server")
        self.pool_away = gauge(registry, "pool_away", "1 while the server does not answer.", "server")
        self.queue_depth = gauge(
            registry, "runwright_journal_queue_depth", "Entries that wait for the journal's writer."
        )
        self.commit_seconds = histogram(
            registry, "runwright_journal_commit_seconds", "Duration of a commit of the journal.", buckets=COMMIT_BUCKETS
        )
        self.operation_seconds = histogram(
            registry,
            "gen_ai_client_operation_duration_seconds",
            "Duration of a model call.",
            *("gen_ai_operation_name", *model, "error_type"),
            buckets=OPERATION_BUCKETS,
        )
        self.tokens = histogram(
            registry,
            "gen_ai_client_token_usage",
            "Tokens of a model call.",
            *("gen_ai_token_type", *model),
            buckets=TOKEN_BUCKETS,
        )
        self.tool_seconds = histogram(
            registry,
            "gen_ai_execute_tool_duration_seconds",
            "Duration of a tool call.",
            *("gen_ai_tool_name", "error_type"),
            buckets=OPERATION_BUCKETS,
        )


def described() -> list[MetricField]:
    """Every series that `Metrics` counts, by name."""
    families: list[Family[Counter] | Family[Gauge] | Family[Histogram]]
    registry = CollectorRegistry()
    families = [*vars(Series(registry)).values(), *vars(GuardSeries(registry)).values()]
    return sorted((family.field for family in families), key=lambda field: field.name)


class _OpenStep(msgspec.Struct):
    kind: str
    name: str
    started_at: datetime | None
    attempt: int = 1


class _WithoutCreated:
    """A registry without the `_created` gauges, which would double the number of series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


def _seconds(start: datetime, end: datetime) -> float:
    # The system clock may have been set back in between.
    return max(0.0, (end - start).total_seconds())

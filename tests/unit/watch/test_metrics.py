"""Metrics: what events become."""

import gc
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import FunctionType, ModuleType

import pytest
from msgspec.structs import replace

from runwright.core.event import (
    NULL,
    Data,
    Event,
    GuardDecided,
    RunCompleted,
    RunFailed,
    RunStarted,
    RunWaiting,
    StepCompleted,
    StepFailed,
    StepRestarted,
    StepStarted,
)
from runwright.core.money import Cost
from runwright.core.run import ErrorInfo, Run, RunStatus
from runwright.core.usage import Usage
from runwright.watch.guard import BudgetState, GuardState
from runwright.watch.metrics import OPEN_AT_MOST, Metrics, described
from runwright.watch.series import NAMES_AT_MOST

START = datetime(2026, 1, 1, tzinfo=UTC)
ERROR = ErrorInfo(code="tool_failed", message="no")


def a_run(status: RunStatus = "running", *, agent: str = "support", run_id: str = "run_1") -> Run:
    """A run that began at START."""
    return Run(id=run_id, agent=agent, version="1", fingerprint="f", status=status, created_at=START, started_at=START)


def told(*data: tuple[float, Data, int | None]) -> Sequence[Event]:
    """Events at seconds after START; the first has number 1."""
    return [
        Event("run_1", index, START + timedelta(seconds=at), body, step)
        for index, (at, body, step) in enumerate(data, start=1)
    ]


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The value of a series, None when it is not there."""
    text, _ = metrics.render()
    for line in text.decode().splitlines():
        match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if match is not None and match[1] == name and _labels(match[2]) == labels:
            return float(match[3])
    return None


def _labels(text: str | None) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="([^"]*)"', text or ""))


MODEL_CALL = StepStarted(kind="model", name="openai:gpt-5-mini", key="k")
TOOL_CALL = StepStarted(kind="tool", name="weather", key="k")


def test_a_run_is_counted_when_it_ends() -> None:
    """A terminal event counts the run by agent and status and notes how long it took."""
    metrics = Metrics(version="1.2.3")
    metrics.record(a_run("completed"), told((0, RunStarted(loop=1), None), (2.5, RunCompleted(output=NULL), None)))
    assert sample(metrics, "runwright_runs_total", agent="support", status="completed") == 1
    assert sample(metrics, "runwright_run_duration_seconds_sum", agent="support") == 2.5
    assert sample(metrics, "runwright_build_info", version="1.2.3", python=_python()) == 1


def test_what_is_kept_of_runs_has_a_bound() -> None:
    """Nothing is kept of a run that waits, and of runs that go on elsewhere only so much."""
    metrics = Metrics(version="1")
    waits = told((0, TOOL_CALL, None), (1, RunWaiting(reason="input"), None))
    metrics.record(a_run(), waits)
    empty = _size(metrics)
    for number in range(100):
        metrics.record(a_run(run_id=f"run_{number}"), waits)
    assert _size(metrics) < empty + 50
    for number in range(OPEN_AT_MOST + 100):
        metrics.record(a_run(run_id=f"run_{number}"), told((0, TOOL_CALL, None)))
    bounded = _size(metrics)
    for number in range(100):
        metrics.record(a_run(run_id=f"more_{number}"), told((0, TOOL_CALL, None)))
    assert _size(metrics) < bounded + 50


def test_a_model_call_is_timed_and_its_tokens_counted() -> None:
    """A model step gives duration, tokens and cost under the standard names, across commits."""
    metrics = Metrics(version="1")
    usage = Usage(input_tokens=100, output_tokens=20)
    done = StepCompleted(
        model="gpt-5-mini", provider="openai", usage=usage, cost=Cost(nano_usd=500_000_000, source="list")
    )
    started, ended = told((0, MODEL_CALL, None), (1.5, done, 1))
    metrics.record(a_run(), [started])
    metrics.record(a_run(), [ended])
    model = {"gen_ai_provider_name": "openai", "gen_ai_request_model": "gpt-5-mini"}
    duration = "gen_ai_client_operation_duration_seconds_sum"
    assert sample(metrics, duration, gen_ai_operation_name="chat", error_type="", **model) == 1.5
    assert sample(metrics, "gen_ai_client_token_usage_sum", gen_ai_token_type="input", **model) == 100
    assert sample(metrics, "gen_ai_client_token_usage_sum", gen_ai_token_type="output", **model) == 20
    assert sample(metrics, "runwright_cost_usd_total", agent="support", model="gpt-5-mini") == 0.5
    assert sample(metrics, "runwright_steps_total", kind="model", status="completed") == 1


def test_a_failed_tool_is_counted_with_its_error() -> None:
    """A tool step that fails is timed and counted under the code of its error."""
    metrics = Metrics(version="1")
    metrics.record(a_run(), told((0, TOOL_CALL, None), (3, StepFailed(error=ERROR), 1)))
    duration = "gen_ai_execute_tool_duration_seconds_sum"
    assert sample(metrics, duration, gen_ai_tool_name="weather", error_type="tool_failed") == 3
    assert sample(metrics, "runwright_errors_total", where="step", code="tool_failed") == 1
    assert sample(metrics, "runwright_steps_total", kind="tool", status="failed") == 1


def test_an_unknown_outcome_is_a_status_of_its_own() -> None:
    """A step whose effect may have happened counts as unknown."""
    metrics = Metrics(version="1")
    metrics.record(a_run(), told((0, TOOL_CALL, None), (1, StepFailed(error=ERROR, is_unknown=True), 1)))
    assert sample(metrics, "runwright_steps_total", kind="tool", status="unknown") == 1


def test_a_step_that_begins_again_is_timed_from_there() -> None:
    """A restart is counted by its cause, and the time before it is left out."""
    metrics = Metrics(version="1")
    again = StepRestarted(attempt=2, cause="retry")
    metrics.record(a_run(), told((0, TOOL_CALL, None), (10, again, 1), (11, StepCompleted(), 1)))
    assert sample(metrics, "runwright_step_restarts_total", cause="retry") == 1
    duration = "gen_ai_execute_tool_duration_seconds_sum"
    assert sample(metrics, duration, gen_ai_tool_name="weather", error_type="") == 1


def test_a_step_of_another_process_is_counted_but_not_timed() -> None:
    """The end of a step whose start this process has not seen counts, without a duration."""
    metrics = Metrics(version="1")
    metrics.record(a_run(), told((0, StepCompleted(model="m", provider="p"), 7)))
    assert sample(metrics, "runwright_steps_total", kind="model", status="completed") == 1
    assert b"gen_ai_client_operation_duration_seconds_sum{" not in metrics.render()[0]


def test_a_failed_run_is_counted_with_its_error() -> None:
    """A run that fails counts under the code of its error."""
    metrics = Metrics(version="1")
    metrics.record(a_run("failed"), told((1, RunFailed(error=ERROR), None)))
    assert sample(metrics, "runwright_errors_total", where="run", code="tool_failed") == 1


def test_label_values_are_bounded() -> None:
    """Beyond a limit, new agents share the label `other`; known ones keep theirs."""
    metrics = Metrics(version="1")
    ended = told((1, RunCompleted(output=NULL), None))
    for number in range(NAMES_AT_MOST + 5):
        metrics.record(a_run("completed", agent=f"agent-{number}"), ended)
    metrics.record(a_run("completed", agent="agent-0"), ended)
    assert sample(metrics, "runwright_runs_total", agent="other", status="completed") == 5
    assert sample(metrics, "runwright_runs_total", agent="agent-0", status="completed") == 2


def test_a_clock_that_goes_back_gives_no_negative_duration() -> None:
    """Durations are at least zero."""
    metrics = Metrics(version="1")
    run = replace(a_run("completed"), started_at=START + timedelta(seconds=5))
    metrics.record(run, told((0, RunCompleted(output=NULL), None)))
    assert sample(metrics, "runwright_run_duration_seconds_sum", agent="support") == 0


def test_the_server_tells_what_events_do_not() -> None:
    """Agents, runs that execute, the writer's queue and commits are told by their owners."""
    metrics = Metrics(version="1")
    metrics.count_agents(3)
    metrics.watch_queue(lambda: 7)
    metrics.watch_runs(lambda: 5)
    metrics.committed(0.25)
    assert sample(metrics, "runwright_agents") == 3
    assert sample(metrics, "runwright_journal_queue_depth") == 7
    assert sample(metrics, "runwright_runs_active") == 5
    assert sample(metrics, "runwright_journal_commit_seconds_sum") == 0.25


def test_instances_do_not_share_series() -> None:
    """Two Metrics count for themselves: nothing is registered globally."""
    first, second = Metrics(version="1"), Metrics(version="1")
    first.count_agents(1)
    assert sample(second, "runwright_agents") == 0


def test_the_text_is_for_prometheus() -> None:
    """The media type names the text format, and series of creation times are left out."""
    text, media_type = Metrics(version="1").render()
    assert media_type.startswith("text/plain; version=0.0.4")
    assert b"_created" not in text


def test_every_series_is_described() -> None:
    """Each described series appears in the output under its name, with help."""
    text = Metrics(version="1").render()[0].decode()
    for field in described():
        assert field.description
        assert f"# HELP {field.name} " in text


def _size(metrics: Metrics) -> int:
    """How many objects metrics keep."""
    kept: dict[int, object] = {}
    found: list[object] = [metrics]
    while found:
        kept.update((id(each), each) for each in found)
        below = {id(each): each for each in gc.get_referents(*found) if not isinstance(each, _SHARED)}
        found = [each for number, each in below.items() if number not in kept]
    return len(kept)


_SHARED = (type, ModuleType, FunctionType)
"""What objects have in common with all others."""


def _python() -> str:
    return platform.python_version()


def test_resends_are_counted_by_target() -> None:
    """Attempts are counted by their cause, calls by how they ended and whether they were sent again."""
    metrics = Metrics(version="1")
    wait = GuardDecided(layer="retry", action="resend", target="weather", attempt=2, wait_s=1.5)
    again = StepRestarted(attempt=2, cause="retry")
    done = StepCompleted(result=NULL)
    metrics.record(
        a_run(),
        told((0, TOOL_CALL, None), (1, wait, 1), (2, again, 1), (3, done, 1), (4, TOOL_CALL, None), (5, done, 5)),
    )
    labels = {"op": "tool", "target": "weather"}
    assert sample(metrics, "guard_attempts_total", cause="first", **labels) == 2
    assert sample(metrics, "guard_attempts_total", cause="retry", **labels) == 1
    for retried in ("yes", "no"):
        assert sample(metrics, "guard_calls_total", outcome="completed", retried=retried, **labels) == 1
    assert sample(metrics, "guard_decisions_total", layer="retry", action="resend", target="weather") == 1
    assert sample(metrics, "guard_wait_seconds_sum", layer="retry") == 1.5


def test_the_state_of_targets_is_shown_as_it_is_now() -> None:
    """Gauges of targets have their last figures, and those of targets that are forgotten go."""
    metrics = Metrics(version="1")
    metrics.guard.show([GuardState(layer="breaker", target="a", place="app", value=2.0)])
    assert sample(metrics, "breaker_state", target="a", place="app") == 2
    metrics.guard.show([GuardState(layer="retry", target="a", place="app", value=486)])
    assert sample(metrics, "retry_bucket_tokens", target="a", place="app") == 486
    assert sample(metrics, "breaker_state", target="a", place="app") is None
    metrics.guard.show([GuardState(layer="bulkhead", target="a", place="app", value=3)])
    assert sample(metrics, "bulkhead_calls", target="a", place="app") == 3


@pytest.mark.parametrize(
    ("layer", "name", "level"),
    [
        ("breaker", "breaker_state", 2),
        ("retry", "retry_bucket_tokens", 1),
        ("rate", "rate_waiting", 3),
        ("bulkhead", "bulkhead_calls", 3),
    ],
)
def test_policies_of_one_place_are_told_together(layer: str, name: str, level: float) -> None:
    """Of a target under several policies of a place, as after a change, the worst is told, and who waits adds up."""
    metrics = Metrics(version="1")
    states = [GuardState(layer=layer, target="a", place="app", value=value) for value in (1, 2)]
    for shown in (states, states[::-1]):
        metrics.guard.show(shown)
        assert sample(metrics, name, target="a", place="app") == level


def test_budgets_are_shown_as_they_are_now() -> None:
    """Of a window of time there is what is spent and left; what is reserved of accounts of the same kind is a sum."""
    metrics = Metrics(version="1")
    day = {"scope": "app", "per": "day", "unit": "usd"}
    users = {"scope": "agent:a", "per": "user", "unit": "calls"}
    spent = BudgetState(scope="app", per="day", unit="usd", reserved=0.5, spent=1.25, left=3.25)
    states = [BudgetState(scope="agent:a", per="user", unit="calls", reserved=each) for each in (2, 3)]
    metrics.guard.show_budgets([spent, *states])
    assert [sample(metrics, f"budget_{name}", **day) for name in ("reserved", "spent", "left")] == [0.5, 1.25, 3.25]
    assert [sample(metrics, f"budget_{name}", **users) for name in ("reserved", "spent", "left")] == [5, None, None]
    metrics.guard.show_budgets([])
    assert sample(metrics, "budget_reserved", **day) is None

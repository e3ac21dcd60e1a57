"""How a simulation is shown: while it is at work, and its figures side by side."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from runwright.cli.output import Output
from runwright.service.simulation_views import SimulationFigures, SimulationReport, Spread

EVERY = 256
"""Calls after which the bar moves."""

_MOST_NAMED = 6


@contextmanager
def progress() -> Generator[Callable[[int, int], None]]:
    """What is told how far it is: a bar on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("simulating", total=None)

        def told(done: int, of: int) -> None:
            if done % EVERY == 0:
                bar.update(task, completed=done, total=of)

        yield told


def show(report: SimulationReport, out: Output) -> None:
    """The record, today's policies and the others, a column each."""
    columns = [report.recorded, *report.data]
    out.table(("figure", *(each.name for each in columns)), [(name, *map(cell, columns)) for name, cell in ROWS])
    out.note(
        f"{report.calls} calls of {report.runs} runs since {report.since:%Y-%m-%dT%H:%MZ}, "
        f"each simulated with {report.seeds} seeds from {report.seed} on"
    )
    if report.left_out:
        out.note(f"{report.left_out} calls are left out: they were cancelled, or began again in another process.")
    if any(each.cut_short for each in report.data):
        out.note("Runs cut short got over the failure that ended them; what they would do next is not known.")
    if report.assumed:
        out.note(f"Nothing is recorded of {', '.join(report.assumed)}: taken to answer always, as fast as the first.")


def _share(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    if spread.lowest == spread.highest:
        return f"{spread.mean:.2%}"
    return f"{spread.mean:.2%} ({spread.lowest:.2%} to {spread.highest:.2%})"


def _per_call(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.mean:.3f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def _usd(each: SimulationFigures) -> str:
    return f"{each.usd} and {each.unpriced:g} unpriced" if each.unpriced else each.usd


def _named(each: SimulationFigures) -> str:
    counts: Sequence[tuple[str, float]] = list(each.errors.items())[:_MOST_NAMED]
    return ", ".join(f"{name} {count:g}" for name, count in counts)


ROWS: tuple[tuple[str, Callable[[SimulationFigures], str]], ...] = (
    ("calls", lambda each: f"{each.calls:g}"),
    ("calls that succeed", lambda each: _share(each.success)),
    ("runs that succeed", lambda each: _share(each.run_success)),
    ("runs cut short", lambda each: f"{each.cut_short:g}"),
    ("usd", _usd),
    ("call p50", lambda each: _duration(each.latency.p50_s)),
    ("call p95", lambda each: _duration(each.latency.p95_s)),
    ("call p99", lambda each: _duration(each.latency.p99_s)),
    ("run p50", lambda each: _duration(each.run_latency.p50_s)),
    ("run p95", lambda each: _duration(each.run_latency.p95_s)),
    ("run p99", lambda each: _duration(each.run_latency.p99_s)),
    ("upstream per call", lambda each: _per_call(each.upstream_per_call)),
    ("upstream peak per s", lambda each: f"{each.peak_per_s:g}"),
    ("failed with", _named),
    ("attempts drawn", lambda each: f"{each.drawn:.1%}"),
)

"""Recorded runs as tests: a file, and whether today's agent still does the same."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from runwright.agents.agent import Agent
from runwright.app import App, AppOptions
from runwright.core.event import RunQueued, RunStarted
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.errors import RunwrightError
from runwright.journal.export import Bundle, read_bundle
from runwright.service.replays import Verdict, judge
from runwright.settings import Settings

AGENTS = "agents"
LINES = 60
"""Lines of a difference that a failure shows."""

Sources = Sequence[str | os.PathLike[str]]
T = TypeVar("T")


class Updating:
    """Whether files are recorded again instead of replayed; the pytest option `--runwright-update` sets it."""

    is_on = False


def assert_replays(
    file: str | os.PathLike[str], *, agents: Sequence[Agent] = (), source: str | os.PathLike[str] | None = None
) -> None:
    """Check that today's agent, given the answers that a run recorded, still does what it did.

    `file` was written by `runwright runs export`. The agent is looked for among `agents`, and in `source`: a folder,
    file or module with definitions, `agents` where there is such a folder. Needs no key, no network and no time.
    Raises AssertionError that shows where it differs first.
    """
    __tracebackhide__ = True
    path = Path(file)
    sources = [source] if source is not None else [AGENTS] if not agents and Path(AGENTS).exists() else []
    if Updating.is_on:
        _apart(lambda: _record_again(path, agents, sources))
        return
    try:
        verdict = _apart(lambda: _replay(path, agents, sources))
    except (OSError, RunwrightError) as error:
        raise AssertionError(f"{path} cannot be replayed: {error}") from None
    if verdict.verdict != "same":
        raise AssertionError(_told(path, verdict))


def _apart(work: Callable[[], T]) -> T:
    """In a thread of its own, because the caller may run on an event loop already."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(work).result()


def _replay(path: Path, agents: Sequence[Agent], sources: Sources) -> Verdict:
    options = AppOptions(is_in_memory=True, is_offline=True)
    app = App(Settings(metrics=False), sources=sources, agents=agents, options=options)
    return asyncio.run(_verdict(app, path.read_bytes()))


async def _verdict(app: App, raw: bytes) -> Verdict:
    async with app:
        recorded = await app.exports.import_file(raw)
        handle = await app.runs.create(RunRequest(agent="", input=b"", replay=Replay(of=recorded.id)))
        view = await handle.wait()
        events = [event async for group in app.runs.events(view.id) for event in group]
        return judge(view, await app.diffs.between(recorded.id, view.id), events)


def _record_again(path: Path, agents: Sequence[Agent], sources: Sources) -> None:
    """Run the agent on the recorded input, live, and put what it did in the place of the file."""
    request = _request(path, read_bundle(path.read_bytes()))
    app = App(Settings.load({}), sources=sources, agents=agents, options=AppOptions(is_in_memory=True))
    path.write_bytes(asyncio.run(_recorded(app, request)))


async def _recorded(app: App, request: RunRequest) -> bytes:
    async with app:
        view = await (await app.runs.create(request)).wait()
        if view.status != "completed":
            raise AssertionError(f"Nothing was recorded again, because the run is {view.status}: {view.error}")
        return await app.exports.export(view.id)


def _request(path: Path, bundle: Bundle) -> RunRequest:
    told = [each.data for each in bundle.runs[0].events]
    queued = next(data for data in told if isinstance(data, RunQueued))
    if any(isinstance(data, RunStarted) and data.thread_head is not None for data in told):
        raise AssertionError(f"{path} goes on from an earlier run; record it again by hand, in its thread.")
    config: dict[str, object] = msgspec.json.decode(queued.config, type=dict[str, object] | None) or {}
    return RunRequest(agent=queued.agent, input=bytes(queued.input), config=config)


def _told(path: Path, verdict: Verdict) -> str:
    lines = verdict.difference.splitlines()
    if len(lines) > LINES:
        lines = [*lines[:LINES], f"... {len(lines) - LINES} lines more"]
    return "\n".join(
        [
            f"{path} does not replay: {verdict.verdict}.",
            verdict.detail,
            *lines,
            f"Look closer: runwright runs import {path} && runwright runs replay {verdict.replay_of}",
            "If it should be so, record it again: pytest --runwright-update",
        ]
    )

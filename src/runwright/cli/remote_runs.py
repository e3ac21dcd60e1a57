"""Runs of a running server as commands see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import datetime
from urllib.parse import quote

import msgspec

from runwright.cli.http import Http, told_error
from runwright.core.event import Data, Event
from runwright.core.ports import RunFilter
from runwright.core.replay import Replay
from runwright.core.run import RunRequest
from runwright.errors import Unavailable
from runwright.service.search_views import FoundRuns
from runwright.service.views import Page, Resolution, RunView, StepView

ATTACH_ATTEMPTS = 10
ATTACH_PAUSE_S = 0.5


class _Frame(msgspec.Struct):
    """What every event on the wire says besides its body."""

    seq: int
    run_id: str
    ts: datetime
    step_id: int | None = None


_frame = msgspec.json.Decoder(_Frame)
_data: msgspec.json.Decoder[Data] = msgspec.json.Decoder(Data)


class RemoteHandle:
    """A run on the server that was just created."""

    def __init__(self, runs: RemoteRuns, run_id: str) -> None:
        self._runs = runs
        self.run_id = run_id

    async def wait(self) -> RunView:
        """The run when it is over or waits for somebody."""
        view = await self._runs.get(self.run_id)
        if view.ended_at is None and view.status != "waiting":
            async for group in self._runs.events(self.run_id, after=view.last_seq):
                if any(event.is_terminal or event.type == "run.waiting" for event in group):
                    break
            view = await self._runs.get(self.run_id)
        return view

    def events(self, after: int = 0) -> AsyncIterator[Sequence[Event]]:
        """Its events, live."""
        return self._runs.events(self.run_id, after=after)


class RemoteRuns:
    """Runs on the server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def create(self, request: RunRequest) -> RemoteHandle:
        """Create a run in the background; who wants to watch attaches, and attaches again when the line breaks."""
        if request.replay is not None:
            return await self._replay(request, request.replay)
        body = {
            "input": msgspec.Raw(request.input),
            "mode": "background",
            "version": request.version,
            "thread_id": request.thread_id,
            "user": request.user,
            "group": request.group,
            "tags": request.tags,
            "metadata": request.metadata,
            "config": request.config,
        }
        view = await self._http.ask(RunView, "POST", f"{agent_path(request.agent)}/runs", body=body)
        return RemoteHandle(self, view.id)

    async def _replay(self, request: RunRequest, replay: Replay) -> RemoteHandle:
        body = {
            "live": replay.live,
            "at": replay.at,
            "results": replay.results,
            "config": request.config,
            "input": msgspec.Raw(request.input or b"null"),
            "agent": request.agent or None,
            "version": request.version,
            "mode": "background",
            "group": request.group,
            "tags": request.tags,
            "metadata": request.metadata,
        }
        view = await self._http.ask(RunView, "POST", f"{run_path(replay.of)}/replay", body=body)
        return RemoteHandle(self, view.id)

    async def get(self, run_id: str) -> RunView:
        """One run."""
        return await self._http.ask(RunView, "GET", run_path(run_id))

    async def find(self, where: RunFilter) -> Page[RunView]:
        """A page of runs, newest first."""
        return await self._http.ask(Page[RunView], "GET", "/runs", query=_query(where))

    async def steps(self, run_id: str, *, after: int = 0, limit: int = 100) -> Page[StepView]:
        """A page of a run's steps."""
        query = {"after": after, "limit": limit}
        return await self._http.ask(Page[StepView], "GET", f"{run_path(run_id)}/steps", query=query)

    async def events(self, run_id: str, *, after: int = 0) -> AsyncGenerator[Sequence[Event]]:
        """Events with numbers above `after`; attaches again where it was when the connection breaks."""
        attempts = 0
        while True:
            try:
                async for event in self._attached(run_id, after):
                    after, attempts = event.seq, 0
                    yield (event,)
                if await self._is_told(run_id, after):
                    return
            except Unavailable:
                if attempts >= ATTACH_ATTEMPTS:
                    raise
            attempts += 1
            await asyncio.sleep(ATTACH_PAUSE_S)

    async def cancel(self, run_id: str, *, reason: str = "") -> RunView:
        """Cancel a run."""
        return await self._http.ask(RunView, "POST", f"{run_path(run_id)}/cancel", body={"reason": reason})

    async def resolve(self, run_id: str, resolution: Resolution) -> RunView:
        """Say what became of a step."""
        return await self._http.ask(RunView, "POST", f"{run_path(run_id)}/resolve", body=resolution)

    async def pause(self, run_id: str, *, reason: str = "") -> RunView:
        """Have a run wait before its next step."""
        return await self._http.ask(RunView, "POST", f"{run_path(run_id)}/pause", body={"reason": reason})

    async def resume(self, run_id: str) -> RunView:
        """Let a run go on."""
        return await self._http.ask(RunView, "POST", f"{run_path(run_id)}/resume")

    async def _attached(self, run_id: str, after: int) -> AsyncGenerator[Event]:
        async for raw in self._http.frames(f"{run_path(run_id)}/events", after=after):
            yield _event(raw)

    async def _is_told(self, run_id: str, after: int) -> bool:
        """Whether nothing comes after an event: the run is over and that was its last one."""
        view = await self.get(run_id)
        return view.ended_at is not None and after >= view.last_seq


class RemoteSearches:
    """Texts of runs on the server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def find(self, text: str, where: RunFilter) -> FoundRuns:
        """A page of the runs that hold a text, newest first."""
        return await self._http.ask(FoundRuns, "GET", "/runs", query={**_query(where), "text": text})


def _query(where: RunFilter) -> dict[str, str | int | None]:
    return {name: value or None for name, value in msgspec.structs.asdict(where).items()}


def _event(raw: bytes) -> Event:
    try:
        frame = _frame.decode(raw)
        return Event(frame.run_id, frame.seq, frame.ts, _data.decode(raw), frame.step_id)
    except msgspec.ValidationError:
        raise told_error(raw) from None


def run_path(run_id: str) -> str:
    """Where a run stands."""
    return f"/runs/{quote(run_id, safe='')}"


def agent_path(name: str) -> str:
    """Where an agent stands."""
    return f"/agents/{quote(name, safe='')}"

"""Schedules on a running server."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from runwright.cli.http import Http
from runwright.service.schedules import FiringView, ScheduleView, TriggerView
from runwright.service.views import Page


class RemoteSchedules:
    """Schedules on the server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def find(self, *, agent: str | None = None, after: str | None = None, limit: int = 50) -> Page[ScheduleView]:
        """A page of schedules by name."""
        asked = {"agent": agent, "after": after, "limit": limit}
        return await self._http.ask(Page[ScheduleView], "GET", "/schedules", query=asked)

    async def get(self, name: str) -> ScheduleView:
        """One schedule."""
        return await self._http.ask(ScheduleView, "GET", _path(name))

    async def create(self, data: Mapping[str, object]) -> ScheduleView:
        """Make a schedule."""
        return await self._http.ask(ScheduleView, "POST", "/schedules", body=data)

    async def patch(self, name: str, data: Mapping[str, object]) -> ScheduleView:
        """Change parts of a schedule."""
        return await self._http.ask(ScheduleView, "PATCH", _path(name), body=data)

    async def delete(self, name: str) -> None:
        """Forget a schedule."""
        await self._http.bytes("DELETE", _path(name))

    async def pause(self, name: str) -> ScheduleView:
        """Let nothing begin."""
        return await self._http.ask(ScheduleView, "POST", f"{_path(name)}/pause")

    async def resume(self, name: str) -> ScheduleView:
        """Go on."""
        return await self._http.ask(ScheduleView, "POST", f"{_path(name)}/resume")

    async def trigger(self, name: str) -> TriggerView:
        """Start a run now."""
        return await self._http.ask(TriggerView, "POST", f"{_path(name)}/trigger")

    async def firings(self, name: str, *, before: int | None = None, limit: int = 50) -> Page[FiringView]:
        """What became of its times, newest first."""
        asked = {"after": before, "limit": limit}
        return await self._http.ask(Page[FiringView], "GET", f"{_path(name)}/firings", query=asked)


def _path(name: str) -> str:
    return f"/schedules/{quote(name, safe='')}"

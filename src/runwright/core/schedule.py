"""A schedule: at which times an agent runs by itself, and what became of each of them; the ports that keep both."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Protocol

import msgspec

from runwright.core.labels import Label, Tags, ThreadId

CatchUp = Literal["skip", "last", "all"]
Overlap = Literal["skip", "queue", "cancel", "allow"]
Became = Literal["started", "queued", "skipped", "missed", "failed"]
ScheduleSource = Literal["api", "file", "code"]

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
KEPT = 1000
"""Firings of a schedule that are kept: the newest ones."""

QUEUED_AT_MOST = 100
"""Firings of a schedule that wait for the run before them; more are skipped."""

LONGEST_S = 10 * 366 * 86_400

Name = Annotated[str, msgspec.Meta(pattern=NAME)]


class Schedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """When an agent runs by itself: `cron` times, every `every_s` seconds, or once, `at` a time.

    Times without an offset are of the `timezone`. `jitter_s` puts each firing off by up to so many seconds.
    """

    name: Name = ""
    agent: Label = ""
    version: Label | None = None
    input: object = None
    config: dict[str, object] = {}
    thread_id: ThreadId | None = None
    group: Label | None = None
    user: Label | None = None
    tags: Tags = ()
    metadata: dict[str, str] = {}
    cron: str | None = None
    every_s: Annotated[float, msgspec.Meta(ge=1, le=LONGEST_S)] | None = None
    at: datetime | None = None
    timezone: str = "UTC"
    start_at: datetime | None = None
    end_at: datetime | None = None
    max_firings: Annotated[int, msgspec.Meta(ge=1)] | None = None
    jitter_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 0.0
    catch_up: CatchUp = "last"
    catch_up_limit: Annotated[int, msgspec.Meta(ge=1, le=QUEUED_AT_MOST)] = 10
    overlap: Overlap = "skip"


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule and where it stands. `revision` counts its changes; whoever changes it names the one before.

    The next firing is that of the time `next_at` and comes at `due_at`. `fired` times came and were not missed,
    whatever became of them; `queued` wait, and `last_number` is that of the newest. `since` is when its times were
    last set. With a `fault`, which says why its definition cannot be read, the schedule has a name and an agent alone.
    """

    schedule: Schedule
    source: ScheduleSource
    place: str = ""
    created_at: datetime
    since: datetime
    revision: int = 1
    is_paused: bool = False
    next_at: datetime | None = None
    due_at: datetime | None = None
    fired: int = 0
    queued: int = 0
    last_number: int = 0
    fault: str = ""

    @property
    def name(self) -> str:
        """The schedule's name."""
        return self.schedule.name


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a time of a schedule: of all its times from `at` to `until`, where that is given.

    `is_manual` ones were asked for, under a `key` that is used once; their time is that of the asking.
    """

    number: int
    at: datetime
    became: Became
    noted_at: datetime
    until: datetime | None = None
    run_id: str | None = None
    reason: str = ""
    is_manual: bool = False
    key: str | None = None


class Advance(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a schedule from the revision before `row.revision`: the row after it, and firings to write.

    A firing whose number is known replaces that one.
    """

    row: ScheduleRow
    firings: tuple[Firing, ...] = ()


class ScheduleStore(Protocol):
    """Schedules by name."""

    def get(self, name: str) -> ScheduleRow | None:
        """One schedule."""
        ...

    def find(self, *, agent: str | None = None, after: str | None = None, limit: int = 50) -> Sequence[ScheduleRow]:
        """A page of schedules by name."""
        ...

    def add(self, row: ScheduleRow) -> bool:
        """Store a new schedule; False when its name is taken."""
        ...

    def advance(self, advance: Advance) -> bool:
        """Write a step of a schedule that starts no run; False when another one was first."""
        ...

    def delete(self, name: str) -> bool:
        """Forget a schedule and its firings; its runs stay. False when there was none."""
        ...


class FiringStore(Protocol):
    """Times of schedules that came, and those to come."""

    def due(self, now: datetime) -> Sequence[str]:
        """Names of schedules, not paused, whose next firing is due or which have queued ones, the earliest first."""
        ...

    def upcoming(self, after: datetime) -> datetime | None:
        """When the next firing of all is due that is not due by then."""
        ...

    def find(self, name: str, *, before: int | None = None, limit: int = 50) -> Sequence[Firing]:
        """A page of the firings of a schedule, newest first, with numbers below `before`."""
        ...

    def keyed(self, name: str, key: str) -> Firing | None:
        """The firing that was asked for under a key."""
        ...

    def queued(self, name: str) -> Firing | None:
        """The oldest firing that waits."""
        ...

    def at_work(self, name: str, *, until: int) -> Sequence[str]:
        """The runs of a schedule that are not over, of firings up to a number, oldest first."""
        ...

"""Schedules that stand in definitions: beside their agent, or in a file of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

import msgspec

from runwright.agents.base import DeclaredSchedule, Origin
from runwright.agents.schema import config_error
from runwright.core.agent import BuiltAgent
from runwright.core.schedule import Schedule
from runwright.core.schedule_reader import read_schedule
from runwright.errors import ConfigError, InvalidRequest, NotFound

FIELD = "schedules"
"""The field of a definition, and of a file, that holds schedules."""


def read_schedules(given: object, *, origin: Origin, agent: str | None = None) -> tuple[DeclaredSchedule, ...]:
    """The schedules of a definition, whose `agent` they are of, or those of a file.

    One without a name has that of its agent, with a number from the second on. Raises ConfigError whose places are
    JSON pointers into what holds the field.
    """
    if not isinstance(given, list | tuple):
        raise config_error([(f"/{FIELD}", f"this is a list of schedules, not {given!r}")])
    found: list[DeclaredSchedule] = []
    problems: list[tuple[str, str]] = []
    for index, each in enumerate(cast("Sequence[object]", given)):
        at = f"/{FIELD}/{index}"
        data = msgspec.to_builtins(each) if isinstance(each, Schedule) else each
        try:
            found.append(DeclaredSchedule(schedule=_read(data, agent, index), origin=origin, at=at))
        except ConfigError as error:
            problems += [(at + place, detail) for place, detail in error.problems]
    if problems:
        raise config_error(problems)
    return tuple(found)


def _read(data: object, agent: str | None, index: int) -> Schedule:
    if agent is None or not isinstance(data, Mapping):
        return read_schedule(data)
    given = cast("Mapping[str, object]", data)
    if given.get("agent", agent) != agent:
        raise config_error([("/agent", f"the schedule stands with {agent!r}: leave the agent out")])
    name = agent if index == 0 else f"{agent}-{index + 1}"
    return read_schedule({"name": name, **given, "agent": agent})


class Agents(Protocol):
    """The way to agents."""

    def get(self, name: str, version: str | None = None, *, config: Mapping[str, object] | None = None) -> BuiltAgent:
        """An agent. Raises NotFound, and InvalidRequest for a `config` that does not fit."""
        ...


def refuse_unfit(schedule: Schedule, agents: Agents) -> None:
    """Raises InvalidRequest, with pointers, where no agent can do what a schedule says."""
    try:
        agent = agents.get(schedule.agent, schedule.version, config=schedule.config)
    except NotFound as error:
        raise InvalidRequest(error.message, problems=[("/agent", error.message)]) from error
    try:
        agent.flow.read_input(msgspec.json.encode(schedule.input))
    except InvalidRequest as error:
        places = error.problems or (("", error.message),)
        problems = [("/input" + place.removeprefix("/input"), detail) for place, detail in places]
        raise InvalidRequest(f"the input does not fit: {error.message}", problems=problems) from error

"""What a tool or a code flow is handed: ids, secrets, progress, and the way to the world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from runwright.core.agent import Tool
from runwright.core.message import Message
from runwright.core.model import ModelResponse
from runwright.core.ports import Gateway, Secrets


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for everything within one run. `state` holds what the application's lifespan yielded."""

    gateway: Gateway
    secrets: Secrets
    run_id: str
    agent: str
    user: str | None = None
    state: Mapping[str, Any] = {}


class Context:
    """The surroundings of one tool call or code flow.

    `idempotency_key` is the same for every attempt of a step; `step` is the step's number, None in a code flow.
    Inside a code flow, `model`, `tool` and `lane` perform recorded steps.
    """

    __slots__ = ("_around", "idempotency_key", "lane_path", "step")

    def __init__(
        self, around: Surroundings, *, step: int | None = None, idempotency_key: str = "", lane_path: str = ""
    ) -> None:
        self._around = around
        self.step = step
        self.idempotency_key = idempotency_key
        self.lane_path = lane_path

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self._around.run_id

    @property
    def agent(self) -> str:
        """The name of the agent."""
        return self._around.agent

    @property
    def user(self) -> str | None:
        """The user that the run's caller named."""
        return self._around.user

    @property
    def state(self) -> Mapping[str, Any]:
        """What the application's lifespan yielded."""
        return self._around.state

    def secret(self, name: str) -> str:
        """The value of a secret. Raises ConfigError when it is not set."""
        return self._around.secrets.get(name)

    def progress(self, message: str = "", *, fraction: float | None = None) -> None:
        """Say how far the work is; `fraction` from 0 to 1. Safe from any thread."""
        self._around.gateway.progress(message, fraction=fraction, step=self.step)

    def emit(self, name: str, value: object = None) -> None:
        """Record an event of your own. Safe from any thread. Raises TypeError when the value is no JSON."""
        self._around.gateway.emit(name, msgspec.json.encode(value), step=self.step)

    async def model(
        self, messages: str | Sequence[Message], *, model: str | None = None, instructions: str = ""
    ) -> ModelResponse:
        """Call a model as a recorded step. The agent's own model when none is named."""
        return await self._around.gateway.model(messages, model=model, instructions=instructions, lane=self.lane_path)

    async def tool(self, tool: str | Tool, /, **arguments: object) -> Any:  # noqa: ANN401 - a tool gives any JSON
        """Call a tool as a recorded step and give its result as plain JSON data."""
        result = await self._around.gateway.tool(tool, msgspec.json.encode(arguments).decode(), lane=self.lane_path)
        return msgspec.json.decode(result)

    def lane(self, name: str) -> Context:
        """A context for a parallel branch: steps are ordered within a lane, not across lanes."""
        if not name or "/" in name:
            raise ValueError(f"a lane needs a name without '/', not {name!r}")
        path = f"{self.lane_path}/{name}" if self.lane_path else name
        return Context(self._around, step=self.step, idempotency_key=self.idempotency_key, lane_path=path)

"""What a tool or a code flow is handed: ids, secrets, progress, and the way to the world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from runwright.core.agent import Tool
from runwright.core.message import Message
from runwright.core.model import ModelResponse

if TYPE_CHECKING:
    from runwright.core.ports import Gateway, Secrets


class Context:
    """The surroundings of one tool call or code flow.

    `idempotency_key` is the same for every attempt of a step. `state` holds what the application's lifespan yielded.
    Inside a code flow, `model`, `tool` and `lane` perform recorded steps.
    """

    __slots__ = ("_gateway", "_secrets", "agent", "idempotency_key", "lane_path", "run_id", "state", "step", "user")

    def __init__(
        self,
        *,
        gateway: Gateway,
        secrets: Secrets,
        run_id: str,
        agent: str,
        user: str | None,
        state: Mapping[str, Any],
        step: int | None = None,
        idempotency_key: str = "",
        lane_path: str = "",
    ) -> None:
        self._gateway = gateway
        self._secrets = secrets
        self.run_id = run_id
        self.agent = agent
        self.user = user
        self.state = state
        self.step = step
        self.idempotency_key = idempotency_key
        self.lane_path = lane_path

    def secret(self, name: str) -> str:
        """The value of a secret. Raises ConfigError when it is not set."""
        return self._secrets.get(name)

    def progress(self, message: str = "", *, fraction: float | None = None) -> None:
        """Say how far the work is; `fraction` from 0 to 1. Safe from any thread."""
        self._gateway.progress(message, fraction=fraction, step=self.step)

    def emit(self, name: str, value: object = None) -> None:
        """Record an event of your own. Safe from any thread. Raises TypeError when the value is no JSON."""
        self._gateway.emit(name, msgspec.json.encode(value), step=self.step)

    async def model(
        self, messages: str | Sequence[Message], *, model: str | None = None, instructions: str = ""
    ) -> ModelResponse:
        """Call a model as a recorded step. The agent's own model when none is named."""
        return await self._gateway.model(messages, model=model, instructions=instructions, lane=self.lane_path)

    async def tool(self, tool: str | Tool, /, **arguments: object) -> Any:
        """Call a tool as a recorded step and give its result as plain JSON data."""
        result = await self._gateway.tool(tool, msgspec.json.encode(arguments).decode(), lane=self.lane_path)
        return msgspec.json.decode(result)

    def lane(self, name: str) -> Context:
        """A context for a parallel branch: steps are ordered within a lane, not across lanes."""
        if not name or "/" in name:
            raise ValueError(f"a lane needs a name without '/', not {name!r}")
        path = f"{self.lane_path}/{name}" if self.lane_path else name
        return Context(
            gateway=self._gateway,
            secrets=self._secrets,
            run_id=self.run_id,
            agent=self.agent,
            user=self.user,
            state=self.state,
            step=self.step,
            idempotency_key=self.idempotency_key,
            lane_path=path,
        )

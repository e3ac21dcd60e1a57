"""The drain of a server: asked for, and how far it is."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from runwright.engine.worker import Engine


class DrainBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long runs at work get; `drain_s` of the settings where it is left out."""

    timeout_s: Annotated[float, Meta(ge=0)] | None = None


class DrainView(msgspec.Struct, frozen=True, kw_only=True):
    """How far a drain is. `executing` are runs at work, `left` those that were left for the next start."""

    object: Literal["drain"] = "drain"
    status: Literal["serving", "draining", "drained"]
    executing: int
    left: int


class Drains:
    """What a caller can ask about the drain of this process."""

    def __init__(self, engine: Engine, *, drain_s: float) -> None:
        self._engine = engine
        self._drain_s = drain_s

    async def begin(self, body: DrainBody) -> DrainView:
        """Begin no more runs, and let those at work finish. A drain that has begun goes on as it is."""
        self._engine.drain.begin(self._drain_s if body.timeout_s is None else body.timeout_s)
        return await self.get()

    async def get(self) -> DrainView:
        """How far it is."""
        drain = self._engine.drain
        status = "drained" if drain.is_over else "draining" if drain.is_begun else "serving"
        return DrainView(status=status, executing=self._engine.executing, left=drain.left)

"""What a pool of connections is and did."""

from __future__ import annotations

import msgspec


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool is and did. `available` connections are open and idle, on those `in_use` a command is on its way.

    `utilisation` is the share of the most connections that is in use, `reuse_ratio` the share of commands that needed
    no new connection. `error` is why the server is away.
    """

    host: str
    port: int
    max_connections: int
    available: int
    in_use: int
    utilisation: float
    reuse_ratio: float
    commands: int
    connects: int
    idle_closed: int
    is_closed: bool
    is_away: bool
    error: str = ""

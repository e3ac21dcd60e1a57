"""Chains and parallel runs over HTTP: runs of the agents `chain` and `parallel`, whose configuration is the body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import asdict

from runwright.core.event import NULL
from runwright.core.labels import Label, Tags
from runwright.core.run import RunMode
from runwright.server.reference import FastRoute, parameter
from runwright.server.runs import Asked, OnDisconnect, RunBody, request_of
from runwright.server.wire import decode
from runwright.service.views import RunView

CHAIN_PATH = "/api/v1/runs/chain"
PARALLEL_PATH = "/api/v1/runs/parallel"

Links = Annotated[list[dict[str, object]], msgspec.Meta(min_length=1)]


class _Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What both have in common with the body of any run."""

    input: msgspec.Raw = NULL
    limits: dict[str, object] | UnsetType = UNSET
    mode: RunMode = "wait"
    on_disconnect: OnDisconnect = "continue"
    group: Label | None = None
    user: Label | None = None
    tags: Tags = ()
    metadata: dict[str, str] = {}


class ChainBody(_Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Agents one after the other; `steps`, `output` and `limits` are those of the template `chain`."""

    steps: Links
    output: object = UNSET


class ParallelBody(_Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Agents side by side; `branches`, `join`, `limit` and `limits` are those of the template `parallel`."""

    branches: Links
    join: object = UNSET
    limit: int | UnsetType = UNSET


_chain = msgspec.json.Decoder(ChainBody)
_parallel = msgspec.json.Decoder(ParallelBody)


def read_chain(_path: Mapping[str, str], body: bytes) -> Asked:
    """The body of a request for a chain. Raises InvalidRequest."""
    return _asked("chain", decode(_chain, body))


def read_parallel(_path: Mapping[str, str], body: bytes) -> Asked:
    """The body of a request for a parallel run. Raises InvalidRequest."""
    return _asked("parallel", decode(_parallel, body))


def _asked(agent: str, body: _Body) -> Asked:
    fields = {name: value for name, value in asdict(body).items() if value is not UNSET}
    options = {name: fields.pop(name) for name in _Body.__struct_fields__ if name != "limits"}
    run = RunBody(**options, config=fields)
    return Asked(request=request_of(agent, run), on_disconnect=run.on_disconnect, config_at="")


def _route(path: str, summary: str, body: type[_Body]) -> FastRoute:
    key = parameter("Idempotency-Key", "header", "Repeats with this key and the same body attach to the same run.")
    return FastRoute(
        path=path,
        method="POST",
        summary=summary,
        tag="runs",
        body=body,
        answers={"200": RunView, "202": RunView},
        is_streamed=True,
        parameters=[key],
    )


FAST = [
    _route(CHAIN_PATH, "Run agents one after the other, each with the output of the one before.", ChainBody),
    _route(PARALLEL_PATH, "Run agents side by side, until the join is decided.", ParallelBody),
]

"""Replays and forks over HTTP."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from runwright.agents.factory import refuse_files
from runwright.core.event import NULL
from runwright.core.labels import Label, Tags, check_metadata
from runwright.core.replay import Replay
from runwright.core.run import RunMode, RunRequest
from runwright.errors import InvalidRequest
from runwright.server.reference import FastRoute, parameter
from runwright.server.runs import Asked, OnDisconnect
from runwright.server.wire import decode
from runwright.service.views import RunView

REPLAY_PATH = "/api/v1/runs/{run}/replay"
FORK_PATH = "/api/v1/runs/{run}/fork"


class ReplayBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is different in a replay. Whatever is left out is as it was recorded.

    `live` names what goes to the world: `model`, `tool`, `http`, `all`, or one tool as `tool:NAME`, which tools with
    effects need. `at` is the number of a step: all before it is taken over, and from it on everything but effects is
    live. `config` changes the agent's configuration, `results` are given in place of recorded results, by step.
    """

    live: tuple[Label, ...] = ()
    at: int | None = None
    config: dict[str, object] = {}
    input: msgspec.Raw = NULL
    results: dict[int, msgspec.Raw] = {}
    agent: Label | None = None
    version: Label | None = None
    mode: RunMode = "wait"
    on_disconnect: OnDisconnect = "continue"
    group: Label | None = None
    tags: Tags = ()
    metadata: dict[str, str] = {}

    def __post_init__(self) -> None:
        check_metadata(self.metadata)


_body = msgspec.json.Decoder(ReplayBody)


def read_replay(path: Mapping[str, str], body: bytes) -> Asked:
    """The body of a request for a replay of the run in the path. Raises InvalidRequest."""
    asked = decode(_body, body) if body.strip() else ReplayBody()
    refuse_files(asked.config)
    request = RunRequest(
        agent=asked.agent or "",
        input=b"" if asked.input == NULL else bytes(asked.input),
        version=asked.version,
        mode=asked.mode,
        group=asked.group,
        tags=asked.tags,
        metadata=asked.metadata,
        config=asked.config,
        replay=Replay(of=path["run"], at=asked.at, live=asked.live, results=asked.results),
    )
    return Asked(request=request, on_disconnect=asked.on_disconnect)


def read_fork(path: Mapping[str, str], body: bytes) -> Asked:
    """The same for a fork, which names its step. Raises InvalidRequest."""
    asked = read_replay(path, body)
    replay = asked.request.replay
    if replay is None or replay.at is None:
        raise InvalidRequest("The request is not valid.", problems=[("/at", "the number of the step to fork at")])
    return asked


def _route(path: str, summary: str) -> FastRoute:
    return FastRoute(
        path=path,
        method="POST",
        summary=summary,
        tag="runs",
        body=ReplayBody,
        answers={"200": RunView, "202": RunView},
        is_streamed=True,
        parameters=[
            parameter("run", "path", "The id of the recorded run."),
            parameter("Idempotency-Key", "header", "Repeats with this key and the same body attach to the same run."),
        ],
    )


FAST = [
    _route(REPLAY_PATH, "Run an agent again on what a run recorded; what differs is told where it differs first."),
    _route(FORK_PATH, "Take a run over up to a step, and go on from there with something changed."),
]

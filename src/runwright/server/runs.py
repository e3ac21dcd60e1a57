"""Runs over HTTP: start, look, attach, steer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runwright.agents.factory import refuse_files
from runwright.core.event import NULL
from runwright.core.labels import LARGEST, Label, Note, Tags, check_metadata
from runwright.core.ports import RunFilter
from runwright.core.run import TERMINAL, Multitask, RunMode, RunRequest, RunStatus, WaitReason
from runwright.errors import InvalidRequest
from runwright.journal.diff import RunDiff
from runwright.server.auth import caller
from runwright.server.reference import FastRoute, documented, parameter
from runwright.server.sse import NativeFrames, Streams, only_get
from runwright.server.wire import (
    Answer,
    Header,
    body_of,
    decode,
    encode,
    header,
    query,
    read_body,
    send_json,
    served,
    watched,
)
from runwright.service.runs import Claim, Handle, Runs
from runwright.service.search_views import FoundRuns
from runwright.service.views import Page, Resolution, RunView, StepView

Limit = Annotated[int, Query(ge=1, le=500, description="Items on a page.")]

START_PATH = "/api/v1/agents/{agent}/runs"
EVENTS_PATH = "/api/v1/runs/{run}/events"
KEY_LENGTH = 255
DIGITS = 20
"""More digits are not read as a number: Python refuses thousands of them."""

OnDisconnect = Literal["continue", "cancel"]
RuleName = Annotated[str, Query(pattern="^[a-z]+$", description="email, phone, card, ip or iban.")]
FILE_LIMIT = 64 << 20
"""Bytes of a file that is taken in."""

Seq = Annotated[int, Path(ge=0, le=LARGEST)]
After = Annotated[int, Query(ge=0, le=LARGEST)]


class RunBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller asks for. `session_id` is another name of `thread_id`.

    `wait` answers with the run when it is over or waits, `stream` with its events, `background` at once. The run
    goes on when the client leaves, unless `on_disconnect` is cancel.
    """

    input: msgspec.Raw = NULL
    thread_id: Label | None = None
    session_id: Label | None = None
    mode: RunMode = "wait"
    multitask: Multitask = "enqueue"
    on_disconnect: OnDisconnect = "continue"
    version: Label | None = None
    config: dict[str, object] = {}
    group: Label | None = None
    user: Label | None = None
    tags: Tags = ()
    metadata: dict[str, str] = {}

    def __post_init__(self) -> None:
        check_metadata(self.metadata)


class CancelBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a run is cancelled."""

    reason: Note = ""


class PauseBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a run is paused."""

    reason: Note = ""


_run_body = msgspec.json.Decoder(RunBody)
_cancel_body = msgspec.json.Decoder(CancelBody)
_pause_body = msgspec.json.Decoder(PauseBody)
_resolution = msgspec.json.Decoder(Resolution)


def claim_of(scope: Scope, body: bytes) -> Claim | None:
    """The claim of the request's Idempotency-Key. Raises InvalidRequest when it is empty or too long."""
    key = header(scope, b"idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= KEY_LENGTH:
        raise InvalidRequest(f"An Idempotency-Key has 1 to {KEY_LENGTH} characters, not {len(key)}.")
    route = f"{caller(scope)} {scope['method']} {scope['path']}"
    return Claim(scope=route, key=key, body_hash=blake2b(body, digest_size=16).hexdigest())


def run_headers(handle: Handle) -> list[Header]:
    """Headers that name the run of an answer."""
    run_id = handle.run_id.encode()
    named: list[Header] = [(b"x-run-id", run_id), (b"content-location", b"/api/v1/runs/" + run_id)]
    if handle.is_repeat:
        named.append((b"idempotency-replayed", b"true"))
    return named


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a request for a run comes to. `config_at` is where its body holds the run's configuration."""

    request: RunRequest
    on_disconnect: OnDisconnect
    config_at: str = "/config"


def read_run(path: Mapping[str, str], body: bytes) -> Asked:
    """The body of a request for a run of the agent in the path. Raises InvalidRequest."""
    asked = decode(_run_body, body)
    return Asked(request=request_of(path["agent"], asked), on_disconnect=asked.on_disconnect)


class StartRun:
    """Starts a run, without a framework's request and response. `read` is handed the path's parameters and the body."""

    def __init__(self, runs: Runs, streams: Streams, read: Callable[[Mapping[str, str], bytes], Asked]) -> None:
        self._runs = runs
        self._streams = streams
        self._read = read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start a run and answer in the mode that was asked for."""
        body = await read_body(receive)
        asked = self._read(scope["path_params"], body)
        handle = await self._create(asked, claim_of(scope, body))
        match asked.request.mode:
            case "wait":
                await self._wait(handle, asked, (receive, send))
            case "stream":
                await self._stream(handle, asked, (receive, send))
            case "background":
                view = await self._runs.get(handle.run_id)
                headers = [*run_headers(handle), (b"location", f"/api/v1/runs/{handle.run_id}".encode())]
                await send_json(send, encode(view), status=202, headers=headers)

    async def _create(self, asked: Asked, claim: Claim | None) -> Handle:
        try:
            return await self._runs.create(asked.request, claim=claim)
        except InvalidRequest as error:
            if asked.config_at == "/config" or not error.problems:
                raise
            problems = [(asked.config_at + place.removeprefix("/config"), detail) for place, detail in error.problems]
            raise InvalidRequest("The request is not valid.", problems=problems) from error

    async def _wait(self, handle: Handle, asked: Asked, connection: tuple[Receive, Send]) -> None:
        receive, send = connection
        if asked.on_disconnect == "continue":
            view = await handle.wait()
        else:
            async with watched(receive, lambda: self._leave(handle)):
                view = await handle.wait()
        await send_json(send, encode(view), headers=run_headers(handle))

    async def _stream(self, handle: Handle, asked: Asked, connection: tuple[Receive, Send]) -> None:
        await self._streams.serve(
            handle.events(),
            NativeFrames(handle.run_id),
            connection,
            headers=run_headers(handle),
            on_gone=(lambda: self._leave(handle)) if asked.on_disconnect == "cancel" else None,
        )

    async def _leave(self, handle: Handle) -> None:
        await self._runs.cancel(handle.run_id, reason="the client closed the connection")


def request_of(agent: str, asked: RunBody) -> RunRequest:
    """The run of an agent that a body asks for. Raises InvalidRequest."""
    thread_id = asked.thread_id or asked.session_id
    if asked.session_id not in {None, thread_id}:
        problem = ("/session_id", "another name of thread_id: send one of them")
        raise InvalidRequest("The request is not valid.", problems=[problem])
    refuse_files(asked.config)
    return RunRequest(
        agent=agent,
        input=bytes(asked.input),
        version=asked.version,
        thread_id=thread_id,
        mode=asked.mode,
        multitask=asked.multitask,
        group=asked.group,
        user=asked.user,
        tags=asked.tags,
        metadata=asked.metadata,
        config=asked.config,
    )


class RunEvents:
    """`GET /api/v1/runs/{run}/events`: a run's events from any number on, then live to the last one."""

    def __init__(self, runs: Runs, streams: Streams) -> None:
        self._runs = runs
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Attach to a run. Nothing after the last event is 204, at which browsers stop to reconnect."""
        only_get(scope)
        run_id: str = scope["path_params"]["run"]
        after = _after(scope)
        view = await self._runs.get(run_id)
        if view.status in TERMINAL and after >= view.last_seq:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await read_body(receive)
        events = self._runs.events(run_id, after=after)
        await self._streams.serve(events, NativeFrames(run_id), (receive, send))


def _after(scope: Scope) -> int:
    text = header(scope, b"last-event-id") or query(scope, "after") or "0"
    if not text.isascii() or not text.isdigit() or len(text) > DIGITS or int(text) > LARGEST:
        shown = text if len(text) <= KEY_LENGTH else f"{text[:KEY_LENGTH]}..."
        raise InvalidRequest(
            f"An event number is a whole number, not {shown!r}.", problems=[("after", f"from 0 to {LARGEST}")]
        )
    return int(text)


router = APIRouter(prefix="/api/v1/runs", tags=["runs"])


FAST = [
    FastRoute(
        path=START_PATH,
        method="POST",
        summary="Start a run: wait for its end, stream its events, or leave it in the background.",
        tag="runs",
        body=RunBody,
        answers={"200": RunView, "202": RunView},
        is_streamed=True,
        parameters=[
            parameter("agent", "path", "The agent's name."),
            parameter("Idempotency-Key", "header", "Repeats with this key and the same body attach to the same run."),
        ],
    ),
    FastRoute(
        path=EVENTS_PATH,
        method="GET",
        summary="A run's events as server-sent events, from any number on, live to the last one.",
        tag="runs",
        answers={"200": None},
        is_streamed=True,
        parameters=[
            parameter("run", "path", "The run's id."),
            parameter("after", "query", "The number of the last event that is known already.", kind="integer"),
            parameter("Last-Event-ID", "header", "The same, as browsers send it; it wins."),
        ],
    ),
]


class RunQuery(BaseModel):
    """Which runs to list. `session_id` is another name of `thread_id`; `text` is searched for in them."""

    model_config = ConfigDict(extra="forbid")

    agent: str | None = None
    status: RunStatus | None = None
    reason: WaitReason | None = None
    thread_id: str | None = None
    session_id: str | None = None
    group: str | None = None
    user: str | None = None
    parent_run_id: str | None = None
    is_root: bool = False
    tag: str | None = None
    after: str | None = None
    text: str | None = None
    limit: Limit = 50


@router.get("", **documented(Page[RunView] | FoundRuns))
async def list_runs(request: Request, where: Annotated[RunQuery, Query()]) -> Response:
    """Runs, newest first; with a text those that hold it, as far back as one call looks."""
    asked = where.model_dump(exclude={"session_id", "text"})
    asked["thread_id"] = where.thread_id or where.session_id
    app, fitting = served(request), RunFilter(**asked)
    if where.text is not None:
        return Answer(await app.searches.find(where.text, fitting))
    return Answer(await app.runs.find(fitting))


@router.get("/{run}", **documented(RunView))
async def get_run(request: Request, run: str) -> Response:
    """One run."""
    return Answer(await served(request).runs.get(run))


@router.get("/{run}/steps", **documented(Page[StepView]))
async def list_steps(request: Request, run: str, *, after: After = 0, limit: Limit = 100) -> Response:
    """The steps of a run in order."""
    return Answer(await served(request).runs.steps(run, after=after, limit=limit))


@router.get("/{run}/steps/{seq}", **documented(StepView))
async def get_step(request: Request, run: str, seq: Seq) -> Response:
    """One step; its number is that of the event that began it."""
    return Answer(await served(request).runs.step(run, seq))


@router.get("/{run}/diff/{other}", **documented(RunDiff))
async def diff_runs(request: Request, run: str, other: str) -> Response:
    """How another run differs from this one: steps side by side, the first divergence, and what each took."""
    return Answer(await served(request).diffs.between(run, other))


@router.get("/{run}/export", **documented(None))
async def export_run(request: Request, run: str, redact: Annotated[list[RuleName] | None, Query()] = None) -> Response:
    """A run that is over as one file, for `POST /api/v1/runs/import` and for tests; `redact` names rules."""
    raw = await served(request).exports.export(run, redact=redact or ())
    headers = {"content-disposition": f'attachment; filename="{run}.run"'}
    return Response(raw, media_type="application/gzip", headers=headers)


@router.post("/import", **documented(RunView, status=201))
async def import_run(request: Request) -> Response:
    """Take a run in from a file, which is the body, and pin it. A run that is here already stays as it is."""
    view = await served(request).exports.import_file(await read_body(request.receive, limit=FILE_LIMIT))
    return Answer(view, status_code=201, headers={"location": f"/api/v1/runs/{view.id}"})


@router.post("/{run}/cancel", **documented(RunView, body=CancelBody))
async def cancel_run(request: Request, run: str) -> Response:
    """Cancel a run. A run that is over stays as it is."""
    body = await read_body(request.receive)
    asked = decode(_cancel_body, body) if body.strip() else CancelBody()
    return Answer(await served(request).runs.cancel(run, reason=asked.reason))


@router.post("/{run}/resolve", **documented(RunView, body=Resolution))
async def resolve_step(request: Request, run: str) -> Response:
    """Say what became of a step whose outcome is unknown, or approve, deny or answer one that needs a person."""
    return Answer(await served(request).runs.resolve(run, await body_of(request, _resolution)))


@router.post("/{run}/pause", **documented(RunView, body=PauseBody))
async def pause_run(request: Request, run: str) -> Response:
    """Have a run, and those below it, wait before the next step until it is resumed."""
    body = await read_body(request.receive)
    asked = decode(_pause_body, body) if body.strip() else PauseBody()
    return Answer(await served(request).runs.pause(run, reason=asked.reason))


@router.post("/{run}/resume", **documented(RunView))
async def resume_run(request: Request, run: str) -> Response:
    """Go on with a waiting run."""
    return Answer(await served(request).runs.resume(run))

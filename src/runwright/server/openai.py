"""The OpenAI face: agents are models, a chat completion is a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal, cast

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runwright.agents.registry import Registry
from runwright.core.agent import BuiltAgent, CodeFlow
from runwright.core.labels import Label, check_metadata
from runwright.core.model import ModelSettings
from runwright.core.run import RunRequest
from runwright.errors import InvalidRequest
from runwright.server.completion import ChunkFrames, Completion, completion, ending_of
from runwright.server.problems import OpenAIErrorBody
from runwright.server.reference import FastRoute, documented
from runwright.server.runs import claim_of, run_headers
from runwright.server.sse import Streams
from runwright.server.wire import Answer, Header, decode, read_body, send_json, served, watched
from runwright.service.runs import Handle, Runs

CHAT_PATH = "/v1/chat/completions"
NULL = b"null"
NAME_LENGTH = 64
NAMES = 32
"""Ignored parameters that a header names; proxies and clients refuse headers of many kilobytes."""


class StreamOptions(msgspec.Struct, frozen=True):
    """What else a stream tells."""

    include_usage: bool = False


class JsonSchema(msgspec.Struct, frozen=True, kw_only=True):
    """A named schema."""

    name: str = "answer"
    schema: dict[str, object] = {}


class ResponseFormat(msgspec.Struct, frozen=True, kw_only=True):
    """How the answer is written."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchema | None = None


class ChatBody(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters that mean something here. All others are ignored and named in `x-runwright-ignored`."""

    model: str
    messages: msgspec.Raw
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    n: int | None = None
    user: Label | None = None
    metadata: dict[str, str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    reasoning_effort: str | None = None

    def __post_init__(self) -> None:
        check_metadata(self.metadata)


_chat_body = msgspec.json.Decoder(ChatBody)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_known = frozenset(ChatBody.__struct_fields__)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A chat completion read against the agent it is for.

    `ignored` are parameters that mean nothing to it. `is_whole` says that only the finished output is the answer.
    """

    body: ChatBody
    agent: BuiltAgent
    config: dict[str, object]
    ignored: tuple[str, ...]
    is_kept: bool

    @property
    def is_whole(self) -> bool:
        """What a code flow's models say, and structured output that may be rejected, is not the answer yet."""
        flow = self.agent.flow
        return isinstance(flow, CodeFlow) or flow.output is not None or "output" in self.config

    def run_request(self) -> RunRequest:
        """The run to create. Unless the client comes back for it, it lives as long as the connection."""
        return RunRequest(
            agent=self.agent.name,
            version=self.agent.version,
            input=b'{"messages":%b}' % bytes(self.body.messages),
            mode="stream" if self.body.stream else "wait",
            user=self.body.user,
            metadata=self.body.metadata or {},
            config=self.config,
            is_ephemeral=not self.is_kept,
        )

    def headers(self, handle: Handle) -> list[Header]:
        """Headers that name the run and what was ignored."""
        named = run_headers(handle)
        if self.ignored:
            shown = [*self.ignored[:NAMES], *(["..."] if len(self.ignored) > NAMES else [])]
            named.append((b"x-runwright-ignored", ", ".join(shown).encode()))
        return named


class Chat:
    """`POST /v1/chat/completions`, without a framework's request and response."""

    def __init__(self, runs: Runs, registry: Registry, streams: Streams) -> None:
        self._runs = runs
        self._registry = registry
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the agent that the model names and answer as a completion."""
        body = await read_body(receive)
        # A client with an Idempotency-Key comes back for the answer; any other sends its request anew.
        claim = claim_of(scope, body)
        asked = read(body, self._registry, is_kept=claim is not None)
        handle = await self._runs.create(asked.run_request(), claim=claim)
        answer = self._stream if asked.body.stream else self._whole
        await answer(handle, asked, (receive, send))

    async def _whole(self, handle: Handle, asked: Asked, connection: tuple[Receive, Send]) -> None:
        receive, send = connection
        async with watched(receive, lambda: self._leave(handle, asked)):
            run = await handle.wait()
        body = completion(ending_of(run), run_id=run.id, model=asked.body.model, created=int(time.time()))
        await send_json(send, body, headers=asked.headers(handle))

    async def _stream(self, handle: Handle, asked: Asked, connection: tuple[Receive, Send]) -> None:
        options = asked.body.stream_options
        frames = ChunkFrames(
            handle.run_id,
            model=asked.body.model,
            created=int(time.time()),
            has_usage=options is not None and options.include_usage,
            is_whole=asked.is_whole,
        )
        await self._streams.serve(
            handle.events(),
            frames,
            connection,
            headers=asked.headers(handle),
            on_gone=lambda: self._leave(handle, asked),
        )

    async def _leave(self, handle: Handle, asked: Asked) -> None:
        if not asked.is_kept:
            await self._runs.cancel(handle.run_id, reason="the client closed the connection")


def read(body: bytes, registry: Registry, *, is_kept: bool) -> Asked:
    """Read a request. Raises InvalidRequest, and NotFound for an unknown agent."""
    asked = decode(_chat_body, body)
    if asked.n is not None and asked.n != 1:
        raise _wrong("/n", f"An agent gives one answer: leave `n` out or send 1, not {asked.n}.")
    name, _, version = asked.model.partition("@")
    entry = registry.entry(name, version or None)
    definition = entry.agent.definition
    config = _config(asked)
    fields = registry.templates.find(definition.template).Config.model_fields
    ignored = _unknown(body)
    if "settings" in config and "settings" in fields:
        config["settings"] = _mapping(definition.config.get("settings")) | _mapping(config["settings"])
    elif "settings" in config:
        ignored += [*_mapping(config.pop("settings"))]
    if "output" in config and "output" not in fields:
        del config["output"]
        ignored.append("response_format")
    return Asked(body=asked, agent=entry.agent, config=config, ignored=tuple(sorted(ignored)), is_kept=is_kept)


def _mapping(value: object) -> dict[str, object]:
    return dict(cast("Mapping[str, object]", value)) if isinstance(value, Mapping) else {}


def _config(asked: ChatBody) -> dict[str, object]:
    stop = (asked.stop,) if isinstance(asked.stop, str) else asked.stop
    settings = ModelSettings(
        temperature=asked.temperature,
        top_p=asked.top_p,
        max_tokens=asked.max_completion_tokens or asked.max_tokens,
        seed=asked.seed,
        stop=tuple(stop) if stop else None,
        frequency_penalty=asked.frequency_penalty,
        presence_penalty=asked.presence_penalty,
        reasoning_effort=asked.reasoning_effort,
    )
    config: dict[str, object] = {}
    if settings != ModelSettings():
        config["settings"] = msgspec.to_builtins(settings)
    output = _output(asked.response_format)
    if output is not None:
        config["output"] = output
    return config


def _output(wanted: ResponseFormat | None) -> dict[str, object] | None:
    """The JSON Schema that the answer must fit."""
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "object"}
    if wanted.json_schema is None:
        raise _wrong("/response_format/json_schema", "A json_schema format needs the schema.")
    return {"title": wanted.json_schema.name} | wanted.json_schema.schema


def _wrong(pointer: str, detail: str) -> InvalidRequest:
    return InvalidRequest("The request is not valid.", problems=[(pointer, detail)])


def _unknown(body: bytes) -> list[str]:
    """Parameters that were sent and mean nothing here, as far as they can stand in a header."""
    names = [name for name, value in _fields.decode(body).items() if name not in _known and bytes(value) != NULL]
    return [name for name in names if name.isascii() and name.isprintable() and len(name) <= NAME_LENGTH]


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as a model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "runwright"


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """All agents as models."""

    object: Literal["list"] = "list"
    data: list[ModelView]


router = APIRouter(prefix="/v1", tags=["openai"])

FAST = [
    FastRoute(
        path=CHAT_PATH,
        method="POST",
        summary="A chat completion by the agent that the model names, streamed or whole.",
        tag="openai",
        body=ChatBody,
        answers={"200": Completion},
        problem=OpenAIErrorBody,
        is_streamed=True,
    )
]


@router.get("/models", **documented(ModelList, problem=OpenAIErrorBody))
async def list_models(request: Request) -> Response:
    """Every agent as a model."""
    names = [entry.agent.name for entry in served(request).registry.all()]
    return Answer(ModelList(data=[_model(name, request) for name in names]))


@router.get("/models/{model}", **documented(ModelView, problem=OpenAIErrorBody))
async def get_model(request: Request, model: str) -> Response:
    """One agent as a model; `agent@version` is one of its versions."""
    name, _, version = model.partition("@")
    served(request).registry.entry(name, version or None)
    return Answer(_model(model, request))


def _model(name: str, request: Request) -> ModelView:
    return ModelView(id=name, created=request.app.state.started)

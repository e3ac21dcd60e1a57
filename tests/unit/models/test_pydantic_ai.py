"""Providers through the classes of Pydantic AI: their real clients, against a server on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import struct
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from aiohttp import web

from runwright.core.message import (
    AssistantMessage,
    FunctionCall,
    ImagePart,
    ImageUrl,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
    said,
)
from runwright.core.model import (
    ModelEvent,
    ModelRequest,
    ModelResponse,
    ModelSettings,
    OutputSpec,
    ReasoningDelta,
    ResponseCompleted,
    TextDelta,
    ToolCallDelta,
    ToolSpec,
)
from runwright.errors import (
    ConfigError,
    ModelError,
    ModelUnknown,
    ProviderAuth,
    ProviderRejected,
    ProviderUnavailable,
    RateLimited,
)
from runwright.models import ModelRegistry, ProviderSettings

pytestmark = pytest.mark.anyio

KEY = "secret-0123456789"
LOOK = ToolSpec(
    name="look",
    description="Looks.",
    parameters={"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
)
BRIEF = ModelSettings(max_tokens=99)
PIXEL = "data:image/png;base64,iVBORw0KGgo="
Body = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Wire:
    """A server that answers whatever is posted, and keeps what it was asked."""

    def __init__(self) -> None:
        self.bodies: list[Body] = []
        self.paths: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.left = asyncio.Event()
        self.answer: Handler = _never
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note the request and answer."""
        self.bodies.append(await request.json())
        self.paths.append(request.path)
        self.headers.append(request.headers.copy())
        try:
            return await self.answer(request)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    async def ask(self, provider: str, name: str, *, key: str = KEY, **of: Any) -> list[ModelEvent]:
        """What a model of that provider gives; the registry is closed after it."""
        registry = ModelRegistry({provider: ProviderSettings(base_url=self.url, api_key=key)})
        try:
            ref = f"{provider}:{name}"
            await registry.look([ref])
            return [event async for event in registry.resolve(ref).stream(asking(ref, **of))]
        finally:
            await registry.close()


async def _never(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture
async def wire() -> AsyncGenerator[Wire]:
    """A server that listens."""
    async with serving() as found:
        yield found


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncGenerator[Wire]:
    """A server that listens."""
    found = Wire()
    app = web.Application()
    app.router.add_post("/{path:.*}", found.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    place = "http://127.0.0.1" if tls is None else "https://localhost"
    found.url = f"{place}:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        await runner.cleanup()


def answers(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    """Answers with JSON."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status, headers=headers)

    return handle


def streams(*events: Body) -> Handler:
    """Answers with server-sent events, named by their type where they have one."""

    async def handle(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        for event in events:
            name = f"event: {event['type']}\n" if "type" in event else ""
            await answer.write(f"{name}data: {json.dumps(event)}\n\n".encode())
        return answer

    return handle


def asking(ref: str, *, is_streamed: bool = False, **of: Any) -> ModelRequest:
    """A conversation with everything in it."""
    call = ToolCall(id="call_1", function=FunctionCall(name="look", arguments='{"at":"tea"}'))
    messages = (
        SystemMessage(content="Be brief."),
        UserMessage(content=(TextPart(text="What is it?"), ImagePart(image_url=ImageUrl(url=PIXEL)))),
        AssistantMessage(content="I look.", tool_calls=(call,)),
        ToolMessage(tool_call_id="call_1", content="green"),
    )
    given: Body = {"messages": tuple(map(said, messages)), "tools": (LOOK,), **of}
    return ModelRequest(model=ref, is_streamed=is_streamed, **given)


def whole(events: Sequence[ModelEvent]) -> ModelResponse:
    """The answer, which comes last."""
    assert isinstance(events[-1], ResponseCompleted)
    return events[-1].response


CLAUDE_USAGE = {"input_tokens": 7, "output_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0}
CLAUDE: Body = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5-20251001",
    "content": [
        {"type": "text", "text": "I look again."},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "cup"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": CLAUDE_USAGE,
}
CLAUDE_STREAM: tuple[Body, ...] = (
    {"type": "message_start", "message": {**CLAUDE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sig"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "I look "}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "again."}},
    {"type": "content_block_stop", "index": 1},
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
    },
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"at":'}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '"cup"}'}},
    {"type": "content_block_stop", "index": 2},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": CLAUDE_USAGE},
    {"type": "message_stop"},
)


async def test_anthropic_is_asked_on_its_own_wire(wire: Wire) -> None:
    """A request goes out in Anthropic's form through its client, and its answer comes back in ours."""
    wire.answer = answers(CLAUDE)
    settings = ModelSettings(temperature=0.5, max_tokens=99, stop=("END",))
    response = whole(await wire.ask("anthropic", "claude-haiku-4-5", settings=settings, tool_choice="required"))
    (body,) = wire.bodies
    assert wire.paths == ["/v1/messages"]
    assert KEY in wire.headers[0]["authorization"]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("claude-haiku-4-5", 99, 0.5)
    assert (body["stop_sequences"], body["tool_choice"]["type"]) == (["END"], "any")
    assert "Be brief." in json.dumps(body["system"])
    assert [tool["name"] for tool in body["tools"]] == ["look"]
    asked, called, result = body["messages"]
    assert [part["type"] for part in asked["content"]] == ["text", "image"]
    assert called["content"][-1] == {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": "tea"}}
    assert result["content"][0]["tool_use_id"] == "call_1"
    (call,) = response.message.tool_calls
    assert (response.message.content, call.id, json.loads(call.arguments)) == (
        "I look again.",
        "toolu_1",
        {"at": "cup"},
    )
    assert (response.finish_reason, response.model, response.provider) == (
        "tool_calls",
        "claude-haiku-4-5-20251001",
        "anthropic",
    )
    usage = response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, usage.requests) == (10, 5, 3, 1)
    assert (response.response_id, response.original) == ("msg_1", b"")


async def test_anthropic_streams_its_deltas(wire: Wire) -> None:
    """A streamed answer comes piece by piece, and whole at its end."""
    wire.answer = streams(*CLAUDE_STREAM)
    events = await wire.ask("anthropic", "claude-haiku-4-5", is_streamed=True)
    assert events[:-1] == [
        ReasoningDelta("hm"),
        TextDelta("I look "),
        TextDelta("again."),
        ToolCallDelta(0, "toolu_1", "look", ""),
        ToolCallDelta(0, "", "", '{"at":'),
        ToolCallDelta(0, "", "", '"cup"}'),
    ]
    response = whole(events)
    assert (response.message.content, response.reasoning) == ("I look again.", "hm")
    assert response.message.tool_calls[0].arguments == '{"at":"cup"}'


async def test_a_shape_is_asked_for(wire: Wire) -> None:
    """A schema for the answer goes out in the provider's own way."""
    wire.answer = answers({**CLAUDE, "content": [{"type": "text", "text": '{"a":1}'}], "stop_reason": "end_turn"})
    schema: Body = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    output = OutputSpec(name="shape", schema=schema)
    response = whole(await wire.ask("anthropic", "claude-haiku-4-5", output=output, tools=(), settings=BRIEF))
    assert (response.message.content, response.finish_reason) == ('{"a":1}', "stop")
    assert "integer" in json.dumps(wire.bodies[0])


def claude_error(kind: str) -> Body:
    """An error in Anthropic's form, which repeats the key."""
    return {"type": "error", "error": {"type": kind, "message": f"no: {KEY}"}}


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (401, "authentication_error", ProviderAuth),
        (404, "not_found_error", ModelUnknown),
        (400, "invalid_request_error", ProviderRejected),
        (429, "rate_limit_error", RateLimited),
        (529, "overloaded_error", ProviderUnavailable),
    ],
)
async def test_errors_are_ours_and_nothing_is_sent_twice(
    wire: Wire, status: int, kind: str, error: type[ModelError]
) -> None:
    """An error of the provider is one of ours, without the key; its client sends nothing again by itself."""
    wire.answer = answers(claude_error(kind), status=status, headers={"retry-after": "7"})
    with pytest.raises(error) as caught:
        await wire.ask("anthropic", "claude-haiku-4-5")
    assert (len(wire.bodies), caught.value.retry_after_s) == (1, 7.0)
    assert KEY not in str(caught.value)
    assert ("ANTHROPIC_API_KEY" in str(caught.value)) == (status == 401)
    assert caught.value.is_unused


async def test_a_server_that_is_away_can_be_asked_again() -> None:
    """A connection that is refused is an error that a retry can help against."""
    async with serving() as gone:
        pass
    with pytest.raises(ProviderUnavailable):
        await gone.ask("anthropic", "claude-haiku-4-5")


async def test_a_call_that_is_cancelled_is_aborted(wire: Wire) -> None:
    """Cancelling a call closes its connection."""
    asked = asyncio.ensure_future(wire.ask("anthropic", "claude-haiku-4-5"))
    async with asyncio.timeout(30):
        while not wire.bodies:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.002)
    asked.cancel()
    await asyncio.wait([asked])
    async with asyncio.timeout(30):
        await wire.left.wait()
    assert asked.cancelled()


GEMINI: Body = {
    "responseId": "r1",
    "modelVersion": "gemini-2.5-flash",
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [{"text": "I look again."}, {"functionCall": {"name": "look", "args": {"at": "cup"}}}],
            },
            "finishReason": "STOP",
        }
    ],
    "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
}


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_google_is_asked_on_its_own_wire(wire: Wire, is_streamed: bool) -> None:
    """A request goes out in Google's form through its client, and its answer comes back in ours."""
    wire.answer = streams(GEMINI) if is_streamed else answers(GEMINI)
    events = await wire.ask("google", "gemini-2.5-flash", is_streamed=is_streamed)
    response = whole(events)
    (body,) = wire.bodies
    way = "streamGenerateContent" if is_streamed else "generateContent"
    assert wire.paths[0].endswith(f"/models/gemini-2.5-flash:{way}")
    assert wire.headers[0]["x-goog-api-key"] == KEY
    assert "Be brief." in json.dumps(body["systemInstruction"])
    assert [content["role"] for content in body["contents"]] == ["user", "model", "user"]
    (call,) = response.message.tool_calls
    assert (response.message.content, call.name, json.loads(call.arguments)) == ("I look again.", "look", {"at": "cup"})
    assert (response.usage.input_tokens, response.usage.output_tokens) == (10, 5)
    assert (TextDelta("I look again.") in events) == is_streamed


async def test_an_error_of_google_is_ours(wire: Wire) -> None:
    """Google's way to say that there were too many calls, with the seconds to wait in the body."""
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "9s"}]
    error = {"code": 429, "message": "slowly", "status": "RESOURCE_EXHAUSTED", "details": details}
    wire.answer = answers({"error": error}, status=429)
    with pytest.raises(RateLimited) as caught:
        await wire.ask("google", "gemini-2.5-flash")
    assert (len(wire.bodies), caught.value.retry_after_s) == (1, 9.0)


async def test_cohere_is_asked_on_its_own_wire(wire: Wire) -> None:
    """A request goes out in Cohere's form through its client, and its answer comes back in ours."""
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":"cup"}'}}
    message = {"role": "assistant", "tool_plan": "I look again.", "tool_calls": [call]}
    tokens = {"input_tokens": 10, "output_tokens": 5}
    wire.answer = answers(
        {
            "id": "1",
            "finish_reason": "TOOL_CALL",
            "message": message,
            "usage": {"tokens": tokens, "billed_units": tokens},
        }
    )
    text = (said(UserMessage(content="What is it?")),)
    response = whole(await wire.ask("cohere", "command-a-03-2025", messages=text))
    assert wire.paths == ["/v2/chat"]
    assert wire.headers[0]["authorization"] == f"Bearer {KEY}"
    assert [call.name for call in response.message.tool_calls] == ["look"]
    assert (response.usage.input_tokens, response.usage.output_tokens) == (10, 5)


NOVA = "amazon.nova-lite-v1:0"
CONVERSED: Body = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"text": "I look again."},
                {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"at": "cup"}}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15},
    "metrics": {"latencyMs": 1},
}
CONVERSED_STREAM: tuple[tuple[str, Body], ...] = (
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "I look "}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "again."}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "look"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"at":'}}}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '"cup"}'}}}),
    ("contentBlockStop", {"contentBlockIndex": 1}),
    ("messageStop", {"stopReason": "tool_use"}),
    ("metadata", {"usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}, "metrics": {"latencyMs": 1}}),
)


def framed(kind: str, body: Body, *, message: str = "event") -> bytes:
    """One message of an AWS event stream: lengths and a checksum, headers, the payload, a checksum of all."""
    named = {f":{message}-type": kind, ":content-type": "application/json", ":message-type": message}
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in named.items()
    )
    payload = json.dumps(body).encode()
    lengths = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    whole = lengths + struct.pack("!I", crc32(lengths)) + headers + payload
    return whole + struct.pack("!I", crc32(whole))


def frames(*parts: bytes) -> Handler:
    """Answers with an event stream of AWS."""

    async def handle(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "application/vnd.amazon.eventstream"})
        await answer.prepare(request)
        for part in parts:
            await answer.write(part)
        return answer

    return handle


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A region and credentials, and nothing of this machine's own settings of AWS."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    for name in ("AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


@pytest.mark.usefixtures("aws")
async def test_bedrock_is_asked_on_its_own_wire(wire: Wire) -> None:
    """A request goes out in the form of Converse through boto3, signed; the secret of the signature is not sent."""
    wire.answer = answers(CONVERSED)
    response = whole(await wire.ask("bedrock", NOVA, key="", settings=BRIEF, tool_choice="required"))
    (body,) = wire.bodies
    assert wire.paths == [f"/model/{NOVA}/converse"]
    signed = wire.headers[0]["authorization"]
    assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-west-1/bedrock/aws4_request" in signed
    assert KEY not in json.dumps([*map(dict, wire.headers), *wire.bodies])
    assert body["inferenceConfig"]["maxTokens"] == BRIEF.max_tokens
    assert body["system"][0]["text"] == "Be brief."
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["look"]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    (call,) = response.message.tool_calls
    assert (response.message.content, call.id, json.loads(call.arguments)) == ("I look again.", "t1", {"at": "cup"})
    assert (response.finish_reason, response.provider) == ("tool_calls", "bedrock")
    assert (response.usage.input_tokens, response.usage.output_tokens) == (10, 5)


@pytest.mark.usefixtures("aws")
async def test_bedrock_streams_its_deltas(wire: Wire) -> None:
    """A streamed answer comes piece by piece out of the frames of ConverseStream, and whole at its end."""
    wire.answer = frames(*(framed(kind, body) for kind, body in CONVERSED_STREAM))
    events = await wire.ask("bedrock", NOVA, key="", is_streamed=True)
    assert wire.paths == [f"/model/{NOVA}/converse-stream"]
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["I look ", "again."]
    pieces = [event.arguments for event in events if isinstance(event, ToolCallDelta)]
    assert "".join(pieces) == '{"at":"cup"}'
    response = whole(events)
    assert (response.message.content, response.message.tool_calls[0].name) == ("I look again.", "look")
    assert (response.usage.input_tokens, response.usage.output_tokens) == (10, 5)


@pytest.mark.usefixtures("aws")
async def test_bedrock_is_asked_with_a_key(wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a key nothing is signed: it is sent, over TLS alone."""
    files = [tmp_path / "key.pem", tmp_path / "cert.pem"]
    made = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", *made, "-keyout", str(files[0]), "-out", str(files[1])]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(files[1]))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    await asyncio.to_thread(context.load_cert_chain, files[1], files[0])
    async with serving(context) as safe:
        safe.answer = answers(CONVERSED)
        await safe.ask("bedrock", NOVA)
        assert safe.headers[0]["authorization"] == f"Bearer {KEY}"
    with pytest.raises(ProviderAuth, match="HTTPS"):
        await wire.ask("bedrock", NOVA)


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (403, "AccessDeniedException", ProviderAuth),
        (404, "ResourceNotFoundException", ModelUnknown),
        (400, "ValidationException", ProviderRejected),
        (429, "ThrottlingException", RateLimited),
        (503, "ServiceUnavailableException", ProviderUnavailable),
    ],
)
async def test_an_error_of_bedrock_is_ours_and_nothing_is_sent_twice(
    wire: Wire, status: int, kind: str, error: type[ModelError]
) -> None:
    """An error of Bedrock is one of ours, without the key; boto3 sends nothing again by itself."""
    wire.answer = answers({"message": "no"}, status=status, headers={"x-amzn-errortype": kind})
    with pytest.raises(error) as caught:
        await wire.ask("bedrock", NOVA, key="")
    assert len(wire.bodies) == 1
    assert KEY not in str(caught.value)


@pytest.mark.usefixtures("aws")
async def test_an_error_in_the_stream_of_bedrock_is_ours(wire: Wire) -> None:
    """What goes wrong when the answer has begun is told by a frame of its own."""
    wire.answer = frames(framed("throttlingException", {"message": "slowly"}, message="exception"))
    with pytest.raises(RateLimited):
        await wire.ask("bedrock", NOVA, key="", is_streamed=True)
    assert len(wire.bodies) == 1


@pytest.mark.usefixtures("aws")
async def test_bedrock_without_credentials(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is neither a key nor anything that boto3 finds, the error says what to set."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ProviderAuth, match="AWS_BEARER_TOKEN_BEDROCK"):
        await wire.ask("bedrock", NOVA, key="")
    assert wire.bodies == []


@pytest.mark.usefixtures("aws")
async def test_bedrock_without_a_region(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no region is set, the error says how to set one."""
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    registry = ModelRegistry({"bedrock": ProviderSettings(base_url=wire.url, api_key=KEY)})
    with pytest.raises(ConfigError, match="AWS_DEFAULT_REGION"):
        await asyncio.to_thread(registry.resolve, f"bedrock:{NOVA}")
    await registry.close()


@pytest.mark.usefixtures("aws")
async def test_a_call_of_bedrock_holds_up_nobody(wire: Wire) -> None:
    """While boto3 waits for an answer the event loop goes on, and a call that is cancelled ends at once."""
    released = asyncio.Event()

    async def late(request: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.json_response(CONVERSED)

    wire.answer = late
    asked = asyncio.ensure_future(wire.ask("bedrock", NOVA, key=""))
    async with asyncio.timeout(30):
        while not wire.bodies:  # noqa: ASYNC110 - the server, on the same loop, tells nobody
            await asyncio.sleep(0.002)
    asked.cancel()
    await asyncio.wait([asked])
    assert asked.cancelled()
    # Its thread, which was given up, waits for this.
    released.set()

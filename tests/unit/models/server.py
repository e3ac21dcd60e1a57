"""A provider on loopback that answers as told."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from runwright.models import OpenAIModel, Provider, ProviderSettings, ProviderSpec

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
KEY = "sk-secret-0123456789"
SPEC = ProviderSpec(name="acme", key_env="ACME_API_KEY")


class FakeProvider:
    """Keeps the bodies and headers that it got; `left` is set when a client goes away in mid-answer."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, object]] = []
        self.headers: list[dict[str, str]] = []
        self.peers: set[object] = set()
        self.entered = asyncio.Event()
        self.left = asyncio.Event()
        self.handler: Handler = json_answer({})
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note the request and answer."""
        self.bodies.append(msgspec.json.decode(await request.read()))
        self.headers.append(dict(request.headers))
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        self.entered.set()
        try:
            return await self.handler(request)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    @asynccontextmanager
    async def model(self, spec: ProviderSpec = SPEC) -> AsyncGenerator[OpenAIModel, None]:
        """A model whose provider is this one."""
        provider = Provider(spec, ProviderSettings(base_url=self.url, api_key=KEY))
        try:
            yield OpenAIModel(provider, "test-1")
        finally:
            await provider.close()


@asynccontextmanager
async def fake_provider() -> AsyncGenerator[FakeProvider, None]:
    """A running provider."""
    fake = FakeProvider()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", fake.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield fake
    finally:
        await runner.cleanup()


def json_answer(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    """Answers with JSON, or with the bytes as they are."""

    async def handle(request: web.Request) -> web.StreamResponse:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return web.Response(body=data, status=status, headers=headers, content_type="application/json")

    return handle


def stream_answer(*pieces: bytes, then: str = "end") -> Handler:
    """Streams pieces, then ends, cuts the connection or hangs."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if then == "hang":
            await asyncio.Event().wait()
        if then == "cut":
            assert request.transport is not None
            request.transport.abort()
        return response

    return handle


def frame(data: object) -> bytes:
    """A frame of a stream."""
    return b"data: " + (data if isinstance(data, bytes) else msgspec.json.encode(data)) + b"\n\n"


def chunk(finish_reason: str | None = None, **delta: object) -> bytes:
    """A chunk of a streamed answer."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return frame({"id": "chatcmpl-1", "model": "test-1-2026", "choices": [choice]})


DONE = frame(b"[DONE]")
USAGE = frame(
    {
        "id": "chatcmpl-1",
        "choices": [],
        "usage": {
            "prompt_tokens": 20,
            "completion_tokens": 7,
            "total_tokens": 27,
            "prompt_tokens_details": {"cached_tokens": 16},
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
    }
)

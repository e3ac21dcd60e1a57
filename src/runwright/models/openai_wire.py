"""Models behind the OpenAI wire: chat completions over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import msgspec

from runwright.core.http import retry_after_s
from runwright.core.model import ModelEvent, ModelRequest, QuotaSeen, ResponseCompleted
from runwright.errors import (
    ConfigError,
    MalformedResponse,
    ModelError,
    ProviderAuth,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from runwright.models.providers import ProviderSettings, ProviderSpec
from runwright.models.quota import quota_of
from runwright.models.sse import SseReader
from runwright.models.wire_body import encode_body
from runwright.models.wire_errors import (
    error_class,
    frame_error_class,
    provider_message,
    sentence,
)
from runwright.models.wire_read import Assembler, WireAnswer, read_answer, read_head

CONNECTIONS = 1000
DRAIN_S = 0.05
JSON_HEADERS = {"Content-Type": "application/json"}


class Provider:
    """A place where model calls go, with one pool of connections. Belongs to the registry that made it."""

    def __init__(self, spec: ProviderSpec, settings: ProviderSettings) -> None:
        base_url = (settings.base_url or spec.base_url).rstrip("/")
        if not base_url:
            hint = f" ({spec.base_url_env})" if spec.base_url_env else ""
            raise ConfigError(f"the provider {spec.name!r} needs a base URL{hint}")
        self.spec = spec
        self.base_url = base_url
        self.url = f"{base_url}/chat/completions"
        self._api_key = settings.api_key
        self._headers = {**JSON_HEADERS, **settings.headers}
        if settings.api_key:
            self._headers.setdefault("Authorization", f"Bearer {settings.api_key}")
        self._client: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        """The provider's name."""
        return self.spec.name

    def model(self, name: str) -> OpenAIModel:
        """A model of this provider."""
        return OpenAIModel(self, name)

    def client(self) -> aiohttp.ClientSession:
        """The pooled client, made on first use inside the running loop."""
        if self._client is None:
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=60),
                headers=self._headers,
                # How long an answer may take is the guard's to decide.
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=True,
            )
        return self._client

    async def close(self) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def clean(self, message: str) -> str:
        """The message without the key, should a provider repeat it."""
        return message.replace(self._api_key, "***") if self._api_key else message

    async def refuse(self, answer: aiohttp.ClientResponse) -> ModelError:
        """The error that an answer with another status than 200 stands for."""
        said = self.clean(provider_message(await answer.read())) or answer.reason or "no reason given"
        kind = error_class(answer.status)
        text = f"{self.name} answered {answer.status}: {said}"
        if kind is ProviderAuth and self.spec.key_env:
            text += f" (check the environment variable {self.spec.key_env})"
        error = kind(text, retry_after_s=retry_after_s(answer.headers))
        error.quota = quota_of(answer.headers)
        # What stands between may have given up on an answer that is still being written and paid for.
        error.is_unused = answer.status not in (408, 502, 504)
        return error


class OpenAIModel:
    """A model at a provider that speaks the OpenAI wire. Never retries: that is the guard's part."""

    def __init__(self, provider: Provider, name: str) -> None:
        self.provider = provider
        self.name = name

    @property
    def ref(self) -> str:
        """The reference, for example `openai:gpt-5-mini`."""
        return f"{self.provider.name}:{self.name}"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask. Raises ModelError; a stream that ends before the answer does is ProviderUnavailable."""
        parts = Assembler()
        body = encode_body(request, self.provider.spec, self.name)
        async with self._asked(body, connect_s=request.connect_s) as answer:
            if (quota := quota_of(answer.headers)) is not None:
                yield QuotaSeen(quota)
            if not request.is_streamed or answer.content_type == "application/json":
                parts.add(self._read(await answer.read(), parts))
            frames = SseReader()
            while payloads := await self._next(answer.content, frames, parts):
                for event in self._take(payloads, parts):
                    yield event
        self._check_whole(parts, is_streamed=request.is_streamed)
        yield ResponseCompleted(parts.response(self.provider.name, self.name, request.messages))

    @asynccontextmanager
    async def _asked(self, body: bytes, *, connect_s: float | None) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """The answer. Leaving before its end closes the connection, which aborts the call at the provider."""
        provider = self.provider
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s)
        try:
            client = provider.client()
            async with client.post(provider.url, data=body, allow_redirects=False, timeout=timeout) as answer:
                if answer.status != 200:
                    raise await provider.refuse(answer)
                yield answer
        except TimeoutError as error:
            raise ProviderTimeout(f"{provider.name} did not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._broken(error) from error

    async def _next(self, content: aiohttp.StreamReader, frames: SseReader, parts: Assembler) -> list[bytes]:
        """The frames of the next reads that hold any; none at the end of the stream."""
        try:
            if parts.is_done:
                return await _drained(content)
            while not content.at_eof():
                if payloads := frames.feed(await content.readany()):
                    return payloads
            return frames.end()
        except ValueError as error:
            raise self._unreadable(error) from error
        except aiohttp.ClientError:
            if not parts.is_done and parts.finish_reason is None:
                raise
            return []  # whole all the same: only the usage is missing

    def _take(self, payloads: list[bytes], parts: Assembler) -> Iterator[ModelEvent]:
        for payload in payloads:
            if payload == b"[DONE]":
                parts.is_done = True
            else:
                yield from parts.add(self._read(payload, parts))

    def _check_whole(self, parts: Assembler, *, is_streamed: bool) -> None:
        if parts.is_done or parts.finish_reason is not None:
            return
        if is_streamed:
            raise ProviderUnavailable(f"{self.provider.name} ended the stream before the answer")
        raise MalformedResponse(f"{self.provider.name} sent an answer that says nothing")

    def _read(self, payload: bytes, parts: Assembler) -> WireAnswer:
        try:
            answer = read_answer(payload)
            if not parts.model and answer.error is None:
                head = read_head(payload)
                parts.id, parts.model = head.id or "", head.model or self.name
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._unreadable(error) from error
        if answer.error is not None:
            said = self.provider.clean(sentence(answer.error))
            raise frame_error_class(answer.error)(f"{self.provider.name} failed while answering: {said}")
        return answer

    def _unreadable(self, error: Exception) -> MalformedResponse:
        return MalformedResponse(f"{self.provider.name} sent an answer that cannot be read: {error}")

    def _broken(self, error: Exception) -> ModelError:
        provider = self.provider
        if isinstance(error, aiohttp.InvalidURL):
            return ProviderRejected(f"the base URL {provider.base_url!r} of {provider.name} is no URL")
        if isinstance(error, aiohttp.ClientConnectorError):
            away = ProviderUnavailable(f"{provider.name} cannot be reached at {provider.base_url}: {error.os_error}")
            away.is_unused = True
            return away
        detail = provider.clean(str(error)) or type(error).__name__
        return ProviderUnavailable(f"the connection to {provider.name} broke: {detail}")


async def _drained(content: aiohttp.StreamReader) -> list[bytes]:
    """Read to the end, which usually is there already, so that the connection can be used again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while not content.at_eof():
                await content.readany()
    return []

"""Providers on wires of their own, through the classes of Pydantic AI (an extra each)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any, Final, NamedTuple, Protocol

from pydantic_ai import exceptions
from pydantic_ai import messages as theirs
from pydantic_ai.models import Model as TheirModel
from pydantic_ai.models import ModelRequestParameters, infer_model
from pydantic_ai.providers import Provider, infer_provider_class
from pydantic_ai.settings import ModelSettings

from runwright.core.model import (
    ModelEvent,
    ModelRequest,
    ReasoningDelta,
    ResponseCompleted,
    TextDelta,
    ToolCallDelta,
)
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
from runwright.models.pydantic_ai import aws
from runwright.models.pydantic_ai.messages import our_response, their_messages, their_parameters, their_settings
from runwright.models.wire_errors import error_class, provider_message, sentence

NO_KEY: Final = "none"
"""What is sent as a key to a base URL of one's own, which may need none: their classes insist on one."""


class AsyncClient(Protocol):
    """A client of HTTP."""

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class PydanticAIProvider:
    """A place where model calls go through a provider class of Pydantic AI. Belongs to the registry that made it."""

    def __init__(self, spec: ProviderSpec, settings: ProviderSettings) -> None:
        self.spec = spec
        self.api_key = settings.api_key
        try:
            self._provider, self._client, self.stray = _made(spec, settings)
        except (exceptions.UserError, ValueError) as error:
            raise ConfigError(f"the provider {spec.name!r} cannot be used: {error}") from error
        self._open: AsyncExitStack | None = None

    def model(self, name: str) -> PydanticAIModel:
        """A model of this provider."""
        return PydanticAIModel(self, infer_model(f"{self.spec.name}:{name}", lambda _: self._provider), name)

    async def open(self) -> None:
        """Take its client into use, for this event loop."""
        if self._open is None:
            self._open = AsyncExitStack()
            await self._open.enter_async_context(self._provider)
            if self._client is not None:
                self._open.push_async_callback(self._client.aclose)

    async def close(self) -> None:
        """Close all connections."""
        held, self._open = self._open, None
        if held is not None:
            await held.aclose()


class PydanticAIModel:
    """A model at such a provider. Never retries: that is the guard's part."""

    def __init__(self, provider: PydanticAIProvider, model: TheirModel, name: str) -> None:
        self._provider = provider
        self._model = model
        self.ref = f"{provider.spec.name}:{name}"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask. Raises ModelError."""
        spec = self._provider.spec
        await self._provider.open()
        asked = TheirRequest(
            their_messages(entry.message for entry in request.messages),
            once(self._model, their_settings(request)),
            their_parameters(request, self._model.profile),
        )
        try:
            async for event in perform(self._model, asked, is_streamed=request.is_streamed):
                if isinstance(event, theirs.ModelResponse):
                    yield ResponseCompleted(our_response(event, provider=spec.name, model=request.model))
                else:
                    yield event
        except exceptions.AgentRunError as error:
            raise our_error(error, spec.name, clean=self._clean, key_env=spec.key_env) from error
        except self._provider.stray as error:
            raise ProviderAuth(f"{spec.name}: {self._clean(str(error))} (or set {spec.key_env})") from error

    def _clean(self, message: str) -> str:
        key = self._provider.api_key
        return message.replace(key, "***") if key else message


class TheirRequest(NamedTuple):
    """One of their requests."""

    messages: list[theirs.ModelMessage]
    settings: ModelSettings | None
    parameters: ModelRequestParameters


def once(model: TheirModel, settings: ModelSettings | None) -> ModelSettings:
    """Settings with which a client sends nothing again by itself: the guard owns retries."""
    # What has no such setting is told when its client is made.
    is_told = "max_retries" not in model.unsupported_settings
    return {**(settings or {}), "max_retries": 0} if is_told else {**(settings or {})}


async def perform(
    model: TheirModel, request: TheirRequest, *, is_streamed: bool
) -> AsyncGenerator[ModelEvent | theirs.ModelResponse, None]:
    """Send one of their requests: deltas as ours, then the whole answer as theirs."""
    if not is_streamed:
        yield await model.request(*request)
        return
    calls: dict[int, int] = {}
    async with model.request_stream(*request) as stream:
        async for event in stream:
            delta = _delta(event, calls)
            if delta is not None:
                yield delta
        yield stream.get()


def _delta(event: theirs.ModelResponseStreamEvent, calls: dict[int, int]) -> ModelEvent | None:
    """An event of their stream as ours; `calls` numbers tool calls by the index of their part."""
    if isinstance(event, theirs.PartStartEvent):
        if isinstance(event.part, theirs.ToolCallPart):
            calls[event.index] = len(calls)
        return _begun(event.part, calls.get(event.index, 0))
    return _added(event.delta, calls.get(event.index, 0)) if isinstance(event, theirs.PartDeltaEvent) else None


def _begun(part: theirs.ModelResponsePart, index: int) -> ModelEvent | None:
    if isinstance(part, theirs.TextPart):
        return TextDelta(part.content) if part.content else None
    if isinstance(part, theirs.ThinkingPart):
        return ReasoningDelta(part.content) if part.content else None
    if isinstance(part, theirs.ToolCallPart):
        # A piece of JSON text is none that can be read yet.
        arguments = part.args if isinstance(part.args, str) else part.args_as_json_str() if part.args else ""
        return ToolCallDelta(index, part.tool_call_id, part.tool_name, arguments)
    return None


def _added(delta: theirs.ModelResponsePartDelta, index: int) -> ModelEvent | None:
    if isinstance(delta, theirs.TextPartDelta):
        return TextDelta(delta.content_delta) if delta.content_delta else None
    if isinstance(delta, theirs.ThinkingPartDelta):
        return ReasoningDelta(delta.content_delta) if delta.content_delta else None
    if isinstance(delta, theirs.ToolCallPartDelta) and isinstance(delta.args_delta, str):
        return ToolCallDelta(index, arguments=delta.args_delta)
    return None


def our_error(
    error: exceptions.AgentRunError, provider: str, *, clean: Callable[[str], str] = str, key_env: str = ""
) -> ModelError:
    """An error of theirs as ours: what it means for a retry, and how long the provider asks to be left alone."""
    if isinstance(error, exceptions.ModelHTTPError):
        kind = error_class(error.status_code)
        text = f"{provider} answered {error.status_code}: {clean(_said(error)) or 'no reason given'}"
        hint = f" (check the environment variable {key_env})" if error.status_code in (401, 403) and key_env else ""
        found = kind(text + hint, retry_after_s=error.retry_after)
        found.is_unused = error.status_code not in (408, 502, 504) and not error.in_stream
        return found
    text = f"{provider}: {clean(error.message)}"
    if isinstance(error, exceptions.ModelTimeoutError):
        return ProviderTimeout(text)
    if isinstance(error, exceptions.ModelRequestRejectedError):
        return ProviderRejected(text)
    if isinstance(error, exceptions.UnexpectedModelBehavior):
        return MalformedResponse(text)
    return ProviderUnavailable(text, retry_after_s=getattr(error, "retry_after", None))


def _said(error: exceptions.ModelHTTPError) -> str:
    body = error.body
    return provider_message(body) if isinstance(body, bytes) else sentence(body)


class _Made(NamedTuple):
    """A provider of theirs, the client that it does not close by itself, and errors that its class lets through."""

    provider: Provider[Any]
    client: AsyncClient | None = None
    stray: tuple[type[Exception], ...] = ()


def _made(spec: ProviderSpec, settings: ProviderSettings) -> _Made:
    """A provider of theirs. Raises ValueError."""
    key = settings.api_key or NO_KEY
    made: Any = infer_provider_class(spec.name)
    if spec.name == "bedrock":
        client = aws.client(settings)
        return _Made(made(bedrock_client=client), aws.Closing(client), aws.errors())
    if spec.name != "cohere":
        return _Made(made(api_key=key, **({"base_url": settings.base_url} if settings.base_url else {})))
    # This class takes a base URL from the environment alone.
    http: AsyncClient = import_module("httpx").AsyncClient(timeout=None)
    client = import_module("cohere").AsyncClientV2(api_key=key, base_url=settings.base_url or None, httpx_client=http)
    return _Made(made(cohere_client=client), http)

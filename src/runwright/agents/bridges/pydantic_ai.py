"""An agent of Pydantic AI as a code flow: its model requests and tool calls are steps of the run."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple, cast, get_args

import msgspec
from pydantic import TypeAdapter
from pydantic_ai import exceptions
from pydantic_ai import messages as theirs
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability, ReinjectSystemPrompt
from pydantic_ai.capabilities.abstract import ValidatedToolArgs, WrapToolExecuteHandler
from pydantic_ai.models import CompletedStreamedResponse, ModelRequestContext, ModelRequestParameters, StreamedResponse
from pydantic_ai.models import Model as TheirModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, RunContext, ToolApproved, ToolDefinition

from runwright.agents.bridges.templates import Served
from runwright.agents.input import INPUT_SCHEMA, read_messages
from runwright.core.agent import Approval, CodeFlow
from runwright.core.context import Context
from runwright.core.message import AssistantMessage, Message, ToolMessage, UserMessage
from runwright.core.model import ModelEvent, ModelRequest, ResponseCompleted, ToolSpec
from runwright.core.ports import Model
from runwright.core.step import Effect
from runwright.errors import ConfigError, Denied
from runwright.models.pydantic_ai.messages import (
    original_of,
    our_messages,
    our_options,
    our_response,
    their_content,
    their_messages,
    their_response,
)
from runwright.models.pydantic_ai.model import TheirRequest, once, our_error, perform
from runwright.tools.result import encode

PROVIDERS: Mapping[str, str] = {"google-gla": "google", "google-vertex": "google", "google-cloud": "google"}
"""Systems of theirs by the names of our providers, so that prices and policies are found."""

PROCESSED = "Done."
"""What a tool call is answered with that ended the run before: an output is a tool call with them."""

_outcome: TypeAdapter[Any] = TypeAdapter(theirs.ToolReturn | theirs.ToolReturnContent)


def flow_of(served: Served) -> CodeFlow:
    """The code flow of an agent of theirs. Raises ConfigError."""
    agent = served.value
    if not isinstance(agent, AbstractAgent):
        raise ConfigError(f"this is no agent of Pydantic AI but {agent!r}")
    found = cast("AbstractAgent[Any, Any]", agent)
    return CodeFlow(
        function=partial(_run, served),
        model=served.model,
        is_conversation=True,
        limits=served.limits,
        approvals=served.approvals,
        read_input=read_messages,
        write_output=encode,
        input_schema=INPUT_SCHEMA,
        output_schema=found.output_json_schema(),
    )


async def _run(served: Served, context: Context, messages: object) -> object:
    agent = cast("AbstractAgent[Any, Any]", served.value)
    said = (*context.history, *cast("tuple[Message, ...]", messages))
    last = said[-1] if isinstance(said[-1], UserMessage) else None
    before = their_messages(_answered(said if last is None else said[:-1]))
    capabilities: list[AbstractCapability[Any]] = [Recording(context, served)]
    if before:
        # What the system says is never part of a stored conversation.
        capabilities.append(ReinjectSystemPrompt())
    is_ours = served.model is not None or agent.model is None
    result = await agent.run(
        None if last is None else their_content(last.content),
        message_history=before or None,
        model=OurModel(served.model) if is_ours else None,
        deps=await _deps(served.deps, context),
        run_id=context.run_id,
        infer_name=False,
        capabilities=capabilities,
    )
    return result.output


async def _deps(deps: object, context: Context) -> Any:  # noqa: ANN401 - an agent's dependencies are its own
    given = deps(context) if callable(deps) else deps
    return await given if inspect.isawaitable(given) else given


def _answered(messages: Sequence[Message]) -> list[Message]:
    """A conversation in which each tool call has its answer."""
    found: list[Message] = []
    open_calls: dict[str, None] = {}
    for message in messages:
        if isinstance(message, ToolMessage):
            open_calls.pop(message.tool_call_id, None)
        else:
            found += [ToolMessage(tool_call_id=call, content=PROCESSED) for call in open_calls]
            open_calls = {}
        if isinstance(message, AssistantMessage):
            open_calls = {call.id: None for call in message.tool_calls}
        found.append(message)
    return [*found, *(ToolMessage(tool_call_id=call, content=PROCESSED) for call in open_calls)]


class Recording(AbstractCapability[Any]):
    """Makes each model request and each tool call of one run a step."""

    def __init__(self, context: Context, served: Served) -> None:
        self._context = context
        self._served = served
        self._lanes: dict[str, str] = {}

    def get_wrapper_model(self, model: TheirModel) -> TheirModel | None:
        """A model that asks through the run; one of ours does that by itself."""
        return RecordedModel(model, self._context)

    async def after_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, response: theirs.ModelResponse
    ) -> theirs.ModelResponse:
        """Give calls side by side a lane each."""
        calls = [part.tool_call_id for part in response.parts if isinstance(part, theirs.ToolCallPart)]
        self._lanes = {call: str(index) for index, call in enumerate(calls)} if len(calls) > 1 else {}
        return response

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: theirs.ToolCallPart,
        tool_def: ToolDefinition,
        args: ValidatedToolArgs,
        handler: WrapToolExecuteHandler,
    ) -> Any:  # noqa: ANN401 - a tool gives anything
        """Call a tool as a step."""
        lane = self._lanes.get(call.tool_call_id)
        context = self._context if lane is None else self._context.lane(lane)
        effect = self._served.effects.get(tool_def.name) or _effect(tool_def)
        asked = call.args_as_dict()
        tool = BridgedTool(tool_def, effect, Use(handler, args, asked))
        try:
            told = await context.tool(tool, **asked)
        except Denied as error:
            raise exceptions.ToolFailed(error.message) from error
        match told:
            case {"$retry": message}:
                raise exceptions.ModelRetry(message)
            case {"$failed": message}:
                raise exceptions.ToolFailed(message)
            case _:
                return _outcome.validate_python(told)

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        """Take calls that need an approval for approved: their steps are held until a person allows them."""
        approvals = {call.tool_call_id: ToolApproved() for call in requests.approvals}
        return DeferredToolResults(approvals={**approvals}) if approvals else None


def _effect(tool: ToolDefinition) -> Effect:
    told: object = (tool.metadata or {}).get("effect")
    return cast("Effect", told) if told in get_args(Effect) else "once"


class Use(NamedTuple):
    """How a tool is called: by the framework, with the arguments that it made of what the model asked."""

    handler: WrapToolExecuteHandler
    validated: ValidatedToolArgs
    asked: dict[str, Any]


class BridgedTool:
    """One call of a tool of theirs, as a tool of ours."""

    def __init__(self, tool: ToolDefinition, effect: Effect, use: Use) -> None:
        description = tool.description or ""
        self.spec = ToolSpec(name=tool.name, description=description, parameters=tool.parameters_json_schema)
        self.effect: Effect = effect
        self.timeout_s: float | None = None
        self.fingerprint = tool.name
        self.approval = Approval() if tool.kind == "unapproved" else None
        self._use = use

    def check(self, arguments: str) -> Mapping[str, object]:
        """Arguments as they were validated by the framework already."""
        return msgspec.json.decode(arguments, type=dict[str, object])

    async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
        """Have the framework call its tool. What it tells the model is a result, also where that is to try again.

        A result stands for itself, as one that a person gives for a call of unknown outcome.
        """
        given = self._use.validated if arguments == self._use.asked else dict(arguments)
        try:
            told = _outcome.dump_python(await self._use.handler(given), mode="json")
        except exceptions.ToolFailed as error:
            told = {"$failed": error.message}
        except (exceptions.ModelRetry, exceptions.ToolRetryError, exceptions.UnexpectedModelBehavior) as error:
            retry = _retry(error)
            if retry is None:
                raise
            told = {"$retry": retry}
        return msgspec.json.encode(told)


def _retry(error: BaseException) -> str | None:
    """What the model is to do otherwise, where a tool asked for that; past its last try too."""
    if isinstance(error, exceptions.ModelRetry):
        return error.message
    cause = error.__cause__
    if isinstance(error, exceptions.ToolRetryError) and cause is None:
        content = error.tool_retry.content
        return content if isinstance(content, str) else str(error)
    return None if cause is None else _retry(cause)


class RecordedModel(WrapperModel):
    """A model of theirs that is asked as a step of a run."""

    def __init__(self, wrapped: TheirModel, context: Context) -> None:
        super().__init__(wrapped)
        self._context = context

    async def request(
        self,
        messages: list[theirs.ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> theirs.ModelResponse:
        """Ask as a step. A model of ours is asked by its reference, one of theirs performs the request itself."""
        settings, parameters = self.wrapped.prepare_request(model_settings, model_request_parameters)
        own: Model | str | None
        if isinstance(self.wrapped, OurModel):
            own = self.wrapped.ref
        else:
            alone = once(self.wrapped, model_settings)
            own = TheirOwn(self.wrapped, TheirRequest(messages, alone, model_request_parameters))
        told = "\n\n".join(part.content for part in parameters.instruction_parts or ())
        asked = our_messages(messages, told)
        answer = await self._context.model(asked, model=own, options=our_options(settings, parameters))
        return their_response(answer)

    @asynccontextmanager
    async def request_stream(self, *given: Any, **_: Any) -> AsyncGenerator[StreamedResponse]:  # noqa: ANN401 - as in the base class
        """The whole answer as a stream: its pieces are events of the run as they come."""
        messages, model_settings, model_request_parameters, *_run = given
        response = await self.request(messages, model_settings, model_request_parameters)
        yield CompletedStreamedResponse(response, model_request_parameters=model_request_parameters, replay_events=True)


class TheirOwn:
    """One request to a model of theirs, which its own class performs."""

    def __init__(self, model: TheirModel, request: TheirRequest) -> None:
        self._model = model
        self._request = request
        self._provider = PROVIDERS.get(model.system, model.system)
        self.ref = f"{self._provider}:{model.model_name}"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask. Raises ModelError."""
        try:
            async for event in perform(self._model, self._request, is_streamed=request.is_streamed):
                if isinstance(event, theirs.ModelResponse):
                    answer = our_response(event, provider=self._provider, model=self._model.model_name)
                    yield ResponseCompleted(msgspec.structs.replace(answer, original=original_of(event)))
                else:
                    yield event
        except exceptions.AgentRunError as error:
            raise our_error(error, self._provider) from error


class OurModel(TheirModel):
    """A model of ours for an agent of theirs. `ref` is its reference; None stands for the default."""

    def __init__(self, ref: str | None) -> None:
        super().__init__()
        self.ref = ref

    @property
    def model_name(self) -> str:
        """Its reference."""
        return self.ref or "default"

    @property
    def system(self) -> str:
        """Who has it."""
        return "runwright"

    async def request(
        self,
        messages: list[theirs.ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> theirs.ModelResponse:
        """Never asked: what wraps it asks as a step."""
        raise exceptions.UserError("A model of Runwright is asked within a run.")

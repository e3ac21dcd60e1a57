"""A chat model and tools for LangChain whose calls are steps of the run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, cast, get_args

import msgspec
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.messages import ToolCall as TheirToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool, ToolException
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command
from pydantic import BaseModel

from runwright.agents.bridges.graph_run import within_run
from runwright.agents.bridges.langchain_messages import TheirOwn, our_messages, our_options, their_answer
from runwright.core.context import Context
from runwright.core.model import ToolSpec
from runwright.core.ports import Model
from runwright.core.step import Effect
from runwright.core.values import is_object
from runwright.errors import Denied, ToolFailed
from runwright.tools.result import encode


class StepModel(BaseChatModel):
    """A chat model whose calls are steps of the run.

    `ref` is a model of Runwright's; None takes the agent's. With `asks`, a chat model of LangChain performs the
    requests itself, and `ref` names it in policies and prices.
    """

    ref: str | None = None
    asks: BaseChatModel | None = None

    @property
    def _llm_type(self) -> str:
        return "runwright"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ANN401 - as in the base class
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Have it choose from tools; a `tool_choice` of `any` has it call one."""
        shown = [convert_to_openai_tool(each) for each in tools]
        return self.bind(tools=shown, tool_choice=tool_choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        *_: object,
        **kwargs: Any,  # noqa: ANN401 - as in the base class
    ) -> ChatResult:
        return within_run(self).in_thread(self._agenerate(messages, stop, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        *_: object,
        **kwargs: Any,  # noqa: ANN401 - as in the base class
    ) -> ChatResult:
        # Callbacks are told by the base class.
        kwargs.pop("run_manager", None)
        own: Model | str | None = self.ref
        if self.asks is not None:
            given = {**kwargs, "stop": stop} if stop else kwargs
            own = TheirOwn(self.ref or f"langchain:{type(self.asks).__name__}", self.asks, messages, given=given)
        answer = await within_run(self).model(our_messages(messages), own, our_options(kwargs, stop))
        return ChatResult(generations=[ChatGeneration(message=their_answer(answer))])


class StepTool(BaseTool):
    """A tool of LangChain whose calls are steps of the run. `as_step` makes one."""

    inner: BaseTool
    effect: Effect | None = None

    @cached_property
    def spec(self) -> ToolSpec:
        """What a model is shown of it."""
        function = convert_to_openai_tool(self.inner)["function"]
        return ToolSpec(name=self.name, description=self.description, parameters=function.get("parameters", {}))

    async def ainvoke(
        self,
        input: str | dict[str, Any] | TheirToolCall,
        config: RunnableConfig | None = None,
        **kwargs: Any,  # noqa: ANN401 - as in the base class
    ) -> Any:  # noqa: ANN401 - a tool gives anything
        """Call the tool as a step."""
        call = cast("dict[str, Any]", input) if isinstance(input, dict) and input.get("type") == "tool_call" else None
        given = self._named(input) if call is None else cast("dict[str, Any]", call["args"])

        async def use(arguments: Mapping[str, object]) -> object:
            sent: dict[str, Any] = {**given, **arguments}
            return await self.inner.ainvoke(sent if call is None else {**call, "args": sent}, config, **kwargs)

        run = within_run(self)
        tool = BridgedTool(self.spec, self.effect or _effect(self.inner, run.effects), use)
        try:
            came = await run.tool(tool, self._asked(given))
        except Denied as error:
            if call is None:
                raise ToolException(error.message) from error
            return ToolMessage(error.message, status="error", tool_call_id=call["id"], name=self.name)
        return _their_result(came, call)

    def invoke(
        self,
        input: str | dict[str, Any] | TheirToolCall,
        config: RunnableConfig | None = None,
        **kwargs: Any,  # noqa: ANN401 - as in the base class
    ) -> Any:  # noqa: ANN401 - a tool gives anything
        """Call the tool as a step, in a node that is a plain function."""
        return within_run(self).in_thread(self.ainvoke(input, config, **kwargs))

    def _run(self, **given: Any) -> Any:  # noqa: ANN401 - a tool gives anything
        return self.invoke(given)

    def _named(self, given: str | dict[str, Any] | TheirToolCall) -> dict[str, Any]:
        if isinstance(given, str):
            return dict.fromkeys([*self._fields][:1], given)
        return cast("dict[str, Any]", given)

    @property
    def _fields(self) -> Mapping[str, object]:
        return cast("Mapping[str, object]", self.spec.parameters.get("properties", {}))

    def _asked(self, given: Mapping[str, object]) -> dict[str, object]:
        """What the model asked, without what a graph injects. Raises pydantic.ValidationError, which it is told."""
        asked = {name: value for name, value in given.items() if name in self._fields}
        shown: object = self.inner.tool_call_schema
        if isinstance(shown, type) and issubclass(shown, BaseModel) and not self.inner.handle_validation_error:
            shown.model_validate(asked)
        return asked


def _effect(tool: BaseTool, effects: Mapping[str, Effect]) -> Effect:
    """What a tool does, as the definition says, or else the tool itself."""
    said: object = (tool.metadata or {}).get("effect")
    return effects.get(tool.name) or (cast("Effect", said) if said in get_args(Effect) else "once")


def as_step(tool: BaseTool, *, effect: Effect | None = None) -> BaseTool:
    """A tool whose calls are steps of the run.

    `effect` is what it does: `read`, `idempotent` or `once`. Without it that is what the definition says, or the
    tool's own `metadata`, or `once`.
    """
    if isinstance(tool, StepTool):
        raise TypeError(f"the tool {tool.name!r} is one whose calls are steps already")
    same = ("name", "description", "args_schema", "return_direct", "response_format", "metadata", "tags", "extras")
    return StepTool(inner=tool, effect=effect, **{name: getattr(tool, name) for name in same})


class BridgedTool:
    """One call of a tool of theirs, as a tool of ours."""

    def __init__(
        self, spec: ToolSpec, effect: Effect, use: Callable[[Mapping[str, object]], Awaitable[object]]
    ) -> None:
        self.spec = spec
        self.effect: Effect = effect
        self.timeout_s: float | None = None
        self.fingerprint = spec.name
        self._use = use

    def check(self, arguments: str) -> Mapping[str, object]:
        """Arguments as they were validated already."""
        return msgspec.json.decode(arguments, type=dict[str, object])

    async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
        """Have LangChain call its tool. A result stands for itself, as one that a person gives for an unknown one."""
        try:
            return _told(await self._use(arguments))
        except ToolException as error:
            return msgspec.json.encode({"$failed": str(error)})
        except GraphBubbleUp as error:
            told = "a tool that is a step cannot interrupt the graph: name it in `approvals`, or interrupt in a node"
            raise ToolFailed(f"{self.spec.name!r}: {told}") from error


def _told(result: object) -> bytes:
    """A result as JSON text. Raises TypeError."""
    if isinstance(result, Command):
        raise TypeError("a tool that gives a Command only changes the graph: leave it without `as_step`")
    if not isinstance(result, ToolMessage):
        return encode(result)
    if isinstance(result.content, str) and result.artifact is None and result.status == "success":
        return encode(result.content)
    told = {"content": result.content, "artifact": result.artifact, "status": result.status}
    return encode({"$message": told})


def _their_result(came: object, call: Mapping[str, Any] | None) -> object:
    """A recorded result as the tool gave it: a message where a model called it."""
    if is_object(came) and "$failed" in came:
        raise ToolException(came["$failed"])
    if call is None:
        return came
    if is_object(came) and "$message" in came:
        said = cast("dict[str, Any]", came["$message"])
    else:
        said = {"content": came if isinstance(came, str) else msgspec.json.encode(came).decode()}
    return ToolMessage(**said, tool_call_id=call["id"], name=call["name"])

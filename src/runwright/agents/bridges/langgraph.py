"""A graph of LangGraph as a code flow: what it asks of a `StepModel` and of tools `as_step` are steps of the run."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast, get_type_hints

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.pregel import Pregel  # pyright: ignore[reportMissingTypeStubs] - typed, but for its __init__
from langgraph.types import Command, Interrupt
from pydantic.errors import PydanticUserError

from runwright.agents.bridges.graph_run import GraphRun, current
from runwright.agents.bridges.langchain_messages import our_messages, their_messages
from runwright.agents.bridges.templates import Served
from runwright.agents.input import INPUT_SCHEMA, read_json, read_messages
from runwright.core.agent import CodeFlow
from runwright.core.context import Context
from runwright.core.message import Message
from runwright.core.parking import is_parking
from runwright.core.values import is_object
from runwright.errors import ConfigError, InvalidRequest
from runwright.tools.result import encode

Graph = Pregel[Any, Any, Any, Any]

MESSAGES = "messages"
"""The key of a graph's state that holds the conversation, as in `MessagesState`."""


def flow_of(served: Served) -> CodeFlow:
    """The code flow of a compiled graph. Raises ConfigError."""
    value = served.value
    if not isinstance(value, Pregel):
        hint = ": call its compile()" if hasattr(value, "compile") else ""
        raise ConfigError(f"this is no compiled graph of LangGraph but {value!r}{hint}")
    graph = cast("Graph", value)
    if graph.interrupt_before_nodes or graph.interrupt_after_nodes:
        raise ConfigError("the graph was compiled with breakpoints: call interrupt() in a node to ask a person")
    face = Face(graph, served.output)
    return CodeFlow(
        function=partial(_run, served, graph=_bare(graph)),
        model=served.model,
        is_conversation=face.leaves_messages,
        conversation=_conversation if face.leaves_messages else None,
        limits=served.limits,
        approvals=served.approvals,
        read_input=face.read,
        write_output=face.write,
        input_schema=face.input_schema,
        output_schema=face.output_schema,
    )


class Face:
    """What a graph takes and gives: its schemas, and whether that is a conversation."""

    def __init__(self, graph: Graph, output: str | None) -> None:
        builder: Any = getattr(graph, "builder", None)
        self._takes = _schema(graph.get_input_jsonschema, getattr(builder, "input_schema", None))
        self._gives = _schema(graph.get_output_jsonschema, getattr(builder, "output_schema", None))
        self._output = output
        names = self._gives.get("properties", {})
        if output is not None and output not in names:
            raise ConfigError(f"the graph gives no {output!r}, but {', '.join(names) or 'one value'}")
        self.has_messages = MESSAGES in self._takes.get("properties", {})
        self.leaves_messages = MESSAGES in names
        self._is_answer = output is None and list(names) == [MESSAGES]

    @property
    def input_schema(self) -> dict[str, object]:
        """What a caller sends."""
        return INPUT_SCHEMA if self.has_messages else self._takes

    @property
    def output_schema(self) -> dict[str, object]:
        """What a run gives."""
        if self._is_answer:
            return {"type": "string"}
        if self._output is None:
            return self._gives
        return {**self._gives["properties"][self._output], "$defs": self._gives.get("$defs", {})}

    def read(self, data: bytes) -> object:
        """The state of a caller's JSON input, in which messages are ours. Raises InvalidRequest."""
        value = read_json(data)
        names = self._takes.get("properties")
        is_state = is_object(value) and names is not None and value.keys() <= names.keys()
        if not self.has_messages:
            if names is not None and not is_state:
                raise InvalidRequest(f"the input is not usable: send an object with {', '.join(names)}, not {value!r}")
            return value
        if is_state and MESSAGES not in cast("dict[str, object]", value):
            return value
        rest = cast("dict[str, object]", value) if is_state else {}
        return {**rest, MESSAGES: read_messages(data)}

    def write(self, value: object) -> bytes:
        """What a run gives as JSON text: its last words, one key of its state, or all that it gives."""
        if self._is_answer:
            said = _messages(value)
            return encode(str(said[-1].text) if said else "")
        return encode(_plain(value if self._output is None else _fields(value).get(self._output)))


def _schema(make: Callable[[], dict[str, Any]], state: object) -> dict[str, Any]:
    """A JSON Schema, or one of the names alone: pydantic takes no `typing.TypedDict` before Python 3.12."""
    try:
        return make()
    except PydanticUserError:
        return {"type": "object", "properties": {name: {} for name in get_type_hints(state)}}


def _fields(value: object) -> Mapping[str, Any]:
    """What a graph gives, by names: its state may be a mapping, a pydantic model or a dataclass."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else vars(value)


def _messages(value: object) -> Sequence[BaseMessage]:
    return _fields(value).get(MESSAGES) or ()


def _plain(value: object) -> object:
    """A value in which messages are in the shape of OpenAI."""
    if isinstance(value, BaseMessage):
        (said,) = our_messages([value])
        return said
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in cast("Mapping[str, object]", value).items()}
    return [_plain(each) for each in cast("list[object]", value)] if isinstance(value, list) else value


def _conversation(value: object) -> tuple[Message, ...]:
    return our_messages(_messages(value))


async def _run(served: Served, context: Context, given: object, *, graph: Graph) -> object:
    deps = served.deps(context) if callable(served.deps) else served.deps
    deps = await deps if inspect.isawaitable(deps) else deps
    run = GraphRun(context, served.effects)
    current.set(run)
    # LangChain runs plain functions in the loop's threads, and they wait there for their steps.
    is_parking.set(True)
    try:
        return await _walk(graph, _state(given, context.history), run, deps=deps)
    finally:
        run.close()


def _state(given: object, history: Sequence[Message]) -> object:
    """The state that a graph begins with: the conversation of its thread, and what the caller sends."""
    if not isinstance(given, dict):
        return given
    state = cast("dict[str, Any]", given)
    said = (*history, *state.get(MESSAGES, ()))
    return {**state, MESSAGES: their_messages(said)} if said else state


async def _walk(graph: Graph, state: object, run: GraphRun, *, deps: object) -> object:
    """Have a graph run to its end, and ask people where it interrupts itself."""
    config: RunnableConfig = {"configurable": {"thread_id": run.context.run_id}, "callbacks": [run.lanes]}
    bare: Any = graph
    if bare.checkpointer is None:
        came = await bare.ainvoke(state, config, context=deps, version="v2")
        if not came.interrupts:
            return came.value
        run.from_start()
    # What a graph needs to go on after an interrupt costs as much as half of it: it is kept where there is one.
    kept: Any = graph.copy({"checkpointer": InMemorySaver()})
    while True:
        came = await kept.ainvoke(state, config, context=deps, durability="exit", version="v2")
        if not came.interrupts:
            return came.value
        state = Command(resume=await _asked(run.context, came.interrupts))
        run.again()


def _bare(graph: Graph) -> Graph:
    """A graph whose state is kept nowhere; one with others inside that keep theirs is left to a saver of each run."""
    inner: Any = [each for _, each in cast("Any", graph).get_subgraphs(recurse=True)]
    is_kept = any(getattr(each, "checkpointer", None) is True for each in inner)
    return graph.copy({"checkpointer": InMemorySaver() if is_kept else None})


async def _asked(context: Context, interrupts: Sequence[Interrupt[Any]]) -> Mapping[str, object]:
    """The answers of people, by interrupt."""
    contexts = [context]
    if len(interrupts) > 1:
        contexts = [context.lane(str(index)) for index, _ in enumerate(interrupts)]
    answers = await asyncio.gather(*map(_ask, contexts, interrupts))
    return {each.id: answer for each, answer in zip(interrupts, answers, strict=True)}


async def _ask(context: Context, interrupt: Interrupt[Any]) -> object:
    value, schema = interrupt.value, interrupt.response_schema
    question = value if isinstance(value, str) else encode(_plain(value)).decode()
    return await context.ask(question, schema=schema if isinstance(schema, dict) else None)

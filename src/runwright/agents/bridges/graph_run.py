"""One run of a graph: where its nodes find the steps of the run, and each its lane."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextvars import Context as ContextOfCode
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, TypeVar, cast

import msgspec
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables.config import var_child_runnable_config

from runwright.core.agent import Tool
from runwright.core.context import Context
from runwright.core.message import Message
from runwright.core.model import ModelOptions, ModelResponse
from runwright.core.ports import Model
from runwright.core.step import Effect
from runwright.errors import RunError, RunwrightError

T = TypeVar("T")

current: ContextVar[GraphRun | None] = ContextVar("runwright_graph", default=None)
"""The run that the code of a graph is in."""


def within_run(asked: object) -> GraphRun:
    """The run that a model or a tool is called in. Raises RunError."""
    run = current.get()
    if run is None:
        raise RunError(f"a {type(asked).__name__} works within a run: serve the graph as an agent, and run that")
    return run


class GraphRun:
    """The way from the nodes of a graph to the steps of the run."""

    def __init__(self, context: Context, effects: Mapping[str, Effect]) -> None:
        self.context = context
        self.effects = effects
        self.lanes = Lanes()
        self._loop = asyncio.get_running_loop()
        self._known: dict[tuple[str, bytes, int], object] = {}
        self._counts: Counter[tuple[str, bytes]] = Counter()
        self._past: dict[tuple[str, bytes, int], object] = {}
        self._passed: Counter[tuple[str, bytes]] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def from_start(self) -> None:
        """The whole graph runs once more: all that it asks for again is known, by its lanes."""
        self._passed.clear()

    def again(self) -> None:
        """Nodes that were interrupted run once more, from their start."""
        self._counts.clear()

    def close(self) -> None:
        """Stop what threads still wait for, and what they ask for after this."""
        self._is_closed = True
        for task in self._tasks:
            task.cancel()

    async def model(self, messages: Sequence[Message], own: Model | str | None, options: ModelOptions) -> ModelResponse:
        """Ask a model as a step."""
        key = msgspec.json.encode((own if own is None or isinstance(own, str) else own.ref, messages, options))
        node, context = self._here()
        act = partial(context.model, messages, model=own, options=options)
        return await self._once(act, node=node, lane=context.lane_path, key=key)

    async def tool(self, tool: Tool, asked: Mapping[str, object]) -> object:
        """Call a tool as a step."""
        key = msgspec.json.encode((tool.spec.name, asked))
        node, context = self._here()
        return await self._once(lambda: context.tool(tool, **asked), node=node, lane=context.lane_path, key=key)

    def in_thread(self, work: Coroutine[Any, Any, T]) -> T:
        """Do this on the loop and wait, in the thread of a node that is a plain function. Raises RunError elsewhere."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            done: Future[T] = Future()
            around = copy_context()
            self._loop.call_soon_threadsafe(lambda: self._begin(work, done, around))
            return done.result()
        work.close()
        raise RunError("a node that is an async function awaits what it calls: use `ainvoke` in place of `invoke`")

    def _begin(self, work: Coroutine[Any, Any, T], done: Future[T], around: ContextOfCode) -> None:
        def settle(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            work.close()
            if not done.done():
                # One that is cancelled before its first turn hands nothing over.
                done.set_exception(asyncio.CancelledError())

        task = self._loop.create_task(_hand_over(work, done), context=around)
        self._tasks.add(task)
        task.add_done_callback(settle)
        if self._is_closed:
            task.cancel()

    def _here(self) -> tuple[str, Context]:
        """The task of the graph that asks, and the context of its lane."""
        # Read as it stands: `ensure_config` would copy it with all its callbacks.
        config = var_child_runnable_config.get() or {}
        node, lane = self.lanes.find(config.get("metadata") or {})
        context = self.context
        for name in lane:
            context = context.lane(name)
        return node, context

    async def _once(self, act: Callable[[], Awaitable[T]], *, node: str, lane: str, key: bytes) -> T:
        """Do what a task of the graph asks for: not again where it, or the whole graph, runs once more."""
        self._counts[node, key] += 1
        at = (node, key, self._counts[node, key])
        if at not in self._known:
            self._passed[lane, key] += 1
            place = (lane, key, self._passed[lane, key])
            if place not in self._past:
                self._past[place] = await _outcome(act)
            self._known[at] = self._past[place]
        came = self._known[at]
        if isinstance(came, RunwrightError):
            raise came
        return cast("T", came)


async def _outcome(act: Callable[[], Awaitable[object]]) -> object:
    try:
        return await act()
    except RunwrightError as error:
        return error


async def _hand_over(work: Coroutine[Any, Any, T], done: Future[T]) -> None:
    try:
        done.set_result(await work)
    except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
        done.set_exception(error)


class Lanes(BaseCallbackHandler):
    """The lanes of the tasks of a graph, by their places in it: their own names hold random parts."""

    run_inline = True

    def __init__(self) -> None:
        self._lanes: dict[str, tuple[str, ...]] = {"": ()}

    @property
    def ignore_chat_model(self) -> bool:
        """Models are no tasks. For one that does not say so, a whole conversation is written out before each call."""
        return True

    @property
    def ignore_llm(self) -> bool:
        """How models end matters as little."""
        return True

    @property
    def ignore_agent(self) -> bool:
        """Tools are no tasks either."""
        return True

    def on_chain_start(self, *_: object, metadata: dict[str, Any] | None = None, **__: object) -> None:
        """Learn where a task stands before those inside of it begin."""
        self.find(metadata or {})

    def find(self, metadata: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
        """The task that something was asked in, and its lane."""
        task: str = metadata.get("langgraph_checkpoint_ns", "")
        if task not in self._lanes:
            outer = task.rpartition("|")[0]
            inner = _place(metadata["langgraph_path"], metadata["langgraph_node"])
            self._lanes[task] = (*self._within(outer), inner)
        return task, self._lanes[task]

    def _within(self, task: str) -> tuple[str, ...]:
        known = self._lanes.get(task)
        if known is not None:
            return known
        # One of several graphs that a node calls, by number.
        outer, _, last = task.rpartition("|")
        return (*self._within(outer), last.partition(":")[0])


def _place(path: Sequence[Any], name: str) -> str:
    """A name for a task within its graph: that of its node, numbered where a node has several tasks at once."""
    plain = name.replace("/", ".")
    if len(path) == 2:
        return plain
    if not isinstance(path[1], tuple):
        return f"{plain}.{path[1]}"
    by = cast("tuple[Any, ...]", path[1])
    return f"{_place(by, str(by[1]))}.{plain}.{path[2]}"

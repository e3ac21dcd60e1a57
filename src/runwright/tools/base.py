"""Tools made of Python functions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Generic, ParamSpec, TypeGuard, TypeVar, get_args, overload

import msgspec
from anyio import to_thread

from runwright.core.agent import Approval, Tool
from runwright.core.context import Context
from runwright.core.message import digest
from runwright.core.model import ToolSpec
from runwright.core.policy import Guard
from runwright.core.policy_reader import ONLY_AGENTS, has_similar, read_guard, write_guard
from runwright.core.step import Effect
from runwright.errors import ConfigError, ToolFailed
from runwright.tools.result import encode
from runwright.tools.signature import Signature

P = ParamSpec("P")
R = TypeVar("R")

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}")


class FunctionTool(Generic[P, R]):
    """A function that an agent can call; calling the object calls the function itself.

    The schema comes from type hints and docstring, on first use. Raises ConfigError when they cannot be read.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        effect: Effect = "once",
        name: str | None = None,
        timeout_s: float | None = None,
        guard: Guard | None = None,
        approval: Approval | bool = False,
    ) -> None:
        self.function = function
        self._target: Callable[..., object] = function
        self.name = name or getattr(function, "__name__", type(function).__name__)
        self.effect: Effect = effect
        self.timeout_s = timeout_s
        self.guard = guard
        self.approval = Approval() if approval is True else approval or None
        self.__doc__ = function.__doc__
        self.__name__ = self.name
        self.__module__ = function.__module__
        _check_declared(self.name, effect, timeout_s)
        _check_guard(self.name, guard)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.name!r}, effect {self.effect}>"

    @property
    def spec(self) -> ToolSpec:
        """What the model sees."""
        return self._spec

    @property
    def fingerprint(self) -> str:
        """A hash of name, schema and effect."""
        return self._fingerprint

    def check(self, arguments: str) -> dict[str, object]:
        """Parse and validate JSON arguments. Raises InvalidRequest that says what would be right."""
        return self._signature.check(arguments)

    async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
        """Run the function, a plain one in a thread, and give its result as JSON text.

        Raises ToolFailed when the result has no JSON form, and whatever the function raises.
        """
        given = dict(arguments)
        if name := self._signature.context:
            given[name] = context
        result = (
            self._target(**given)
            if self._is_async
            # Abandoned when cancelled: a thread cannot be stopped, and nobody waits for it.
            else await to_thread.run_sync(partial(self._target, **given), abandon_on_cancel=True)
        )
        if inspect.isawaitable(result):
            result = await result
        try:
            return encode(result)
        except TypeError as error:
            raise ToolFailed(f"the result of tool {self.name!r} is unusable: {error}") from error

    # A cached property is no property to a type checker, so the protocol's own are plain ones.
    @cached_property
    def _spec(self) -> ToolSpec:
        signature = self._signature
        return ToolSpec(name=self.name, description=signature.doc.summary, parameters=signature.parameters)

    @cached_property
    def _fingerprint(self) -> str:
        parts = (self.name, self.spec.parameters, self.effect)
        return digest(msgspec.json.encode(parts, order="sorted")).hex()

    @cached_property
    def _signature(self) -> Signature:
        return Signature(self.function, name=self.name)

    @cached_property
    def _is_async(self) -> bool:
        function = self.function
        return inspect.iscoroutinefunction(function) or (
            not inspect.isroutine(function) and inspect.iscoroutinefunction(type(function).__call__)
        )


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...


@overload
def tool(
    *,
    effect: Effect = "once",
    name: str | None = None,
    timeout_s: float | None = None,
    guard: Guard | None = None,
    approval: Approval | bool = False,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...


def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    effect: Effect = "once",
    name: str | None = None,
    timeout_s: float | None = None,
    guard: Guard | None = None,
    approval: Approval | bool = False,
) -> FunctionTool[P, R] | Callable[[Callable[P, R]], FunctionTool[P, R]]:
    """Make a tool of an async or plain function, as `@tool` or `@tool(effect="read")`.

    `read` may be sent again, `idempotent` with the same key, `once` never. Plain functions run in a thread.
    `guard` are policies for its calls; those that it leaves out hold as they are set elsewhere. With `approval` a
    person has to allow each call; its run waits meanwhile.
    """
    if function is not None:
        return FunctionTool(function)
    return partial(FunctionTool[P, R], effect=effect, name=name, timeout_s=timeout_s, guard=guard, approval=approval)


def is_tool(value: object) -> TypeGuard[Tool]:
    """Whether an object is a tool: a FunctionTool, or anything else with the core's `Tool` methods."""
    return all(hasattr(type(value), each) for each in ("spec", "fingerprint", "check", "call"))


def _check_guard(name: str, guard: Guard | None) -> None:
    if guard is None:
        return
    try:
        read_guard(write_guard(guard))
    except ConfigError as error:
        raise ValueError(f"the guard of tool {name!r} is wrong: {error.message}") from None
    if has_similar(guard):
        raise ValueError(f"the guard of tool {name!r} has a cache with similar: {ONLY_AGENTS}")
    if guard.fallback:
        raise ValueError(f"the guard of tool {name!r} has a fallback: only models can stand in for each other")


def _check_declared(name: str, effect: str, timeout_s: float | None) -> None:
    if effect not in get_args(Effect):
        raise ValueError(f"the effect of tool {name!r} is read, idempotent or once, not {effect!r}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"a tool's name has up to 64 letters, digits, '_' and '-', not {name!r}: pass name=")
    if timeout_s is not None and timeout_s <= 0:
        raise ValueError(f"timeout_s of tool {name!r} is above 0, not {timeout_s!r}")

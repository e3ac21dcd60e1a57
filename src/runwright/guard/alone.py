"""The guard on its own: around any coroutine function, or a block of code, without a server or a store.

What nobody set holds as in `DEFAULT_GUARD`. A policy that cannot do anything where it is set is a ValueError.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial, wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

import msgspec

from runwright.core.event import GuardDecided
from runwright.core.policy import DEFAULT_GUARD, Budget, Guard, Plan, plan
from runwright.core.step import Effect
from runwright.guard.cache import Answers
from runwright.guard.call import Call, Note, Proceed, Sending, Spend, Trail
from runwright.guard.chain import Surroundings
from runwright.guard.chain import guard as chain
from runwright.guard.questions import codec_of, question_of
from runwright.guard.registry import Registry

P = ParamSpec("P")
T = TypeVar("T")


def guarded(
    guard: Guard | None = None,
    target: str | None = None,
    *,
    effect: Effect = "read",
    within_s: float | None = None,
    spent: Callable[[Any], Spend] | None = None,
    around: Surroundings | None = None,
    note: Note | None = None,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Guard a coroutine function. `target` is what breaker and limits are for, by default the function itself.

    `within_s` bounds a call with all its resends, `spent` says what a result used, `note` is told of decisions.
    Functions with the same `around` and target share what is known of it. Raises ValueError for what cannot apply.
    The target also tells functions with a cache apart: one made by another function needs a target of its own.
    """
    held = around or surroundings()
    chosen = _checked(guard or Guard(), effect=effect, is_counted=spent is not None)
    proceed = chain(chosen, held)

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is no coroutine function; write `async def`")
        name = target or f"{function.__module__}.{function.__qualname__}"
        asks = question_of(function, target) if chosen.cache else None
        codec = codec_of(function) if chosen.cache else None

        @wraps(function)
        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            made = Call[T](
                kind="tool",
                target=name,
                effect=effect,
                send=lambda _call, _sending: function(*args, **kwargs),
                trail=Trail(),
                note=note or _untold,
                deadline=_deadline(within_s),
                spent=spent,
                key=partial(asks, args, kwargs) if asks else None,
                codec=codec,
            )
            return await proceed(made)

        return call

    return decorate


def guard_for(guard: Guard | None = None, *, around: Surroundings | None = None, note: Note | None = None) -> Blocks:
    """What guards blocks of code: `async with blocks.call("search"):` sends one under the name of its target.

    Breaker, limits, timeouts and budgets hold. Raises ValueError for policies that would have to run the block again.
    """
    return Blocks(guard or Guard(), around=around or surroundings(), note=note)


def surroundings() -> Surroundings:
    """Surroundings of one's own, to be shared by functions and blocks."""
    return Surroundings(registry=Registry(), answers=Answers())


class Blocks:
    """Guards blocks of code, each under the name of its target."""

    def __init__(self, guard: Guard, *, around: Surroundings, note: Note | None = None) -> None:
        for name in ("retry", "hedge", "cache"):
            if getattr(guard, name):
                raise ValueError(f"{name} cannot hold for a block, which runs once; use @guarded on a function")
        once = msgspec.structs.replace(guard, retry=False, hedge=False, cache=False)
        self._proceed = chain(_checked(once, effect="once", is_counted=False), around)
        self._note = note or _untold

    def call(self, target: str, *, within_s: float | None = None, is_streamed: bool = False) -> Block:
        """A block that calls a target. What it raises is judged like an error of a call.

        In a block that is streamed `sending.chunk()` tells of each piece, for the bounds between them.
        """
        return Block(self._proceed, target, note=self._note, within_s=within_s, is_streamed=is_streamed)


class Block:
    """One guarded block. Its call waits in a task of its own until the block has ended."""

    def __init__(
        self, proceed: Proceed[Any], target: str, *, note: Note, within_s: float | None, is_streamed: bool
    ) -> None:
        self._proceed = proceed
        self._target = target
        self._note = note
        self._within_s = within_s
        self._is_streamed = is_streamed
        # From when the block begins until it has ended.
        self._is_open = False
        self._is_late = False

    async def __aenter__(self) -> Sending:
        """Wait until the call may be made. Raises BreakerOpen, CallShed or BudgetExceeded."""
        caller = asyncio.current_task()
        assert caller is not None, "a call is made within a task"
        loop = asyncio.get_running_loop()
        self._caller, self._cancelling = caller, caller.cancelling()
        self._entered: asyncio.Future[Sending] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._work = loop.create_task(self._call())
        try:
            await asyncio.wait([self._work, self._entered], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._give_up()
            raise
        if self._work.done():
            self._work.result()
        self._is_open = True
        return self._entered.result()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Tell how the block ended. Raises ToolTimeout or DeadlineExceeded when it took too long."""
        self._is_open = False
        if self._is_late:
            await self._raise_late(error)
        elif error is None or _is_outcome(error):
            await self._settle(error)
        else:
            await self._give_up()

    async def _call(self) -> None:
        call = Call[None](
            kind="tool",
            target=self._target,
            effect="once",
            send=self._send,
            trail=Trail(),
            note=self._note,
            deadline=_deadline(self._within_s),
            is_streamed=self._is_streamed,
        )
        await self._proceed(call)

    async def _send(self, _: Call[None], sending: Sending) -> None:
        self._entered.set_result(sending)
        try:
            await self._ended
        except asyncio.CancelledError:
            if self._is_open:
                # A time bound cancels the one who waits here; it is meant for the block.
                self._is_late = True
                self._caller.cancel()
            raise

    async def _settle(self, error: BaseException | None) -> None:
        if not self._ended.done():
            if error is None:
                self._ended.set_result(None)
            else:
                self._ended.set_exception(error)
        await asyncio.wait([self._work])
        failure = self._work.exception()
        if failure is not None and failure is not error:
            raise failure

    async def _give_up(self) -> None:
        self._work.cancel()
        await asyncio.wait([self._work])

    async def _raise_late(self, error: BaseException | None) -> None:
        try:
            await asyncio.wait([self._work])
        except asyncio.CancelledError:
            # The block swallowed the cancellation, or had ended before it came.
            await asyncio.wait([self._work])
        if self._caller.uncancel() > self._cancelling:
            raise asyncio.CancelledError
        failure = self._work.exception()
        if failure is not None and (error is None or isinstance(error, asyncio.CancelledError)):
            raise failure from None


def _is_outcome(error: BaseException) -> bool:
    """Whether an error says something about the target. A StopIteration cannot be handed to another task."""
    return isinstance(error, Exception) and not isinstance(error, StopIteration)


def _checked(guard: Guard, *, effect: Effect, is_counted: bool) -> Plan:
    """The plan of a guard that stands alone. Raises ValueError for a policy that cannot hold there."""
    chosen = plan(("default", DEFAULT_GUARD), ("own", guard))
    if chosen.fallback is not None:
        raise ValueError("fallback is for models; call the other function where this one raises")
    if chosen.hedge is not None and effect != "read":
        raise ValueError(f"hedge doubles calls, so it needs effect='read', not {effect!r}")
    if chosen.cache is not None and (effect != "read" or chosen.cache.of != "calls"):
        raise ValueError(f"a cache here is for calls of effect 'read', not {chosen.cache.of} of effect {effect!r}")
    if chosen.cache is not None and chosen.cache.similar is not None:
        raise ValueError("similar questions are answered for an agent alone: leave similar out here")
    for scoped in chosen.budgets:
        _check_budget(scoped.budget, is_counted=is_counted)
    return chosen


def _check_budget(budget: Budget, *, is_counted: bool) -> None:
    if budget.per not in ("day", "month", "ever"):
        raise ValueError(f"a budget per {budget.per} needs an agent's run; take per='day', 'month' or 'ever'")
    if budget.at_limit == "wait":
        raise ValueError("a budget with at_limit='wait' needs an agent's run that can wait; take 'fail'")
    if not is_counted and (budget.usd is not None or budget.tokens is not None):
        raise ValueError("a budget of money or tokens needs @guarded(..., spent=...), which says what a result used")


def _deadline(within_s: float | None) -> float | None:
    return None if within_s is None else asyncio.get_running_loop().time() + within_s


def _untold(_: GuardDecided) -> None:
    """Nobody asked to be told."""

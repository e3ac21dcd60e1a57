"""Tools made of functions."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import Any, cast

import pytest

from runwright.core.context import Context, Surroundings
from runwright.core.policy import Cache, Fallback, Guard, Retry, Similar
from runwright.core.ports import Gateway
from runwright.errors import InvalidRequest, NotSent, ToolFailed
from runwright.tools.base import FunctionTool, is_tool, tool

asks_for = ContextVar("asks_for", default="nobody")


class NoSecrets:
    """Secrets that hold one."""

    def get(self, name: str) -> str:
        """The secret's name."""
        return name


def a_context() -> Context:
    """A context whose gateway nobody calls."""
    nobody = cast("Gateway", None)
    return Context(Surroundings(gateway=nobody, secrets=NoSecrets(), run_id="run_1", agent="support", user="ada"))


async def called(subject: FunctionTool[..., Any], arguments: Mapping[str, object] | None = None) -> bytes:
    """The result of a call."""
    return await subject.call(arguments or {}, a_context())


@tool(effect="read", timeout_s=5)
async def weather(city: str, context: Context) -> str:
    """Say the weather in a city."""
    return f"{city} for {context.user}"


def test_declared() -> None:
    """Name, description, effect and time limit come from the function and the decorator."""
    assert (weather.spec.name, weather.spec.description) == ("weather", "Say the weather in a city.")
    assert (weather.effect, weather.timeout_s) == ("read", 5)
    assert repr(weather) == "<tool 'weather', effect read>"
    assert weather.__doc__ == "Say the weather in a city."


def test_bare() -> None:
    """Without an effect a tool is `once`, the careful choice."""

    @tool
    def pay(amount: int) -> int:
        return amount

    assert pay.effect == "once"
    assert pay(3) == 3


def test_named() -> None:
    """A name of one's own takes the place of the function's."""
    assert tool(name="other")(lambda: None).spec.name == "other"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tool(effect="sometimes")(print), "read, idempotent or once, not 'sometimes'"),  # pyright: ignore[reportArgumentType] - on purpose
        (lambda: tool(name="two words")(print), "not 'two words': pass name="),
        (lambda: tool(lambda: None), "not '<lambda>'"),
        (lambda: tool(timeout_s=0)(print), "above 0, not 0"),
        (lambda: tool(guard=Guard(retry=Retry(attempts=0)))(print), "guard of tool 'print' is wrong: /retry/attempts"),
        (lambda: tool(guard=Guard(cache=Cache(similar=Similar())))(print), "set it in the agent's guard"),
        (lambda: tool(guard=Guard(fallback=Fallback(models=("a:b",))))(print), "only models can stand in"),
    ],
)
def test_wrong_declaration(make: Callable[[], object], words: str) -> None:
    """A wrong declaration is a ValueError where it stands."""
    with pytest.raises(ValueError, match=words):
        make()


def test_lazy() -> None:
    """A tool with unreadable type hints can be made; only its use fails."""

    def lost(city: object) -> None: ...

    lost.__annotations__["city"] = "Nowhere"
    assert tool(lost).name == "lost"


async def test_async() -> None:
    """An async function gets its arguments and the context, and its result is JSON."""
    assert await called(weather, weather.check('{"city": "Bonn"}')) == b'"Bonn for ada"'


async def test_direct_call() -> None:
    """Calling a tool calls the plain function, as a unit test wants it."""
    assert await weather("Bonn", a_context()) == "Bonn for ada"


async def test_thread() -> None:
    """A plain function runs in a thread, with the caller's context variables, and the loop goes on."""
    released = threading.Event()

    @tool
    def wait() -> list[str | bool]:
        return [asks_for.get(), released.wait(10), threading.current_thread() is threading.main_thread()]

    asks_for.set("ada")
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(called(wait))
        group.create_task(asyncio.to_thread(released.set))
    assert answer.result() == b'["ada",true,false]'


async def test_cancelled_thread() -> None:
    """A cancelled call of a plain function answers at once, though its thread goes on."""
    started, released = threading.Event(), threading.Event()

    @tool
    def stuck() -> None:
        started.set()
        released.wait(10)

    task = asyncio.create_task(called(stuck))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not released.is_set()
    released.set()


async def test_wrapped() -> None:
    """A plain wrapper around an async function works like the function."""

    def noisy(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapper(**arguments: object) -> object:
            return function(**arguments)

        return wrapper

    async def double(number: int) -> int:
        return 2 * number

    subject = tool(noisy(double))
    assert await called(subject, subject.check('{"number": 2}')) == b"4"


async def test_callable_object() -> None:
    """An object with an async `__call__` can be a tool."""

    class Search:
        """Search."""

        async def __call__(self, query: str) -> str:
            """Search for something."""
            return query

    subject = tool(name="search")(Search())
    assert subject.check('{"query": "x"}') == {"query": "x"}
    assert await called(subject, {"query": "x"}) == b'"x"'


@pytest.mark.parametrize("error", [ValueError("no"), NotSent("not yet"), ToolFailed("never")])
async def test_raises(error: Exception) -> None:
    """Whatever the function raises passes as it is."""

    @tool
    async def broken() -> None:
        raise error

    @tool
    def broken_plain() -> None:
        raise error

    for subject in (broken, broken_plain):
        with pytest.raises(type(error)) as caught:
            await called(subject)
        assert caught.value is error


async def test_unserialisable() -> None:
    """A result without a JSON form is a ToolFailed that names the tool and the type."""

    @tool
    async def connect() -> object:
        return threading.Lock()

    with pytest.raises(ToolFailed, match=r"result of tool 'connect' is unusable: a _thread.lock cannot be written"):
        await called(connect)


def test_check() -> None:
    """Arguments that do not fit are an InvalidRequest with a pointer."""
    with pytest.raises(InvalidRequest) as caught:
        weather.check("{}")
    assert caught.value.problems == (("/city", "Field required"),)


def test_fingerprint() -> None:
    """The fingerprint is that of name, schema and effect, and not of the code."""

    def one(city: str) -> str:
        return city

    def two(city: str) -> str:
        return city.upper()

    def three(town: str) -> str:
        return town

    first = tool(name="x")(one).fingerprint
    assert tool(name="x")(two).fingerprint == first
    assert tool(name="x")(three).fingerprint != first
    assert tool(name="x", effect="read")(one).fingerprint != first


def test_is_tool() -> None:
    """Tools are told from plain functions and classes."""
    assert is_tool(weather)
    assert not is_tool(print)
    assert not is_tool(FunctionTool)

"""What code in a sandbox asks of the host, done through the context of its run: so each is a recorded step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from runwright.agents.input import read_messages
from runwright.core.context import Context
from runwright.core.http import HttpRequest
from runwright.core.message import text_of
from runwright.core.sandbox import CallKind, HostCall
from runwright.errors import InvalidRequest

OWN_EVENTS: Final = "sandbox."
"""What the names of those events begin with that say how code is run: no code says that itself."""


class May(msgspec.Struct, frozen=True, kw_only=True):
    """What code may reach beside its tools: other agents by name, and hosts for HTTP, `*` for all."""

    agents: Collection[str] = ()
    hosts: Collection[str] = ()


class Host:
    """Answers the calls of one run of code. Raises InvalidRequest for what is none, or is not allowed."""

    def __init__(self, context: Context, may: May) -> None:
        self._context = context
        self._may = may

    async def answer(self, call: HostCall) -> object:
        """Do what is asked, and give what came of it as plain data."""
        try:
            return await ACTS[call.kind](self, call)
        except (msgspec.ValidationError, ValueError, OverflowError) as error:
            raise InvalidRequest(f"The call of {call.kind} cannot be made: {error}") from error

    async def _tool(self, call: HostCall) -> object:
        return await self._context.tool(call.name, **call.arguments)

    async def _http(self, call: HostCall) -> object:
        asked = msgspec.convert(call.arguments, HttpRequest)
        check_url(asked.url, self._may.hosts)
        if "host" in {name.strip().lower() for name in asked.headers}:
            raise InvalidRequest("The header 'host' is that of the URL: leave it out.")
        # Each hop is a request that the code makes, so that it stays among its hosts.
        given = await self._context.http(
            asked.method, asked.url, headers=asked.headers, body=asked.body, redirects=False
        )
        return msgspec.to_builtins(given)

    async def _model(self, call: HostCall) -> object:
        asked = msgspec.convert(call.arguments, _Prompt)
        said = asked.messages
        messages = said if isinstance(said, str) else read_messages(msgspec.json.encode({"messages": said}))
        given = await self._context.model(messages, instructions=asked.instructions)
        return text_of(given.message)

    async def _run(self, call: HostCall) -> object:
        if call.name not in self._may.agents:
            known = ", ".join(sorted(self._may.agents)) or "none"
            raise InvalidRequest(f"The code may not run agent {call.name!r}; named are: {known}.")
        return await self._context.run(call.name, call.arguments.get("input"))

    async def _ask(self, call: HostCall) -> object:
        asked = msgspec.convert(call.arguments, _Question)
        return await self._context.ask(asked.question, schema=asked.schema, expires_s=asked.expires_s)

    async def _sleep(self, call: HostCall) -> object:
        await self._context.sleep(msgspec.convert(call.arguments, _Sleep).duration_s)
        return None

    async def _now(self, call: HostCall) -> object:
        return await self._context.now()

    async def _random(self, call: HostCall) -> object:
        return await self._context.random()

    async def _uuid(self, call: HostCall) -> object:
        return await self._context.uuid()

    async def _memory(self, call: HostCall) -> object:
        asked = msgspec.convert({**call.arguments, "do": call.name}, _Block)
        memory = self._context.memory if asked.scope == "agent" else self._context.memory.thread
        match asked.do:
            case "get":
                return await memory.get(asked.name)
            case "set":
                return await memory.set(asked.name, asked.value)
            case "append":
                return await memory.append(asked.name, msgspec.convert(asked.value, str))
            case "delete":
                return await memory.delete(asked.name)
            case "list":
                return await memory.list()

    async def _progress(self, call: HostCall) -> object:
        asked = msgspec.convert(call.arguments, _Progress)
        self._context.progress(asked.message, fraction=asked.fraction)
        return None

    async def _emit(self, call: HostCall) -> object:
        if call.name.startswith(OWN_EVENTS):
            raise InvalidRequest(f"Events whose names begin with {OWN_EVENTS!r} are Runwright's own.")
        self._context.emit(call.name, call.arguments.get("value"))
        return None


ACTS: Final[Mapping[CallKind, Callable[[Host, HostCall], Coroutine[Any, Any, object]]]] = {
    "tool": Host._tool,  # pyright: ignore[reportPrivateUsage] - the table of its class
    "http": Host._http,  # pyright: ignore[reportPrivateUsage] - as above
    "model": Host._model,  # pyright: ignore[reportPrivateUsage] - as above
    "run": Host._run,  # pyright: ignore[reportPrivateUsage] - as above
    "ask": Host._ask,  # pyright: ignore[reportPrivateUsage] - as above
    "sleep": Host._sleep,  # pyright: ignore[reportPrivateUsage] - as above
    "now": Host._now,  # pyright: ignore[reportPrivateUsage] - as above
    "random": Host._random,  # pyright: ignore[reportPrivateUsage] - as above
    "uuid": Host._uuid,  # pyright: ignore[reportPrivateUsage] - as above
    "memory": Host._memory,  # pyright: ignore[reportPrivateUsage] - as above
    "progress": Host._progress,  # pyright: ignore[reportPrivateUsage] - as above
    "emit": Host._emit,  # pyright: ignore[reportPrivateUsage] - as above
}


class _Prompt(msgspec.Struct):
    messages: str | list[object]
    instructions: str = ""


class _Question(msgspec.Struct):
    question: str
    schema: dict[str, object] | None = None
    expires_s: float | None = None


class _Sleep(msgspec.Struct):
    duration_s: float


class _Block(msgspec.Struct):
    do: Literal["get", "set", "append", "delete", "list"]
    name: str = ""
    value: object = None
    scope: Literal["agent", "thread"] = "agent"


class _Progress(msgspec.Struct):
    message: str = ""
    fraction: float | None = None


def check_url(url: str, hosts: Collection[str]) -> None:
    """Whether a URL leads to one of these hosts, `name` or `name:port`. Raises InvalidRequest."""
    # What any two readers of URLs could take differently is refused.
    if any(each <= " " or each in "\\@" or ord(each) > 126 for each in url.partition("?")[0]):
        raise InvalidRequest(f"A URL has no user, and no character that needs escaping, unlike {url!r}.")
    try:
        found = urlsplit(url)
        host, port = found.hostname, found.port
    except ValueError as error:
        raise InvalidRequest(f"{url!r} is no URL: {error}") from error
    if found.scheme not in ("http", "https") or not host:
        raise InvalidRequest(f"A URL begins with http:// or https:// and a host, unlike {url!r}.")
    port = port or (443 if found.scheme == "https" else 80)
    if not {"*", host, f"{host}:{port}"} & {each.lower() for each in hosts}:
        known = ", ".join(sorted(hosts)) or "none"
        raise InvalidRequest(f"The code may not send requests to {host}:{port}; hosts that it may reach: {known}.")

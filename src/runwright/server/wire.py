"""The raw pieces fast endpoints are made of: read a body, decode it, answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import parse_qs

import msgspec
from msgspec import inspect
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runwright.agents.schema import did_you_mean
from runwright.errors import InvalidRequest, TooLarge

if TYPE_CHECKING:
    from runwright.app import App

Decoded = TypeVar("Decoded")
Header = tuple[bytes, bytes]

BODY_LIMIT = 20 * 1024 * 1024
JSON_TYPE: Header = (b"content-type", b"application/json")

_encoder = msgspec.json.Encoder()
encode = _encoder.encode


class ClientGone(Exception):
    """The client closed the connection: there is nobody to answer."""


async def read_body(receive: Receive, *, limit: int = BODY_LIMIT) -> bytes:
    """The whole body of a request. Raises ClientGone, and TooLarge above the limit."""
    message = await receive()
    parts: list[bytes] = []
    size = 0
    while message["type"] == "http.request":
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise TooLarge(f"The body is larger than {limit} bytes.")
        if not message.get("more_body", False):
            return b"".join((*parts, part)) if parts else part
        parts.append(part)
        message = await receive()
    raise ClientGone


def decode(decoder: msgspec.json.Decoder[Decoded], body: bytes) -> Decoded:
    """Read JSON. Raises InvalidRequest that points at what is wrong."""
    try:
        if not body.isascii():
            body.decode()  # msgspec leaves text inside raw values unread
        return decoder.decode(body)
    except UnicodeDecodeError as error:
        raise malformed(f"The body is not UTF-8: byte {error.start} is {body[error.start]:#04x}.") from error
    except msgspec.ValidationError as error:
        raise misfit(error, decoder.type) from error
    except msgspec.DecodeError as error:
        detail = str(error) if body.strip() else "The body is empty: send a JSON object."
        raise malformed(detail) from error
    except RecursionError as error:
        raise malformed("The JSON is nested too deep.") from error


def queried(parameters: Mapping[str, object], wanted: type[Decoded]) -> Decoded:
    """What the parameters of a query ask for. Raises InvalidRequest that names the one that is wrong."""
    try:
        return msgspec.convert(parameters, wanted)
    except msgspec.ValidationError as error:
        wrong = misfit(error, wanted)
        problems = [(f"query{pointer}", detail) for pointer, detail in wrong.problems]
        raise InvalidRequest(wrong.message, problems=problems) from error


def malformed(detail: str) -> InvalidRequest:
    """The error of a body that is no JSON."""
    return InvalidRequest("The body is not valid JSON.", problems=[("", detail)])


def misfit(error: msgspec.ValidationError, asked: object) -> InvalidRequest:
    """The error of JSON that has another shape than the type asked for, with a JSON pointer (RFC 6901)."""
    detail, _, place = str(error).partition(" - at `$")
    pointer = _pointer(place.removesuffix("`"))
    name = detail.split("`")[1] if "`" in detail else ""
    if "matching regex" in detail:
        detail = "Expected printable characters alone"
    elif "missing required field `" in detail:
        pointer, detail = f"{pointer}/{_escaped(name)}", f"{name!r} is needed"
    elif "unknown field `" in detail:
        detail = f"there is no field {name!r}{did_you_mean(name, _names(_shape(asked, pointer)))}"
        pointer += f"/{_escaped(name)}"
    elif detail.startswith("Invalid enum value") and (names := _names(_shape(asked, pointer))):
        given = detail.removeprefix("Invalid enum value ")
        detail = f"this is one of {', '.join(map(repr, names))}, not {given}"
    return InvalidRequest("The request is not valid.", problems=[(pointer, detail)])


def _shape(asked: object, pointer: str) -> inspect.Type | None:
    """What the type asks for at a place; None where that is not known."""
    found: inspect.Type | None = inspect.type_info(asked)
    for part in pointer.split("/")[1:]:
        match _alone(found):
            case inspect.StructType(fields=fields):
                found = next((each.type for each in fields if each.encode_name == part), None)
            case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
                found = item
            case _:
                return None
    return _alone(found)


def _alone(found: inspect.Type | None) -> inspect.Type | None:
    """What may be null or left out besides."""
    others = (inspect.NoneType, inspect.CustomType)
    if isinstance(found, inspect.UnionType):
        found = next((each for each in found.types if not isinstance(each, others)), None)
    return found


def _names(found: inspect.Type | None) -> list[str]:
    """The fields of an object, or the values of a choice."""
    match found:
        case inspect.StructType(fields=fields):
            return [each.encode_name for each in fields]
        case inspect.LiteralType(values=values):
            return [str(each) for each in values]
        case _:
            return []


def _pointer(place: str) -> str:
    """`.tags[1]` as `/tags/1`; values of a mapping have no name there, so the pointer ends at the mapping."""
    known = place.partition("[...]")[0]
    return "".join("/" + _escaped(part) for part in known.replace("[", ".").replace("]", "").split(".") if part)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that name."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None


def query(scope: Scope, name: str) -> str | None:
    """The last value of a query parameter."""
    raw: bytes = scope["query_string"]
    return parse_qs(raw.decode("latin-1")).get(name, [None])[-1] if raw else None


async def send_json(send: Send, body: bytes, *, status: int = 200, headers: Iterable[Header] = ()) -> None:
    """Answer with JSON text."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [JSON_TYPE, length, *headers]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def watched(receive: Receive, on_gone: Callable[[], Awaitable[object]]) -> AsyncGenerator[None]:
    """Call `on_gone` when the client closes the connection in the block, whose errors come out as they are."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        await on_gone()

    watcher = asyncio.create_task(watch())  # noqa: TID251 - a group would wrap the error of the block; it ends here
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.wait([watcher])
    if not watcher.cancelled():
        watcher.result()


class Answer(Response):
    """An answer whose content is a view, encoded by msgspec."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """JSON text."""
        return encode(content)


async def body_of(request: Request, decoder: msgspec.json.Decoder[Decoded]) -> Decoded:
    """The decoded body of a request on an ordinary endpoint."""
    return decode(decoder, await read_body(request.receive))


def served(request: Request) -> App:
    """The open App behind the server."""
    return cast("App", request.app.state.app)

"""Reading bodies, decoding them, pointing at what is wrong."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from inline_snapshot import snapshot
from starlette.types import Message, Receive

from runwright.errors import InvalidRequest, StorageFull, TooLarge
from runwright.server.runs import RunBody
from runwright.server.wire import ClientGone, decode, header, query, read_body, watched

decoder = msgspec.json.Decoder(RunBody)


def receiver(*messages: Message) -> Receive:
    """A receive callable that gives these messages in order."""
    left = list(messages)

    async def receive() -> Message:
        return left.pop(0)

    return receive


def part(body: bytes, *, more: bool = False) -> Message:
    """A piece of a request's body."""
    return {"type": "http.request", "body": body, "more_body": more}


def refused(body: bytes) -> Sequence[tuple[str, str]]:
    """What `decode` says about a body."""
    with pytest.raises(InvalidRequest) as caught:
        decode(decoder, body)
    return caught.value.problems


async def test_a_body_in_parts_is_joined() -> None:
    """A body that arrives in parts is read whole."""
    assert await read_body(receiver(part(b"a", more=True), part(b"b", more=True), part(b"c"))) == b"abc"


async def test_a_body_above_the_limit_is_refused_while_it_arrives() -> None:
    """Reading stops with 413 at the first part that goes above the limit."""
    with pytest.raises(TooLarge):
        await read_body(receiver(part(b"aaaa", more=True), part(b"a", more=True)), limit=4)


async def test_a_client_that_leaves_inside_its_body_is_noticed() -> None:
    """A connection that closes inside the body raises ClientGone."""
    with pytest.raises(ClientGone):
        await read_body(receiver(part(b"a", more=True), {"type": "http.disconnect"}))


def test_errors_point_at_the_place() -> None:
    """Each kind of wrong body gives a JSON pointer and says what would be right."""
    assert [
        refused(b""),
        refused(b"{"),
        refused(b'{"input": "\xff"}'),
        refused(b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        refused(b"[]"),
        refused(b'{"tags": ["a", 1]}'),
        refused(b'{"metadata": {"a": 1}}'),
        refused(b'{"a~/b": 1}'),
        refused(b'{"inputs": 1}'),
        refused(b'{"mode": "later"}'),
    ] == snapshot(
        [
            (("", "The body is empty: send a JSON object."),),
            (("", "Input data was truncated"),),
            (("", "The body is not UTF-8: byte 11 is 0xff."),),
            (("", "The JSON is nested too deep."),),
            (("", "Expected `object`, got `array`"),),
            (("/tags/1", "Expected `str`, got `int`"),),
            (("/metadata", "Expected `str`, got `int`"),),
            (("/a~0~1b", f"there is no field 'a~/b'; known: {', '.join(sorted(RunBody.__struct_encode_fields__))}"),),
            (("/inputs", "there is no field 'inputs'; did you mean 'input'?"),),
            (("/mode", "this is one of 'background', 'stream', 'wait', not 'later'"),),
        ]
    )


def test_text_inside_a_raw_value_may_be_any_utf8() -> None:
    """Text that is no ASCII passes."""
    assert bytes(decode(decoder, '{"input": "grüße 🚀"}'.encode()).input) == '"grüße 🚀"'.encode()


def test_headers_and_query_parameters_are_found() -> None:
    """The first header and the last query parameter of a name count."""
    scope = {"headers": [(b"a", b"1"), (b"a", b"2")], "query_string": b"x=1&x=2"}
    assert (header(scope, b"a"), header(scope, b"b"), query(scope, "x"), query(scope, "y")) == ("1", None, "2", None)


async def test_a_client_that_leaves_is_told_once_and_the_block_goes_on() -> None:
    """`watched` calls back at a disconnect and leaves the end of the block to the block."""
    left = asyncio.Event()

    async def gone() -> None:
        left.set()

    async with watched(receiver(part(b""), {"type": "http.disconnect"}), gone):
        await left.wait()
    assert left.is_set()


async def test_errors_of_a_watched_block_come_out_as_they_are() -> None:
    """What the block raises is not wrapped in a group, or every error of a run would be answered with 500."""
    waiting = asyncio.Event()

    async def receive() -> Message:
        await waiting.wait()
        return {"type": "http.disconnect"}

    async def gone() -> None:
        return

    with pytest.raises(StorageFull):
        async with watched(receive, gone):
            raise StorageFull


async def test_what_fails_when_a_client_leaves_comes_out() -> None:
    """An error of the callback is raised after the block, not lost."""

    async def gone() -> None:
        raise StorageFull

    async def block() -> None:
        async with watched(receiver({"type": "http.disconnect"}), gone):
            for _ in range(3):
                await asyncio.sleep(0)

    with pytest.raises(StorageFull):
        await block()

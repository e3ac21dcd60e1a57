"""A scripted model provider on loopback: OpenAI chat completions, streamed or not, faster than any target.

It is a raw asyncio protocol on uvloop; answers are rendered once per model and only their number is filled in.
"""

import argparse
import asyncio
import gc
import json
from functools import cache, partial
from typing import Any, cast

import httptools
import msgspec
import uvloop

from harness.wire import NUMBER, TOOL, Script, answer_tokens, number_in, parse_model

_PLACE = NUMBER.encode()
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_DONE = b"data: [DONE]\n\n"


class Message(msgspec.Struct):
    role: str


class StreamOptions(msgspec.Struct):
    include_usage: bool = False


class ChatRequest(msgspec.Struct):
    """The fields of a chat completion that decide the answer; the rest is skipped unread."""

    model: str
    messages: list[Message]
    stream: bool = False
    stream_options: StreamOptions | None = None


_decoder = msgspec.json.Decoder(ChatRequest)


def _usage(tokens: int) -> dict[str, Any]:
    return {"prompt_tokens": 20, "completion_tokens": tokens, "total_tokens": 20 + tokens}


def _tool_call() -> dict[str, Any]:
    arguments = json.dumps({"key": NUMBER})
    return {"id": f"call_{NUMBER}", "type": "function", "function": {"name": TOOL, "arguments": arguments}}


def _envelope(model: str, kind: str, **fields: Any) -> bytes:
    body = {"id": f"chatcmpl-{NUMBER}", "object": kind, "created": 1_700_000_000, "model": model, **fields}
    return json.dumps(body, separators=(",", ":")).encode()


@cache
def whole_answer(model: str, *, tool: bool) -> bytes:
    """A complete HTTP response, with NUMBER still to be filled in (the length stays the same)."""
    tokens = parse_model(model).tokens
    message: dict[str, Any] = {"role": "assistant", "content": "".join(answer_tokens(tokens))}
    if tool:
        message = {"role": "assistant", "content": None, "tool_calls": [_tool_call()]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if tool else "stop"}
    body = _envelope(model, "chat.completion", choices=[choice], usage=_usage(tokens))
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _deltas(tokens: int, *, tool: bool) -> list[dict[str, Any]]:
    if tool:
        return [{"role": "assistant", "content": None, "tool_calls": [{"index": 0, **_tool_call()}]}]
    first, *rest = answer_tokens(tokens)
    return [{"role": "assistant", "content": first}, *({"content": token} for token in rest)]


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@cache
def stream_answer(model: str, *, tool: bool, usage: bool) -> tuple[list[bytes], bytes]:
    """The pieces of a streamed answer: one HTTP chunk per token, and the chunks that end the response."""
    tokens = parse_model(model).tokens

    def event(**fields: Any) -> bytes:
        return _http_chunk(b"data: %b\n\n" % _envelope(model, "chat.completion.chunk", **fields))

    def choice(delta: dict[str, Any], reason: str | None) -> bytes:
        return event(choices=[{"index": 0, "delta": delta, "finish_reason": reason}])

    pieces = [choice(delta, None) for delta in _deltas(tokens, tool=tool)]
    tail = choice({}, "tool_calls" if tool else "stop")
    if usage:
        tail += event(choices=[], usage=_usage(tokens))
    return pieces, tail + _http_chunk(_DONE) + b"0\r\n\r\n"


class UpstreamProtocol(asyncio.Protocol):
    """One connection of the upstream. Requests on it come one after another."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._url = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from asyncio's

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url = url
        self._body.clear()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if not self._url.endswith(b"/chat/completions"):
            return self._transport.write(_NOT_FOUND)
        body = b"".join(self._body)
        request = _decoder.decode(body)
        script = parse_model(request.model)
        reply = partial(self._reply, request, script, number_in(body))
        if script.delay_s:
            self._loop.call_later(script.delay_s, reply)
        else:
            reply()

    def _reply(self, request: ChatRequest, script: Script, number: bytes) -> None:
        tool = script.calls_tool and all(message.role != "tool" for message in request.messages)
        if not request.stream:
            return self._transport.write(whole_answer(request.model, tool=tool).replace(_PLACE, number))
        usage = request.stream_options is not None and request.stream_options.include_usage
        pieces, tail = stream_answer(request.model, tool=tool, usage=usage)
        self._transport.write(_STREAM_HEAD)
        if script.chunk_s:
            self._paced([*pieces, tail], script.chunk_s, number)
        else:
            self._transport.write(b"".join([*pieces, tail]).replace(_PLACE, number))

    def _paced(self, pieces: list[bytes], chunk_s: float, number: bytes) -> None:
        """One piece every `chunk_s`, on the beat of the first one, so that delays do not add up."""
        started = self._loop.time()

        def send(index: int) -> None:
            if self._transport.is_closing():
                return
            self._transport.write(pieces[index].replace(_PLACE, number))
            if index + 1 < len(pieces):
                self._loop.call_at(started + (index + 1) * chunk_s, send, index + 1)

        send(0)


async def serve(port: int) -> None:
    """Answer on loopback until the process is ended."""
    server = await asyncio.get_running_loop().create_server(UpstreamProtocol, "127.0.0.1", port, backlog=1024)
    gc.freeze()
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()

"""The two request shapes of the targets, OpenAI and native, and how an answer is checked in each."""

import http.client
import json
from dataclasses import dataclass
from typing import Any

from harness.wire import NUMBER, PROMPT, answer_text, parse_model

_PLACE = NUMBER.encode()
_STREAM_END = {"chat": b"data: [DONE]", "native": b"event: run.completed"}
_TAIL_SHOWN = 300


@dataclass(frozen=True, kw_only=True)
class Call:
    """One kind of request on one face: rendered once, with only the number to be filled in."""

    face: str
    model: str
    is_stream: bool
    rendered: bytes

    def request(self, number: bytes) -> bytes:
        """The whole HTTP request with this number."""
        return self.rendered.replace(_PLACE, number)

    def fault(self, status: int, body: bytes, number: bytes) -> str | None:
        """What is wrong with an answer, by status, last token and terminal event; None where it is right."""
        if status not in (200, 201):
            return f"status {status}: {_shown(body)}"
        if b" end" + number not in body:
            return f"last token missing: {_shown(body)}"
        if self.is_stream and _STREAM_END[self.face] not in body:
            return f"terminal event missing: {_shown(body)}"
        return None

    def strict_fault(self, status: int, body: bytes, number: bytes) -> str | None:
        """Like `fault`, but the whole text is read out of the answer and compared."""
        if error := self.fault(status, body, number):
            return error
        expected = answer_text(parse_model(self.model).tokens, number)
        found = _text(self.face, body, is_stream=self.is_stream)
        return None if found == expected else f"answer is {found!r}, expected {expected!r}"


def make_call(face: str, model: str, *, is_stream: bool) -> Call:
    """Render the request of a face ("chat" or "native") for a model, which is also the agent's name."""
    path, body = _chat(model, is_stream) if face == "chat" else _native(model, is_stream)
    payload = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\n\r\n"
    )
    return Call(face=face, model=model, is_stream=is_stream, rendered=head.encode() + payload)


def ask_once(call: Call, number: bytes, *, port: int, timeout_s: float) -> tuple[int, bytes]:
    """Send one request on a connection of its own. Raises OSError where nobody answers."""
    head, _, payload = call.request(number).partition(b"\r\n\r\n")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("POST", head.split()[1].decode(), payload, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _chat(model: str, is_stream: bool) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": PROMPT}]}
    if is_stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return "/v1/chat/completions", body


def _native(model: str, is_stream: bool) -> tuple[str, dict[str, Any]]:
    return f"/api/v1/agents/{model}/runs", {"input": PROMPT, "mode": "stream" if is_stream else "wait"}


def _text(face: str, body: bytes, *, is_stream: bool) -> str:
    if not is_stream:
        answer = json.loads(body)
        return answer["output"] if face == "native" else answer["choices"][0]["message"]["content"]
    events = [_event(block) for block in body.decode().split("\n\n") if "data:" in block]
    if face == "native":
        return "".join(json.loads(data)["text"] for name, data in events if name == "message.delta")
    chunks = [json.loads(data) for _, data in events if data != "[DONE]"]
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


def _event(block: str) -> tuple[str, str]:
    fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
    return fields.get("event", ""), fields.get("data", "")


def _shown(body: bytes) -> str:
    return repr(body[-_TAIL_SHOWN:])

"""What somebody typed, as text and as JSON."""

from __future__ import annotations

import sys

import msgspec

from runwright.errors import InvalidRequest


def encoded(text: str, *, is_json: bool) -> bytes:
    """The input of a run as JSON text. Raises InvalidRequest when it should be JSON and is not."""
    check_text(text)
    if not is_json:
        return msgspec.json.encode(text)
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"The input is not JSON: {error}. Leave out --as-json for text.") from error
    return text.encode()


def json_result(text: str, *, before: str = "") -> msgspec.Raw:
    """The result of a step, which is JSON; `before` is what it follows in its option. Raises InvalidRequest."""
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        example = msgspec.json.encode(text).decode()
        raise InvalidRequest(f"A result is JSON: {error}. Text needs quotes: '{before}{example}'.") from error
    return msgspec.Raw(text.encode())


def check_text(text: str) -> None:
    """Raises InvalidRequest for a word of the command line that is no text."""
    if not text.isprintable() and any("\ud800" <= each <= "\udfff" for each in text):
        raise InvalidRequest(f"{text!r} is not UTF-8 text.")


def given(input: str | None) -> str:
    """The input of a command line, or what stands on stdin. Raises InvalidRequest where there is none."""
    if input is not None and input != "-":
        return input
    missing = InvalidRequest('Say what to send: `runwright run NAME "input"`, or `-` to read it from stdin.')
    if input is None and sys.stdin.isatty():
        raise missing
    try:
        text = sys.stdin.buffer.read().decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise InvalidRequest("The input on stdin is not UTF-8 text.") from error
    if input is None and not text:
        raise missing
    return text

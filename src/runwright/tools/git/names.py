"""Names of files as text: any bytes can be one. What is no plain text is quoted as git quotes it."""

from __future__ import annotations

import re

from runwright.errors import ToolFailed

_ESCAPES = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}
_BYTES = {sign: byte for byte, sign in _ESCAPES.items()}
_ESCAPED = re.compile(r'\\([abtnvfr"\\]|[0-3][0-7]{2})')


def shown(name: bytes) -> str:
    """A name as text, in quotes with escapes where it is no plain one."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = ""
    if text and text.isprintable() and text[0] != '"':
        return text
    return '"' + "".join(_quoted(byte) for byte in name) + '"'


def _quoted(byte: int) -> str:
    if byte in _ESCAPES:
        return "\\" + _ESCAPES[byte]
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"


def taken(text: str) -> bytes:
    """The path that a text names, from the root of the repository; empty for the root itself. Raises ToolFailed."""
    is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
    raw = _unquoted(text[1:-1]) if is_quoted else text.encode(errors="surrogatepass")
    parts = [part for part in raw.strip(b"/").split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise ToolFailed(f"{text!r} leads out of the repository: paths begin at its root and have no '..'.")
    if b"\0" in raw or len(raw) > 4096:
        raise ToolFailed(f"{text[:100]!r} is no path.")
    return b"/".join(parts)


def _unquoted(text: str) -> bytes:
    raw = bytearray()
    place = 0
    for match in _ESCAPED.finditer(text):
        raw += text[place : match.start()].encode(errors="surrogatepass")
        sign = match[1]
        raw.append(_BYTES[sign] if sign in _BYTES else int(sign, 8) & 0xFF)
        place = match.end()
    return bytes(raw + text[place:].encode(errors="surrogatepass"))

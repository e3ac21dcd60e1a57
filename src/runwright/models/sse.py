"""Server-sent events, read incrementally."""

from __future__ import annotations

LONGEST_FRAME = 16 * 1024 * 1024


class SseReader:
    """Takes bytes as they come and gives the `data` of each whole frame (WHATWG HTML, section 9.2).

    Event names, ids, retry times and comments are skipped: the OpenAI wire uses none of them.
    """

    __slots__ = ("_held", "_tail")

    def __init__(self) -> None:
        self._tail = b""
        self._held = False

    def feed(self, data: bytes) -> list[bytes]:
        """The data of all frames that are whole now. Raises ValueError when a frame has no end."""
        if self._held or b"\r" in data:
            data = self._without_cr(data)
        frames = (self._tail + data).split(b"\n\n")
        self._tail = frames.pop()
        if len(self._tail) > LONGEST_FRAME:
            raise ValueError(f"a frame is longer than {LONGEST_FRAME} bytes")
        found: list[bytes] = []
        for frame in frames:
            if frame.startswith(b"data: ") and b"\n" not in frame:
                found.append(frame[6:])
            elif payload := _data_of(frame):
                found.append(payload)
        return found

    def end(self) -> list[bytes]:
        """The data of a last frame whose blank line never came."""
        payload = _data_of(self._tail)
        self._tail = b""
        return [payload] if payload else []

    def _without_cr(self, data: bytes) -> bytes:
        # A CR at the end may be the first half of CRLF, so it waits for the next read.
        if self._held:
            data = b"\r" + data
        self._held = data.endswith(b"\r")
        if self._held:
            data = data[:-1]
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _data_of(frame: bytes) -> bytes:
    lines: list[bytes] = []
    for line in frame.split(b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[5:].removeprefix(b" "))
    return b"\n".join(lines)

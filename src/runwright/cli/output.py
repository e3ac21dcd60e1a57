"""What commands print: data on stdout, everything else on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from runwright.core.unseen import UNSEEN
from runwright.errors import ConfigError, InvalidRequest, RunwrightError

COLUMN_GAP = "  "
COLORS = {"-": 31, "+": 32, "@": 36}
"""Red, green and cyan for the lines of a diff (ECMA-48, SGR)."""


class Output:
    """Two streams and whether data is JSON. Text of models and tools cannot command a terminal."""

    def __init__(self, *, is_json: bool = False, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr
        self.is_json = is_json

    @property
    def is_terminal(self) -> bool:
        """Whether stdout is a terminal."""
        return self._stdout.isatty()

    def json(self, value: object) -> None:
        """A value as JSON: indented on a terminal, on one line elsewhere."""
        import msgspec

        raw = msgspec.json.encode(value)
        text = msgspec.json.format(raw, indent=2 if self.is_terminal else 0).decode()
        self._write(text + "\n")

    def show(self, answer: object, shown: str | Callable[[], object]) -> None:
        """An answer: with `--json` as JSON, else as this text, or as this prints it."""
        if self.is_json:
            self.json(answer)
        elif isinstance(shown, str):
            self.text(shown)
        else:
            shown()

    def bytes(self, data: bytes) -> None:
        """Bytes as they are."""
        self._stdout.buffer.write(data)
        self._stdout.buffer.flush()

    def text(self, text: str, *, end: str = "\n") -> None:
        """Text as it is, at once; on a terminal without control characters."""
        self._write(text + end)

    def patch(self, lines: Sequence[str]) -> None:
        """A unified diff, in colors where the terminal takes them."""
        from runwright.settings import wants_color

        is_colored = wants_color(self._stdout)
        for line in lines:
            shown = inert(line) if self.is_terminal else line
            color = COLORS.get(line[:1]) if is_colored else None
            self._stdout.write(f"{shown}\n" if color is None else f"\x1b[{color}m{shown}\x1b[0m\n")
        self._stdout.flush()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Rows under their column names, aligned on a terminal, separated by tabs elsewhere."""
        lines = [[name.upper() for name in columns], *([_cell(value) for value in row] for row in rows)]
        if not self.is_terminal:
            self._write("".join("\t".join(line) + "\n" for line in lines))
            return
        widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
        for line in lines:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self._write(COLUMN_GAP.join(cells).rstrip() + "\n")

    def note(self, text: str) -> None:
        """Progress or a remark, on stderr."""
        print(inert(text) if self._stderr.isatty() else text, file=self._stderr, flush=True)

    def error(self, error: RunwrightError) -> None:
        """An error and what is wrong where, on stderr; with `--json` as one JSON object."""
        problems = error.problems if isinstance(error, InvalidRequest | ConfigError) else ()
        if self.is_json:
            import msgspec

            places = [{"place": place, "detail": detail} for place, detail in problems]
            body = {"code": error.code, "message": error.message, "problems": places}
            self.note(msgspec.json.encode({"error": body}).decode())
            return
        self.note(f"error: {error.message}")
        for place, detail in problems:
            line = f"{place}: {detail}" if place else detail
            # Some messages hold their problems already.
            if line not in error.message:
                self.note(f"  {line}")

    def _write(self, text: str) -> None:
        self._stdout.write(inert(text) if self.is_terminal else text)
        self._stdout.flush()


def inert(text: str) -> str:
    """The text with characters that act on a terminal, or that nobody sees, as escapes."""
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def short(text: str, length: int) -> str:
    """The text on one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 3] + "..."


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return " ".join(text.split()) if "\n" in text or "\t" in text else text

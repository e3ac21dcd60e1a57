"""The pages of the documentation, and the code blocks in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").rglob("*.md"))
)

_BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (?P<path>[\w./-]+\.(?:py|ya?ml|toml))\n")


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A fenced block. `file` is the path that its first line names, where it shows a file."""

    language: str
    text: str
    line: int
    file: str | None = None


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        named = _FILE.match(found["text"])
        yield Block(
            language=found["language"],
            text=found["text"],
            line=text.count("\n", 0, found.start()) + 1,
            file=named["path"] if named else None,
        )


def pages_with(language: str) -> Sequence[str]:
    """The pages that have a block of a language."""
    return [page for page in PAGES if any(block.language == language for block in blocks(page))]

"""What a docstring says to a model: the summary, and a line for each parameter."""

from __future__ import annotations

import re

import docstring_parser
import msgspec

_BLANK_LINE = re.compile(r"\n\s*\n")


class Doc(msgspec.Struct, frozen=True):
    """The summary of a docstring and the descriptions of its parameters."""

    summary: str = ""
    parameters: dict[str, str] = {}


def read_docstring(text: str | None) -> Doc:
    """Read a docstring in Google, NumPy or Sphinx style; one in no style has only a summary."""
    if not text or not text.strip():
        return Doc()
    try:
        parsed = docstring_parser.parse(text)
    except docstring_parser.ParseError:
        return Doc(_first_paragraph(text))
    described = {param.arg_name: " ".join(param.description.split()) for param in parsed.params if param.description}
    return Doc(_first_paragraph(parsed.description or ""), described)


def _first_paragraph(text: str) -> str:
    return " ".join(_BLANK_LINE.split(text.strip(), maxsplit=1)[0].split())

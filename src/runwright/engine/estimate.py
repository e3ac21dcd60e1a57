"""What a model call is going to use: what limits and budgets reserve for it until its answer tells."""

from __future__ import annotations

from runwright.core.message import Said, TextPart, UserMessage, text_of
from runwright.core.model import ModelRequest, ModelSettings
from runwright.core.usage import Usage

BYTES_PER_TOKEN = 4
OUTPUT_TOKENS = 1024
"""Reserved for an answer that has no `max_tokens`."""
MEDIA_TOKENS = 1000
"""Reserved for an image, a recording or a file, whose bytes say nothing about its tokens."""


def expected_usage(request: ModelRequest) -> Usage:
    """Input as a token for every four bytes, and the longest output that was asked for."""
    read = len(request.tools_raw) + sum(weight(entry) for entry in request.messages)
    return Usage(
        input_tokens=tokens(read),
        output_tokens=_longest(request.settings),
        requests=1,
        is_estimated=True,
    )


def weight(entry: Said) -> int:
    """The bytes of a message that are read as text, and as many for its media as their tokens come to."""
    if not isinstance(entry.message, UserMessage) or isinstance(entry.message.content, str):
        return len(entry.raw)
    media = sum(not isinstance(part, TextPart) for part in entry.message.content)
    return len(entry.raw) - _without_words(entry) + media * MEDIA_TOKENS * BYTES_PER_TOKEN


def tokens(weight: int) -> int:
    """The tokens that so many bytes come to."""
    return -(-weight // BYTES_PER_TOKEN)


def _without_words(entry: Said) -> int:
    return len(entry.raw) - len(text_of(entry.message).encode())


def _longest(settings: ModelSettings) -> int:
    if settings.max_tokens is not None:
        return settings.max_tokens
    named = settings.extra.get("max_completion_tokens")
    return named if isinstance(named, int) and not isinstance(named, bool) and named > 0 else OUTPUT_TOKENS

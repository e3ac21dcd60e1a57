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
    media = 0
    read = len(request.tools_raw)
    for entry in request.messages:
        read += len(entry.raw)
        if isinstance(entry.message, UserMessage) and not isinstance(entry.message.content, str):
            read -= _without_words(entry)
            media += sum(not isinstance(part, TextPart) for part in entry.message.content)
    return Usage(
        input_tokens=-(-read // BYTES_PER_TOKEN) + media * MEDIA_TOKENS,
        output_tokens=_longest(request.settings),
        requests=1,
        is_estimated=True,
    )


def _without_words(entry: Said) -> int:
    return len(entry.raw) - len(text_of(entry.message).encode())


def _longest(settings: ModelSettings) -> int:
    if settings.max_tokens is not None:
        return settings.max_tokens
    named = settings.extra.get("max_completion_tokens")
    return named if isinstance(named, int) and not isinstance(named, bool) and named > 0 else OUTPUT_TOKENS

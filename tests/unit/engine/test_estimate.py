"""What a model call is expected to use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.message import (
    ImagePart,
    ImageUrl,
    Message,
    SystemMessage,
    TextPart,
    UserMessage,
    said,
)
from runwright.core.model import ModelRequest, ModelSettings
from runwright.engine.estimate import MEDIA_TOKENS, OUTPUT_TOKENS, expected_usage


def asked(*messages: Message, tools_raw: bytes = b"", settings: ModelSettings | None = None) -> ModelRequest:
    """A request with these messages, tools and settings."""
    return ModelRequest(
        model="test:m",
        messages=tuple(said(message) for message in messages),
        tools_raw=tools_raw,
        settings=settings or ModelSettings(),
    )


@pytest.mark.parametrize(
    ("settings", "output"),
    [
        (ModelSettings(), OUTPUT_TOKENS),
        (ModelSettings(max_tokens=7), 7),
        (ModelSettings(extra={"max_completion_tokens": 9}), 9),
        (ModelSettings(max_tokens=7, extra={"max_completion_tokens": 9}), 7),
        (ModelSettings(extra={"max_completion_tokens": "many"}), OUTPUT_TOKENS),
        (ModelSettings(extra={"max_completion_tokens": True}), OUTPUT_TOKENS),
    ],
    ids=["default", "max_tokens", "other_name", "both", "no_number", "no_count"],
)
def test_output_is_the_longest_asked_for(settings: ModelSettings, output: int) -> None:
    """The output is bounded by what the request says, under either of its names, else by the default."""
    assert expected_usage(asked(SystemMessage(content="x"), settings=settings)).output_tokens == output


@given(st.text(max_size=200), st.binary(max_size=200))
def test_input_is_a_token_for_four_bytes(text: str, tools: bytes) -> None:
    """Messages and tools count by the bytes that are sent, rounded up."""
    request = asked(UserMessage(content=text), tools_raw=tools)
    sent = len(request.messages[0].raw) + len(tools)
    assert expected_usage(request).input_tokens == -(-sent // 4)


def test_an_image_counts_as_one_whatever_its_size() -> None:
    """A megabyte of base64 is one image and not a quarter of a million tokens."""
    url = "data:image/png;base64," + "A" * 1_000_000
    parts = (TextPart(text="What is it?!"), ImagePart(image_url=ImageUrl(url=url)))
    assert expected_usage(asked(UserMessage(content=parts))).input_tokens == 3 + MEDIA_TOKENS

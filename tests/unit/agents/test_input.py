"""What callers send, read as messages."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.agents.input import MAX_BYTES, read_messages, read_text
from runwright.core.message import (
    AssistantMessage,
    FunctionCall,
    ImagePart,
    ImageUrl,
    Message,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from runwright.errors import InvalidRequest

TEXT = {"type": "text", "text": "hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
PARTS = (TextPart(text="hi"), ImagePart(image_url=ImageUrl(url="data:image/png;base64,AA==")))
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


def read(value: object) -> tuple[Message, ...]:
    """The messages of an input."""
    return read_messages(json.dumps(value).encode())


@pytest.mark.parametrize("value", ["hi", {"content": "hi"}, {"prompt": "hi"}, {"input": "hi", "else": 1}])
def test_text(value: object) -> None:
    """Text may come bare or under `content`, `prompt` or `input`."""
    assert read(value) == (UserMessage(content="hi"),)


@pytest.mark.parametrize("value", [[TEXT, IMAGE], {"content": [TEXT, IMAGE]}])
def test_parts(value: object) -> None:
    """Parts may come bare or under `content`."""
    assert read(value) == (UserMessage(content=PARTS),)


def test_conversation() -> None:
    """A conversation in the OpenAI shape is read with all its roles and spellings."""
    messages = [
        {"role": "developer", "content": [TEXT, TEXT]},
        {"role": "user", "name": "ada", "content": [TEXT, IMAGE]},
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": [TEXT]},
        {"role": "assistant", "content": [TEXT], "tool_calls": None},
    ]
    assert read({"messages": messages}) == (
        SystemMessage(content="hihi"),
        UserMessage(content=PARTS),
        AssistantMessage(
            content="", tool_calls=(ToolCall(id="c1", function=FunctionCall(name="weather", arguments="{}")),)
        ),
        ToolMessage(tool_call_id="c1", content="hi"),
        AssistantMessage(content="hi"),
    )


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (1, ""),
        (None, ""),
        ({}, ""),
        ({"city": "Bonn"}, ""),
        ({"prompt": 1}, ""),
        ([1], "/0"),
        ([{"type": "video"}], "/0/type"),
        ({"content": 1}, "/content"),
        ({"content": [{"type": "text"}]}, "/content/0"),
        ({"messages": []}, "/messages"),
        ({"messages": "hi"}, "/messages"),
        ({"messages": ["hi"]}, "/messages/0"),
        ({"messages": [{"role": "bot"}]}, "/messages/0/role"),
        ({"messages": [{"role": "user"}]}, "/messages/0"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": 1}]}]},
            "/messages/0/content/0/image_url",
        ),
        ({"messages": [{"role": "system", "content": [IMAGE]}]}, "/messages/0/content/0"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "/messages/0"),
    ],
)
def test_refused(value: object, place: str) -> None:
    """What is no input is refused with a pointer to it."""
    with pytest.raises(InvalidRequest) as caught:
        read(value)
    assert [pointer for pointer, _ in caught.value.problems] == [place]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'"\xff"', "no valid UTF-8 at byte"),
        (b"{", "no JSON"),
        (b"", "no JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'"' + b"x" * MAX_BYTES + b'"', "20,971,522 bytes, and 20,971,520 are allowed"),
    ],
    ids=["utf-8", "cut", "empty", "deep", "large"],
)
def test_unreadable(data: bytes, words: str) -> None:
    """Bytes that are no JSON, no UTF-8, too deep or too large are refused, each in its own words."""
    with pytest.raises(InvalidRequest, match=words):
        read_messages(data)


def test_ten_megabytes() -> None:
    """A prompt of 10 MB is taken."""
    assert len(read_text(b'"' + b"x" * 10_000_000 + b'"')) == 10_000_000


def test_last_text() -> None:
    """The text of a conversation is what the user said last."""
    said = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]
    assert read_text(json.dumps({"messages": said}).encode()) == "b"
    assert read_text(b'{"messages": [{"role": "system", "content": "a"}]}') == ""


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes(data: bytes) -> None:
    """Any bytes are either read or refused as an invalid request."""
    try:
        assert read_messages(data)
    except InvalidRequest:
        pass


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["messages", "content", "role", "type", "tool_calls", "text"]), inner)
        ),
    )
)
def test_any_json(value: object) -> None:
    """Any JSON is either read or refused as an invalid request."""
    try:
        assert read(value)
    except InvalidRequest:
        pass

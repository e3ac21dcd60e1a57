"""Server-sent events."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.models import sse
from runwright.models.sse import SseReader

STREAM = b': hello\n\ndata: {"a":1}\n\nevent: x\ndata: one\ndata: two\n\ndata:three\r\n\r\ndata: [DONE]\n\n'
PAYLOADS = [b'{"a":1}', b"one\ntwo", b"three", b"[DONE]"]


def test_comments_and_names_are_skipped() -> None:
    """Only the data of frames is given; lines of one frame are joined."""
    assert SseReader().feed(STREAM) == PAYLOADS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_split_reads_the_same(cuts: list[int]) -> None:
    """Where the network cuts the bytes makes no difference."""
    reader = SseReader()
    edges = [0, *sorted(cuts), len(STREAM)]
    found = [payload for start, end in pairwise(edges) for payload in reader.feed(STREAM[start:end])]
    assert found == PAYLOADS
    assert reader.end() == []


def test_last_frame_without_its_blank_line() -> None:
    """A stream that ends without a blank line still gives its last frame."""
    reader = SseReader()
    assert reader.feed(b"data: one\n\ndata: [DONE]\n") == [b"one"]
    assert reader.end() == [b"[DONE]"]


def test_endless_frame_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame without an end does not fill the memory."""
    monkeypatch.setattr(sse, "LONGEST_FRAME", 100)
    with pytest.raises(ValueError, match="longer than 100 bytes"):
        SseReader().feed(b"data: " + b"x" * 200)

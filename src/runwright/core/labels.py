"""What callers may call things: ids of their own, users, groups, tags, metadata. These stand in rows and indexes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from runwright.errors import InvalidRequest

LARGEST = 2**63 - 1
"""The largest number that a row holds."""

METADATA_BYTES = 16 * 1024

# Neither control characters nor those that are not seen: zero-width ones, line separators, marks of direction.
_UNSEEN = r"\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"

Label = Annotated[str, msgspec.Meta(max_length=128, pattern=rf"^(?![\s\S]*[{_UNSEEN}])")]
ThreadId = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=rf"^(?![\s\S]*[{_UNSEEN}])")]
Tags = Annotated[tuple[Label, ...], msgspec.Meta(max_length=50)]
Note = Annotated[str, msgspec.Meta(max_length=4096)]
Number = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]


def number(text: str, most: int = LARGEST) -> int | None:
    """The number from 0 to `most` that a text is; None for any other text."""
    # Python refuses to read thousands of digits, and calls more characters digits than it reads.
    if not text.isascii() or not text.isdigit() or len(text) > len(str(most)) or int(text) > most:
        return None
    return int(text)


def check_thread_id(thread_id: str | None, *, at: str) -> None:
    """Raises InvalidRequest for an id that no path of a URL can name, with `at` as the place of the mistake."""
    if thread_id is not None and ("/" in thread_id or thread_id in {".", ".."}):
        detail = f"a thread id has no '/' and is not '.' or '..', because it stands in paths; not {thread_id!r}"
        raise InvalidRequest("The request is not valid.", problems=[(at, detail)])


def check_metadata(metadata: Mapping[str, str] | None) -> None:
    """Raises InvalidRequest for metadata that is too large."""
    size = len(msgspec.json.encode(metadata)) if metadata else 0
    if size > METADATA_BYTES:
        detail = f"at most {METADATA_BYTES} bytes of JSON, not {size}"
        raise InvalidRequest("The request is not valid.", problems=[("/metadata", detail)])

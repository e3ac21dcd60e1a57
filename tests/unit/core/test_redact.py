"""Known secrets in texts and JSON."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.redact import REDACTED, KnownSecrets

SECRET = 's3cr"et/ü\\'
KNOWN = KnownSecrets([SECRET, "12345678", "1234", "abc", ""])

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(SECRET),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just(SECRET), inner),
)


def test_text_without_secrets() -> None:
    """Each known value goes, the longer of two first, also percent-encoded; short ones would be ordinary words."""
    assert KNOWN.text(f"a {SECRET} b") == "a [redacted] b"
    assert KNOWN.text("?key=s3cr%22et%2F%C3%BC%5C&x") == "?key=[redacted]&x"
    assert KNOWN.text("12345678 1234 abc") == "[redacted] [redacted] abc"
    assert KnownSecrets().text(SECRET) == SECRET


@pytest.mark.parametrize("is_ascii", [True, False])
def test_json_without_secrets(*, is_ascii: bool) -> None:
    """Texts and names are cleaned however they are escaped; a number is no secret, and JSON stays JSON."""
    data = json.dumps({"a": [f"<{SECRET}>", 12345678], SECRET: "\\u12345"}, ensure_ascii=is_ascii).encode()
    assert json.loads(KNOWN.json(data)) == {"a": ["<[redacted]>", 12345678], REDACTED: "\\u[redacted]5"}
    assert KNOWN.json(b'"\\u1234"') == b'"\\u1234"'


@given(VALUES)
def test_no_secret_is_left(value: Any) -> None:
    """Whatever is recorded is JSON without the secret, and what held none is the same byte for byte."""
    data = msgspec.json.encode(value)
    cleaned = KnownSecrets([SECRET]).json(data)
    assert SECRET not in str(json.loads(cleaned, object_pairs_hook=list))
    if msgspec.json.encode(SECRET)[1:-1] not in data:
        assert cleaned == data

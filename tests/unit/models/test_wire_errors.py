"""Errors of providers."""

import pytest

from runwright.models.wire_errors import provider_message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "no  such model", "type": "x"}}', "no such model"),
        (b'{"error": "broken"}', "broken"),
        (b'{"object": "error", "message": "bad"}', "bad"),
        (b'{"detail": [{"loc": ["body"]}]}', '[{"loc":["body"]}]'),
        (b"<html>Bad Gateway</html>", "<html>Bad Gateway</html>"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
        (b"", ""),
    ],
)
def test_message_in_any_shape(body: bytes, message: str) -> None:
    """The sentence is found in every common shape of error."""
    assert provider_message(body) == message


def test_long_message_is_cut() -> None:
    """A page of HTML does not fill the record."""
    assert len(provider_message(b"x" * 10_000)) == 500

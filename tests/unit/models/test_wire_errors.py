"""Errors of providers."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from runwright.models.wire_errors import provider_message, retry_after_s


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


def test_retry_after_as_a_date() -> None:
    """Retry-After may be a date; one in the past is no wait."""
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    found = retry_after_s({"Retry-After": later})
    assert found is not None
    assert 90 < found <= 100
    assert retry_after_s({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after_s({"Retry-After": "nan"}) is None
    assert retry_after_s({}) is None

"""What headers say."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from runwright.core.http import retry_after_s


def test_retry_after_as_a_date() -> None:
    """Retry-After may be a date; one in the past is no wait."""
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    found = retry_after_s({"Retry-After": later})
    assert found is not None
    assert 90 < found <= 100
    assert retry_after_s({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after_s({"Retry-After": "nan"}) is None
    assert retry_after_s({}) is None
    assert retry_after_s({"retry-after": "7", "retry-after-ms": "250"}) == 0.25
    assert retry_after_s({"retry-after": "7"}) == 7
    assert retry_after_s({"retry-after": "soon"}) is None

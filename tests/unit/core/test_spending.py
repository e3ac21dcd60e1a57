"""What somebody says that was spent."""

from decimal import Decimal
from typing import Any

import pytest

from runwright.core.spending import check_spent

REF = "elevenlabs:eleven_v3"


def test_quantities_are_whole_or_decimal() -> None:
    """Whole numbers are ints, whatever they came as; parts of seconds stay exact."""
    used = check_spent(REF, {"characters": 120, "requests": Decimal("2.0"), "audio_seconds": Decimal("12.5")})
    assert used == {"characters": 120, "requests": 2, "audio_seconds": Decimal("12.5")}
    assert [type(value) for value in used.values()] == [int, int, Decimal]


@pytest.mark.parametrize(
    ("ref", "used", "told"),
    [
        ("eleven_v3", {"characters": 1}, "provider:name, .* not 'eleven_v3'"),
        ("eleven labs:v3", {"characters": 1}, "not 'eleven labs:v3'"),
        (REF, {}, "say how much was spent"),
        (REF, {"letters": 1}, "no unit 'letters'; units are input_tokens, "),
        (REF, {"characters": -1}, "from 0 to 10+, not -1"),
        (REF, {"characters": 10**16}, "from 0 to 10+, not 10+"),
        (REF, {"characters": True}, "whole number or a Decimal, not True"),
        (REF, {"audio_seconds": 12.5}, "whole number or a Decimal, not 12.5"),
        (REF, {"audio_seconds": Decimal("NaN")}, "is a number, not Decimal"),
        (REF, {"audio_seconds": Decimal("0.0000000001")}, "at most 9 decimals"),
        (REF, {"input_tokens": 5, "cached_input_tokens": 6}, "cached_input_tokens are part of input_tokens"),
    ],
    ids=["bare", "blank", "nothing", "unit", "below", "above", "bool", "float", "nan", "decimals", "parts"],
)
def test_what_is_no_quantity_is_refused(ref: str, used: dict[str, Any], told: str) -> None:
    """The message shows the value and says what would be right."""
    with pytest.raises((ValueError, TypeError), match=told):
        check_spent(ref, used)

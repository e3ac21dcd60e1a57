"""Costs: what they are on the wire, and how they add up."""

from decimal import Decimal

import msgspec
import pytest

from runwright.core.event import StepCompleted
from runwright.core.money import FREE, NO_COST, UNPRICED, Cost, cost_line, format_usd

LINE = cost_line("input_tokens", 3, 500_000)
PRICED = Cost(nano_usd=2, source="overlay", version="1", lines=(LINE,))


def test_a_sum_has_an_amount_and_no_lines() -> None:
    """Lines and version are of one call: a sum keeps the amount, and the source where it is one."""
    total = Cost(nano_usd=2, source="overlay")
    assert (NO_COST + PRICED, PRICED + NO_COST, PRICED.total) == (total, total, total)
    assert PRICED + PRICED == Cost(nano_usd=4, source="overlay")
    assert PRICED + FREE == Cost(nano_usd=2, source="mixed")


@pytest.mark.parametrize("other", [PRICED, FREE, NO_COST, UNPRICED], ids=lambda cost: cost.source)
def test_what_is_unpriced_in_part_is_unpriced(other: Cost) -> None:
    """No sum hides that a price is not known."""
    assert UNPRICED + other == other + UNPRICED == UNPRICED


def test_a_line_is_rounded_half_up() -> None:
    """Three at half a nano are one and a half, so two."""
    assert LINE.amount_nano == 2


def test_a_line_of_part_of_a_unit_is_exact() -> None:
    """Tenths of a second are no floats: the line is rounded once, half up."""
    assert cost_line("audio_seconds", Decimal("12.5"), 61_111_111_111).amount_nano == 763_889
    assert cost_line("audio_seconds", Decimal("0.5"), 1_000_000).amount_nano == 1
    assert cost_line("audio_seconds", Decimal("0.499999999"), 1_000_000).amount_nano == 0


def test_lines_are_recorded_and_old_records_read() -> None:
    """A completed step holds its lines; one without them, as older releases wrote it, reads the same as before."""
    data = StepCompleted(cost=PRICED)
    assert msgspec.json.decode(msgspec.json.encode(data), type=StepCompleted) == data
    old = b'{"type":"step.completed","cost":{"nano_usd":null,"source":"unpriced"}}'
    assert msgspec.json.decode(old, type=StepCompleted).cost == UNPRICED
    assert msgspec.json.encode(UNPRICED) == b'{"nano_usd":null,"source":"unpriced"}'


@pytest.mark.parametrize(("nano", "usd"), [(0, "0"), (1, "0.000000001"), (12_500_000, "0.0125"), (-5, "-0.000000005")])
def test_usd_is_a_plain_decimal(nano: int, usd: str) -> None:
    """No exponent, no zeros at the end."""
    assert format_usd(nano) == usd

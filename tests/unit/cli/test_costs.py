"""`runwright costs`, `runs cost` and `models price`."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from inline_snapshot import snapshot

from runwright.cli import models, runs
from runwright.cli.call import Options
from runwright.cli.calls import calls
from runwright.cli.costs import costs
from runwright.core.usage import Usage
from runwright.errors import InvalidRequest
from runwright.service.call_views import CallQuery, CallView
from runwright.service.views import (
    CostGroup,
    CostLineView,
    CostQuery,
    CostReport,
    CostView,
    Page,
    RunCost,
    StepCost,
    WhatIf,
)
from tests.unit.cli.fakes import FakeAccess, FakeCall

USAGE = Usage(input_tokens=1000, output_tokens=200, requests=3)


class FakeCosts:
    """Costs of a test; what was asked stands in `asked`."""

    def __init__(self, what_if: WhatIf | None = None) -> None:
        self._what_if = what_if
        self.asked: list[CostQuery] = []
        self.listed: list[CallQuery] = []

    async def report(self, query: CostQuery) -> CostReport:
        """Three calls, one of them unpriced."""
        self.asked.append(query)
        group = CostGroup(key="a", calls=3, unpriced_calls=1, usd="0.5", usage=USAGE, what_if=self._what_if)
        none = CostGroup(key=None, calls=2, unpriced_calls=2, usd=None, usage=USAGE, what_if=self._what_if)
        return CostReport(by=query.by, since=None, until=None, data=[group, none], total=group)

    async def calls(self, query: CallQuery) -> Page[CallView]:
        """Two calls of a run, one of them unpriced, and more to come."""
        self.listed.append(query)
        ended = datetime(2026, 11, 1, 12, tzinfo=UTC)
        costs = (CostView(usd="0.5", source="list"), CostView(usd=None, source="unpriced"))
        views = [
            CallView(
                run_id="run_1",
                step=3,
                agent="a",
                kind="model",
                name="acme:x",
                status="completed",
                at=ended,
                usage=USAGE,
                cost=cost,
            )
            for cost in costs
        ]
        return Page(data=views, has_more=True, next="place")

    async def run(self, run_id: str) -> RunCost:
        """A run with a priced and an unpriced step, one from a tape, and a tool that spent what has no price."""
        line = CostLineView(
            ref="mistral:x",
            unit="input_tokens",
            quantity=4,
            unit_price_usd="2",
            amount_usd="0.000008",
            source="overlay",
            version="7",
        )
        said = CostLineView(ref="acme:ears", unit="audio_seconds", quantity=Decimal("1.5"), source="unpriced")
        spent = CostView(usd="0.000008", source="overlay")
        unpriced = CostView(usd=None, source="unpriced")
        steps = [
            StepCost(step=3, kind="model", name="mistral:x", cost=spent, lines=[line]),
            StepCost(step=5, kind="model", name="acme:x", cost=unpriced, lines=[]),
            StepCost(step=7, kind="model", name="mistral:x", cost=spent, lines=[], is_taped=True),
            StepCost(step=9, kind="tool", name="listen", cost=unpriced, lines=[said]),
        ]
        return RunCost(run_id=run_id, cost=unpriced, steps=steps)


async def test_costs_are_a_table() -> None:
    """Keys with calls, tokens, cost, and how many calls are not in it; the total comes last."""
    call = FakeCall(FakeAccess(costs=FakeCosts()))
    await costs(by="user", call=call)
    assert call.printed == snapshot(
        """\
USER	CALLS	INPUT	OUTPUT	USD	UNPRICED
a	3	1000	200	0.5	1
-	2	1000	200	unpriced	2
total	3	1000	200	0.5	1
"""
    )
    assert call.noted.startswith("1 of 3 calls are unpriced and not in the sums")


async def test_calls_are_a_table() -> None:
    """The filters are handed on; a row names run and step, says what is unpriced, and the next page is told."""
    fake = FakeCosts()
    call = FakeCall(FakeAccess(costs=fake))
    await calls(agent="a", order="newest", limit=2, call=call)
    assert fake.listed == [CallQuery(agent="a", order="newest", limit=2)]
    assert call.printed == snapshot("""\
ENDED	RUN	STEP	AGENT	NAME	INPUT	OUTPUT	USD
2026-11-01 12:00:00	run_1	3	a	acme:x	1000	200	0.5
2026-11-01 12:00:00	run_1	3	a	acme:x	1000	200	unpriced
""")
    assert call.noted == "There are more: --after place\n"


async def test_what_calls_would_cost(tmp_path: Path) -> None:
    """Another model and the text of a file of prices are handed on, and three columns more are shown."""
    fake = FakeCosts(WhatIf(usd="0.7", unpriced_calls=0, difference_usd="0.2"))
    call = FakeCall(FakeAccess(costs=fake))
    path = tmp_path / "prices.toml"
    path.write_text("version = '1'")
    await costs(since="30d", until="1d", agent="a", on_model="openai:gpt-5-mini", at_prices=path, call=call)
    assert fake.asked == [
        CostQuery(since="30d", until="1d", agent="a", on_model="openai:gpt-5-mini", prices="version = '1'")
    ]
    assert call.printed.splitlines()[0].endswith("UNPRICED\tWOULD BE\tDIFFERENCE\tTHEN UNPRICED")
    assert call.printed.splitlines()[1].endswith("0.5\t1\t0.7\t0.2\t0")


async def test_a_file_of_prices_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The error names the file and the reason in words, without a number of the system."""
    call = FakeCall(FakeAccess())
    with pytest.raises(InvalidRequest) as caught:
        await costs(at_prices=tmp_path / "none.toml", call=call)
    assert caught.value.message == (
        f"The file of prices {str(tmp_path / 'none.toml')!r} cannot be read: No such file or directory."
    )
    (tmp_path / "picture.toml").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(InvalidRequest, match=r"picture\.toml' is not UTF-8 text; write it in TOML\."):
        await costs(at_prices=tmp_path / "picture.toml", call=call)


async def test_costs_as_json() -> None:
    """`--json` gives the report as the API does."""
    call = FakeCall(FakeAccess(costs=FakeCosts()), is_json=True)
    await costs(call=call)
    assert msgspec.json.decode(call.printed)["total"]["usd"] == "0.5"


async def test_the_cost_of_a_run_shows_the_arithmetic() -> None:
    """Each step, and under it quantity, price of a million and amount; what a tape answered was not spent."""
    call = FakeCall(FakeAccess(costs=FakeCosts()))
    await runs.cost("run_1", call=call)
    assert call.printed == snapshot(
        """\
STEP	NAME	UNIT	QUANTITY	USD PER MILLION	USD	SOURCE
3	mistral:x				0.000008	overlay 7
		input_tokens	4	2	0.000008	\n\
5	acme:x				unpriced	unpriced
7	mistral:x				taped	overlay
9	listen				unpriced	unpriced
	acme:ears	audio_seconds	1.5		unpriced	\n\
"""
    )
    assert call.noted == "run_1: unpriced\n"
    as_json = FakeCall(FakeAccess(costs=FakeCosts()), is_json=True)
    await runs.cost("run_1", call=as_json)
    assert msgspec.json.decode(as_json.printed)["steps"][2]["is_taped"] is True


def price(data: Path, model: str, **options: object) -> FakeCall:
    """Ask for a price."""
    call = FakeCall(options=Options(data=data))
    models.price(model, call=call, **options)  # pyright: ignore[reportArgumentType] - options of a test's choice
    return call


def test_the_price_of_a_model(tmp_path: Path) -> None:
    """Each unit with its price, tier, source, version and days; the page of the provider beside it."""
    assert price(tmp_path, "mistral:mistral-large-latest", at="2026-11-21").printed == snapshot(
        """\
UNIT	USD PER MILLION	ABOVE INPUT	SOURCE	VERSION	FROM	UNTIL	HOURS
input_tokens	0.5		overlay	2026-11-21	2025-12-02		\n\
cached_input_tokens	0.05		overlay	2026-11-21	2025-12-02		\n\
output_tokens	1.5		overlay	2026-11-21	2025-12-02		\n\
"""
    )
    assert "2.5\t200000" in price(tmp_path, "google:gemini-2.5-pro").printed
    assert "01:00-04:00" in price(tmp_path, "deepseek:deepseek-v4-pro", all=True).printed
    assert "everything\t0" in price(tmp_path, "demo").printed


def test_a_price_that_is_not_known(tmp_path: Path) -> None:
    """Unpriced is said, a name without a provider is refused, and one's own prices are found in the data directory."""
    assert price(tmp_path, "acme:large").noted.startswith("acme:large is unpriced")
    with pytest.raises(InvalidRequest, match="names no provider"):
        price(tmp_path, "gpt-5")
    (tmp_path / "prices.toml").write_text('[[price]]\nmodels = ["acme:large"]\ninput_tokens = 3\n')
    assert "input_tokens\t3\t\toverride" in price(tmp_path, "acme:large").printed


def test_a_price_as_json(tmp_path: Path) -> None:
    """`--json` gives the price in force and all that are known."""
    call = FakeCall(options=Options(data=tmp_path), is_json=True)
    models.price("openai:gpt-5-mini", call=call)
    found = msgspec.json.decode(call.printed)
    assert found["price"]["rates"][0] == {"unit": "input_tokens", "usd": "0.25", "above": None}
    assert len(found["known"]) == 1

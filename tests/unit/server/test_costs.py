"""Costs over HTTP."""

import httpx2
import pytest
from inline_snapshot import snapshot

PRICES = '[[price]]\nmodels = ["demo:*"]\ninput_tokens = 1\noutput_tokens = 1\n'


async def test_costs_are_reported(client: httpx2.AsyncClient) -> None:
    """A report sums up by what was asked for; the demo model costs nothing."""
    await client.post("/api/v1/agents/support/runs", json={"input": "hello"})
    answer = await client.get("/api/v1/costs", params={"by": "agent", "since": "1d"})
    report = answer.json()
    assert (answer.status_code, report["by"], report["until"]) == (200, "agent", None)
    assert report["data"] == snapshot(
        [
            {
                "key": "support",
                "calls": 1,
                "unpriced_calls": 0,
                "usd": "0",
                "usage": {
                    "input_tokens": 18,
                    "output_tokens": 13,
                    "cached_input_tokens": 0,
                    "cache_write_tokens": 0,
                    "reasoning_tokens": 0,
                    "requests": 1,
                    "tool_calls": 0,
                    "is_estimated": False,
                },
                "what_if": None,
            }
        ]
    )


async def test_costs_of_agents_are_those_of_their_templates(client: httpx2.AsyncClient) -> None:
    """By template, also at other prices, a sum is that of the agents that are made from it."""
    for agent in ("support", "tuned"):
        await client.post(f"/api/v1/agents/{agent}/runs", json={"input": "hello"})
    report = (await client.get("/api/v1/costs", params={"by": "template"})).json()
    assert [(group["key"], group["calls"]) for group in report["data"]] == [("conversation", 2)]
    other = (await client.post("/api/v1/costs", json={"by": "template", "prices": PRICES})).json()
    assert (other["data"][0]["key"], other["data"][0]["what_if"]) == ("conversation", other["total"]["what_if"])
    assert other["total"]["what_if"]["usd"] != "0"


async def test_other_prices_are_asked_in_a_body(client: httpx2.AsyncClient) -> None:
    """A text of prices, or another model, tells what the same calls would cost."""
    await client.post("/api/v1/agents/support/runs", json={"input": "hello"})
    asked = await client.post("/api/v1/costs", json={"by": "model", "prices": PRICES})
    assert asked.json()["total"]["what_if"] == {"usd": "0.000031", "unpriced_calls": 0, "difference_usd": "0.000031"}
    other = await client.get("/api/v1/costs", params={"on_model": "mistral:mistral-large-latest"})
    assert other.json()["total"]["what_if"]["usd"] == "0.0000285"


async def test_the_cost_of_a_run(client: httpx2.AsyncClient) -> None:
    """A run's cost names its steps; an unknown run is 404."""
    run = (await client.post("/api/v1/agents/support/runs", json={"input": "hello"})).json()["id"]
    answer = await client.get(f"/api/v1/runs/{run}/cost")
    assert (answer.json()["cost"], [step["name"] for step in answer.json()["steps"]]) == (
        {"usd": "0", "source": "demo"},
        ["demo"],
    )
    assert (await client.get("/api/v1/runs/run_none/cost")).status_code == 404


async def test_calls_are_listed(client: httpx2.AsyncClient) -> None:
    """The single calls with their runs and steps; a page leads to the next one, and a mistake is told."""
    runs = [(await client.post("/api/v1/agents/support/runs", json={"input": text})).json()["id"] for text in "ab"]
    asked = {"order": "newest", "model": "demo", "limit": 1}
    first = (await client.get("/api/v1/costs/calls", params=asked)).json()
    call = first["data"][0]
    assert (call["run_id"], call["step"], call["agent"], call["cost"]) == (
        runs[1],
        3,
        "support",
        {"usd": "0", "source": "demo"},
    )
    second = (await client.get("/api/v1/costs/calls", params={**asked, "after": first["next"]})).json()
    assert ([each["run_id"] for each in second["data"]], second["has_more"]) == ([runs[0]], False)
    for wrong in ({"after": "x"}, {"after": "eyJ9"}, {"order": "best"}, {"limit": 0}, {"since": "soon"}):
        answer = await client.get("/api/v1/costs/calls", params=wrong)
        assert (answer.status_code, next(iter(wrong)) in answer.text) == (422, True)


@pytest.mark.parametrize("query", [{"by": "planet"}, {"since": "soon"}, {"on_model": "gpt"}, {"colour": "red"}])
async def test_a_mistake_is_told(client: httpx2.AsyncClient, query: dict[str, str]) -> None:
    """What cannot be asked is refused with its place."""
    answer = await client.get("/api/v1/costs", params=query)
    assert answer.status_code == 422
    assert next(iter(query)) in answer.text

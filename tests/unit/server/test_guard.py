"""The guard over HTTP."""

import httpx2


async def test_calls_and_targets_are_reported(client: httpx2.AsyncClient) -> None:
    """Calls are counted by target, and the state of the targets is there with them."""
    await client.post("/api/v1/agents/support/runs", json={"input": "hello"})
    report = (await client.get("/api/v1/guard")).json()
    (model,) = report["data"]
    assert (model["kind"], model["attempts"], model["successes"], model["success_rate"]) == ("model", 1, 1, 1.0)
    states = {each["layer"]: each["state"] for each in report["live"] if each["target"] == model["target"]}
    assert (states["breaker"], states["retry"]) == ("closed", "full")
    metrics = (await client.get("/metrics")).text
    assert f'breaker_state{{place="default",target="{model["target"]}"}} 0.0' in metrics


async def test_a_mistake_is_told(client: httpx2.AsyncClient) -> None:
    """What is no time or no parameter is the caller's mistake."""
    for query in ({"since": "soon"}, {"colour": "red"}):
        assert (await client.get("/api/v1/guard", params=query)).status_code == 422


async def test_policies_are_simulated(client: httpx2.AsyncClient) -> None:
    """A simulation stands beside the record and today's policies; what is wrong with it is told with its place."""
    await client.post("/api/v1/agents/support/runs", json={"input": "hello"})
    asked = {"agent": "support", "policies": [{"name": "once", "guard": {"retry": False}}], "seeds": 2}
    report = (await client.post("/api/v1/guard/simulate", json=asked)).json()
    assert [each["name"] for each in (report["recorded"], *report["data"])] == ["recorded", "today", "once"]
    assert (report["runs"], report["calls"], report["seeds"]) == (1, 1, 2)
    assert {each["success"]["mean"] for each in report["data"]} == {1.0}
    wrong = {"agent": "support", "policies": [{"name": "once", "guard": {"retry": 7}}]}
    answer = await client.post("/api/v1/guard/simulate", json=wrong)
    assert answer.status_code == 422
    assert "/policies/0/guard/retry" in answer.text
    assert (await client.post("/api/v1/guard/simulate", json={"agent": "nobody"})).status_code == 404

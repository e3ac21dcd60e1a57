"""The cache over HTTP."""

import httpx2


async def test_what_is_kept_is_told_and_forgotten(client: httpx2.AsyncClient) -> None:
    """The report has counts and places; deleting forgets a kind, or all, and says how many answers went."""
    report = (await client.get("/api/v1/cache")).json()
    assert (report["hits"], report["misses"], report["joined"], report["saved_usd"]) == (0, 0, 0, "0")
    assert [place["name"] for place in report["places"]] == ["memory", "database"]
    assert report["places"][0]["limit"] == 64_000_000
    assert (await client.delete("/api/v1/cache", params={"of": "tool"})).json()["entries"] == 0
    assert (await client.delete("/api/v1/cache")).json() == {"object": "cache_cleared", "entries": 0}


async def test_a_mistake_is_told(client: httpx2.AsyncClient) -> None:
    """What is no kind is the caller's mistake, and nothing is forgotten."""
    for query in ({"of": "planets"}, {"colour": "red"}):
        assert (await client.delete("/api/v1/cache", params=query)).status_code == 422


async def test_shadow_over_http(client: httpx2.AsyncClient) -> None:
    """Reports and pairs are there, empty at first; to judge what is no pair is a 404, and a wrong verdict a 422."""
    assert (await client.get("/api/v1/cache/shadow", params={"agent": "support"})).json()["data"] == []
    pairs = (await client.get("/api/v1/cache/pairs", params={"judged": "true"})).json()
    assert (pairs["data"], pairs["has_more"]) == ([], False)
    for body, status in (({"verdict": "same"}, 404), ({"verdict": "maybe"}, 422), ({}, 422)):
        assert (await client.post("/api/v1/cache/pairs/run_1/3", json=body)).status_code == status

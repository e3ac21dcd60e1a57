"""What operators ask, and the OpenAPI document."""

import asyncio
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from inline_snapshot import snapshot

from runwright import App
from runwright.errors import ConfigError, MethodNotAllowed, error_classes
from runwright.server.app import listen
from runwright.server.openai import ChatBody
from runwright.server.runs import RunBody

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "http.md"


async def test_probes(client: httpx2.AsyncClient) -> None:
    """A server that is up is alive and ready, and names what it checked when asked."""
    assert (await client.get("/livez")).text == "ok\n"
    assert (await client.get("/readyz")).text == "ready\n"
    assert (await client.get("/readyz", params={"verbose": ""})).text == snapshot("""\
ok store
ok engine
ready
""")


async def test_readiness_tells_strangers_no_more_than_names(client: httpx2.AsyncClient, app: App) -> None:
    """What fails stands in /readyz by name alone, for it needs no key; the reason stands in /health."""
    await app.drain()
    told = await client.get("/readyz")
    assert (told.status_code, told.text) == (503, "failing engine\nnot ready\n")
    checks = (await client.get("/health")).json()["checks"]
    assert [check["detail"] for check in checks if not check["ok"]] == [
        "refuses new runs, the process is about to stop"
    ]


async def test_health_says_which_model_answers(client: httpx2.AsyncClient) -> None:
    """Version, checks, the default model and why, and what the process uses."""
    health = (await client.get("/health")).json()
    assert health["process"].pop("memory_bytes") > 0
    assert health | {"process": sorted(health["process"])} == snapshot(
        {
            "status": "ok",
            "version": "0.1.0",
            "checks": [
                {"name": "store", "ok": True, "detail": "takes rows"},
                {"name": "engine", "ok": True, "detail": "0 runs"},
            ],
            "warnings": [],
            "model": "demo",
            "model_reason": "named in the settings",
            "process": ["cpu_s", "open_files", "peak_memory_bytes", "pid", "uptime_s"],
        }
    )


async def test_a_server_is_drained(client: httpx2.AsyncClient) -> None:
    """Who asks for a drain is told how far it is; the server is not ready then, begins no run, and still answers."""
    assert (await client.get("/api/v1/drain")).json()["status"] == "serving"
    assert (await client.post("/api/v1/drain", json={"timeout_s": -1})).status_code == 422
    begun = await client.post("/api/v1/drain")
    assert (begun.status_code, begun.json()["status"]) == (202, "draining")
    assert (await client.post("/api/v1/agents/upper/runs", json={"input": "x"})).status_code == 503
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/health")).json()["status"] == "draining"
    again = (await client.post("/api/v1/drain", json={"timeout_s": 0})).json()
    assert again["status"] in {"draining", "drained"}


async def test_metrics(client: httpx2.AsyncClient) -> None:
    """Runs are counted in Prometheus text."""
    await client.post("/api/v1/agents/upper/runs", json={"input": "x"})
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'runwright_runs_total{agent="upper",status="completed"} 1.0' in answer.text


async def test_every_error_code_has_a_page(client: httpx2.AsyncClient) -> None:
    """The `type` of a problem leads to what it means."""
    problem = (await client.get("/api/v1/nothing")).json()
    assert (await client.get(problem["type"])).json() == snapshot(
        {"code": "not_found", "title": "There is no such thing.", "status": 404, "retryable": False}
    )
    for code in error_classes():
        assert (await client.get(f"/errors/{code}")).status_code == 200
    assert (await client.get("/errors/none")).status_code == 404


@pytest.mark.parametrize("path", ["/api/v1/runs", "/v1/models"])
async def test_a_wrong_method_is_an_error_of_its_face(client: httpx2.AsyncClient, path: str) -> None:
    """405 comes in the shape of the face, with the methods that are allowed."""
    answer = await client.delete(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    body = answer.json()
    told = body.get("error", body)
    assert error_classes()[told["code"]] is MethodNotAllowed
    is_native = answer.headers["content-type"] == "application/problem+json"
    assert is_native is path.startswith("/api")


async def test_the_document_has_every_endpoint(client: httpx2.AsyncClient, server: FastAPI) -> None:
    """Fast routes and framework routes stand in one OpenAPI document, with the schemas of their bodies."""
    document = (await client.get("/openapi.json")).json()
    listed = sorted(f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item)
    assert listed == snapshot(
        [
            "DELETE /api/v1/agents/{agent}",
            "DELETE /api/v1/cache",
            "DELETE /api/v1/memory/{owner}/blocks/{name}",
            "DELETE /api/v1/schedules/{schedule}",
            "DELETE /api/v1/threads/{thread}",
            "GET /api/v1/agents",
            "GET /api/v1/agents/{agent}",
            "GET /api/v1/agents/{agent}/schema",
            "GET /api/v1/agents/{agent}/versions",
            "GET /api/v1/approvals",
            "GET /api/v1/approvals/{approval}",
            "GET /api/v1/budgets",
            "GET /api/v1/cache",
            "GET /api/v1/cache/pairs",
            "GET /api/v1/cache/shadow",
            "GET /api/v1/costs",
            "GET /api/v1/costs/calls",
            "GET /api/v1/drain",
            "GET /api/v1/errors",
            "GET /api/v1/groups/{group}",
            "GET /api/v1/guard",
            "GET /api/v1/memory",
            "GET /api/v1/memory/{owner}/blocks",
            "GET /api/v1/memory/{owner}/blocks/{name}",
            "GET /api/v1/memory/{owner}/blocks/{name}/blame",
            "GET /api/v1/memory/{owner}/commits",
            "GET /api/v1/memory/{owner}/diff",
            "GET /api/v1/migrations",
            "GET /api/v1/redis",
            "GET /api/v1/runs",
            "GET /api/v1/runs/{run}",
            "GET /api/v1/runs/{run}/cost",
            "GET /api/v1/runs/{run}/diff/{other}",
            "GET /api/v1/runs/{run}/events",
            "GET /api/v1/runs/{run}/export",
            "GET /api/v1/runs/{run}/memory",
            "GET /api/v1/runs/{run}/pin",
            "GET /api/v1/runs/{run}/steps",
            "GET /api/v1/runs/{run}/steps/{seq}",
            "GET /api/v1/schedules",
            "GET /api/v1/schedules/{schedule}",
            "GET /api/v1/schedules/{schedule}/firings",
            "GET /api/v1/stats",
            "GET /api/v1/templates",
            "GET /api/v1/templates/{template}",
            "GET /api/v1/threads",
            "GET /api/v1/threads/{thread}",
            "GET /api/v1/threads/{thread}/messages",
            "GET /api/v1/tools",
            "GET /errors/{code}",
            "GET /health",
            "GET /livez",
            "GET /metrics",
            "GET /readyz",
            "GET /v1/models",
            "GET /v1/models/{model}",
            "PATCH /api/v1/agents/{agent}",
            "PATCH /api/v1/schedules/{schedule}",
            "PATCH /api/v1/threads/{thread}",
            "POST /api/v1/agents",
            "POST /api/v1/agents/validate",
            "POST /api/v1/agents/{agent}/runs",
            "POST /api/v1/agents/{agent}/versions",
            "POST /api/v1/approvals/{approval}/resolve",
            "POST /api/v1/budgets/raise",
            "POST /api/v1/cache/pairs/{run}/{step}",
            "POST /api/v1/costs",
            "POST /api/v1/drain",
            "POST /api/v1/guard/simulate",
            "POST /api/v1/memory/{owner}/restore",
            "POST /api/v1/migrations",
            "POST /api/v1/runs/chain",
            "POST /api/v1/runs/import",
            "POST /api/v1/runs/parallel",
            "POST /api/v1/runs/{run}/cancel",
            "POST /api/v1/runs/{run}/fork",
            "POST /api/v1/runs/{run}/pause",
            "POST /api/v1/runs/{run}/pin",
            "POST /api/v1/runs/{run}/replay",
            "POST /api/v1/runs/{run}/resolve",
            "POST /api/v1/runs/{run}/resume",
            "POST /api/v1/runs/{run}/unpin",
            "POST /api/v1/schedules",
            "POST /api/v1/schedules/{schedule}/pause",
            "POST /api/v1/schedules/{schedule}/resume",
            "POST /api/v1/schedules/{schedule}/trigger",
            "POST /api/v1/threads",
            "POST /v1/chat/completions",
            "PUT /api/v1/agents/{agent}",
            "PUT /api/v1/memory/{owner}/blocks/{name}",
            "PUT /api/v1/schedules/{schedule}",
        ]
    )
    body = document["paths"]["/api/v1/agents/{agent}/runs"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/RunBody"}
    assert "RunBody" in document["components"]["schemas"]
    page = (await client.get("/docs")).text
    assert "/api/v1/runs/{run}/events" in page
    assert "//" not in page.replace("openapi.json", "")


def test_an_address_in_use_is_said() -> None:
    """A port that is taken is a configuration error that names it."""
    with listen("127.0.0.1", 0) as taken, pytest.raises(ConfigError, match="Choose another address"):
        listen("127.0.0.1", taken.getsockname()[1])


async def test_every_body_is_described_by_its_fields(server: FastAPI) -> None:
    """No body is a bare object in the document."""
    schemas = server.openapi()["components"]["schemas"]
    assert [name for name, schema in schemas.items() if not schema.get("properties")] == []


async def test_the_reference_page_has_every_endpoint(server: FastAPI) -> None:
    """No endpoint, body field or header stays undocumented."""
    page = await asyncio.to_thread(PAGE.read_text, encoding="utf-8")
    document = server.openapi()
    listed = [f"`{method.upper()} {path}`" for path, item in document["paths"].items() for method in item]
    assert [endpoint for endpoint in listed if endpoint not in page] == []
    fields = [f"`{name}`" for kind in (RunBody, ChatBody) for name in kind.__struct_fields__]
    assert [name for name in fields if name not in page and name != "`stream_options`"] == []

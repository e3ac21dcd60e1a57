"""Agents and templates over HTTP, against a real App in memory."""

import httpx2
from inline_snapshot import snapshot

from runwright.agents.registry import BUILT_IN
from tests.unit.server.conftest import plain

AGENTS = "/api/v1/agents"
DEFINITION = {"name": "helper", "model": "demo", "instructions": "Help."}


async def test_an_agent_is_made_changed_and_taken_away(client: httpx2.AsyncClient) -> None:
    """The life of an agent that is made over the API; each change is a new version."""
    made = await client.post(AGENTS, json=DEFINITION)
    assert (made.status_code, made.headers["location"]) == (201, f"{AGENTS}/helper")
    assert plain(made.json()) == snapshot(
        {
            "name": "helper",
            "object": "agent",
            "version": "1.0.0",
            "template": "conversation",
            "template_version": "1.0.0",
            "description": "",
            "source": "api",
            "place": None,
            "is_active": True,
            "fingerprint": "<fingerprint>",
            "definition": {
                "name": "helper",
                "template": "conversation",
                "version": "1.0.0",
                "description": "",
                "metadata": {},
                "model": "demo",
                "instructions": "Help.",
            },
            "tools": [],
            "created_at": "<created_at>",
        }
    )
    again = await client.post(AGENTS, json=DEFINITION)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert (await client.put(f"{AGENTS}/helper", json=DEFINITION | {"instructions": "Help more."})).status_code == 200
    patched = await client.patch(f"{AGENTS}/helper", json={"description": "Helps."})
    assert (patched.json()["version"], patched.json()["description"]) == ("1.0.2", "Helps.")
    version = await client.post(f"{AGENTS}/helper/versions", json=DEFINITION | {"version": "2.0.0"})
    assert (version.status_code, version.json()["version"]) == (201, "2.0.0")
    versions = (await client.get(f"{AGENTS}/helper/versions")).json()
    assert [(view["version"], view["is_active"]) for view in versions["data"]] == snapshot(
        [("2.0.0", True), ("1.0.2", False), ("1.0.1", False), ("1.0.0", False)]
    )
    run = (await client.post(f"{AGENTS}/helper/runs", json={"input": "hi", "version": "1.0.0"})).json()
    assert (run["version"], run["status"]) == ("1.0.0", "completed")
    assert (await client.delete(f"{AGENTS}/helper")).status_code == 204
    assert (await client.get(f"{AGENTS}/helper")).status_code == 404
    assert (await client.get(f"/api/v1/runs/{run['id']}")).status_code == 200


async def test_agents_are_listed_by_page(client: httpx2.AsyncClient) -> None:
    """Pages follow each other by name."""
    first = (await client.get(AGENTS, params={"limit": 2})).json()
    second = (await client.get(AGENTS, params={"limit": 2, "after": first["next"]})).json()
    assert [agent["name"] for page in (first, second) for agent in page["data"]] == snapshot(
        ["asks", "busy", "fails", "mails"]
    )
    assert (await client.get(AGENTS, params={"limit": 0})).status_code == 422


async def test_a_definition_is_checked_without_being_kept(client: httpx2.AsyncClient) -> None:
    """Validation points at what is wrong and makes nothing."""
    good = await client.post(f"{AGENTS}/validate", json=DEFINITION)
    assert good.json() == {"valid": True, "errors": []}
    bad = await client.post(f"{AGENTS}/validate", json={"name": "x", "instructions": 1, "tools": ["nothing"]})
    assert (bad.status_code, bad.json()) == snapshot(
        (
            200,
            {
                "valid": False,
                "errors": [{"pointer": "/instructions", "detail": "Input should be a valid string, not 1"}],
            },
        )
    )
    assert (await client.get(f"{AGENTS}/helper")).status_code == 404
    wrong = await client.post(AGENTS, json={"name": "x", "instruction": "y"})
    assert plain(wrong.json()) == snapshot(
        {
            "type": "/errors/invalid_request",
            "title": "The request is not valid",
            "status": 422,
            "detail": "/instruction: there is no field 'instruction'; did you mean 'instructions'?",
            "code": "invalid_request",
            "retryable": False,
            "request_id": "<request_id>",
            "errors": [
                {"pointer": "/instruction", "detail": "there is no field 'instruction'; did you mean 'instructions'?"}
            ],
        }
    )


async def test_agents_of_code_are_read_only(client: httpx2.AsyncClient) -> None:
    """What is defined in code is changed there."""
    for answer in (
        await client.put(f"{AGENTS}/support", json={"model": "demo"}),
        await client.patch(f"{AGENTS}/support", json={}),
        await client.delete(f"{AGENTS}/support"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_schemas_and_templates(client: httpx2.AsyncClient) -> None:
    """A form for an agent or its input can be made from what the API says."""
    schema = (await client.get(f"{AGENTS}/structured/schema")).json()
    assert schema["output"]["properties"] == {"city": {"title": "City", "type": "string"}}
    templates = (await client.get("/api/v1/templates")).json()["data"]
    assert [template["name"] for template in templates] == sorted(each.name for each in BUILT_IN)
    one = (await client.get("/api/v1/templates/conversation")).json()
    assert "instructions" in one["schema"]["properties"]
    assert (await client.get("/api/v1/templates/conversation@^1")).json() == one
    for unknown in ("nothing", "conversation@^9"):
        assert (await client.get(f"/api/v1/templates/{unknown}")).status_code == 404
    assert (await client.get("/api/v1/tools")).json()["data"] == []


async def test_migrations(client: httpx2.AsyncClient) -> None:
    """What is behind its template is listed; where nothing is, nothing is changed."""
    await client.post(AGENTS, json=DEFINITION)
    listed = (await client.get("/api/v1/migrations")).json()["data"]
    assert {each["agent"]: each["state"] for each in listed}["helper"] == "current"
    done = await client.post("/api/v1/migrations", json={"agents": ["helper"], "since": "0.9.0"})
    assert (done.status_code, done.json()["data"]) == (200, [])
    assert (await client.post("/api/v1/migrations")).json()["data"] == []
    wrong = await client.post("/api/v1/migrations", json={"agent": "helper"})
    assert wrong.status_code == 422


async def test_a_caller_names_no_file_as_a_model(client: httpx2.AsyncClient) -> None:
    """Over the API a model is a known one: a path would load any file, and tell which files there are."""
    path = "local:/etc/x.gguf"
    made = await client.post("/api/v1/agents", json={"name": "evil", "model": path})
    assert (made.status_code, made.json()["errors"][0]["pointer"]) == (422, "/model")
    run = await client.post("/api/v1/agents/support/runs", json={"input": "x", "config": {"model": path}})
    assert (run.status_code, run.json()["errors"][0]["pointer"]) == (422, "/config/model")

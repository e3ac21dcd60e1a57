"""Agents and templates over HTTP."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from runwright.core.agent import Definition
from runwright.server.reference import documented
from runwright.server.runs import Limit
from runwright.server.wire import Answer, decode, read_body, served
from runwright.service.migrations import EVERY, Asking, MigrationView
from runwright.service.views import AgentSchema, AgentView, Page, Problem, TemplateView, ToolView

router = APIRouter(prefix="/api/v1", tags=["agents"])

Version = Annotated[str | None, Query(description="The current version when left out.")]


_asking = msgspec.json.Decoder(Asking)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a definition is valid, and what is wrong where."""

    valid: bool
    errors: list[Problem]


@router.get("/agents", **documented(Page[AgentView]))
async def list_agents(request: Request, after: str | None = None, limit: Limit = 50) -> Response:
    """Agents by name."""
    return Answer(await served(request).agents.list(after=after, limit=limit))


@router.post("/agents", **documented(AgentView, body=Definition, status=201))
async def create_agent(request: Request) -> Response:
    """Make an agent of a definition."""
    view = await served(request).agents.create(await read_body(request.receive))
    return Answer(view, status_code=201, headers={"location": f"/api/v1/agents/{view.name}"})


@router.post("/agents/validate", **documented(Verdict, body=Definition))
async def validate_agent(request: Request) -> Response:
    """Check a definition and change nothing."""
    errors = list(await served(request).agents.validate(await read_body(request.receive)))
    return Answer(Verdict(valid=not errors, errors=errors))


@router.get("/agents/{agent}", **documented(AgentView))
async def get_agent(request: Request, agent: str, version: Version = None) -> Response:
    """One agent."""
    return Answer(await served(request).agents.get(agent, version))


@router.put("/agents/{agent}", **documented(AgentView, body=Definition))
async def replace_agent(request: Request, agent: str) -> Response:
    """Replace the definition of an agent made here; what changed is a new version."""
    return Answer(await served(request).agents.update(agent, await read_body(request.receive)))


@router.patch("/agents/{agent}", **documented(AgentView, body=Definition))
async def patch_agent(request: Request, agent: str) -> Response:
    """Change parts of a definition by a JSON merge patch (RFC 7396)."""
    return Answer(await served(request).agents.patch(agent, await read_body(request.receive)))


@router.delete("/agents/{agent}", **documented(None, status=204))
async def delete_agent(request: Request, agent: str) -> Response:
    """Make an agent unknown; its runs stay."""
    await served(request).agents.delete(agent)
    return Response(status_code=204)


@router.get("/agents/{agent}/schema", **documented(AgentSchema))
async def get_schema(request: Request, agent: str, version: Version = None) -> Response:
    """What an agent takes and gives."""
    return Answer(await served(request).agents.schema(agent, version))


@router.get("/agents/{agent}/versions", **documented(Page[AgentView]))
async def list_versions(request: Request, agent: str) -> Response:
    """All versions of an agent, newest first."""
    return Answer(await served(request).agents.versions(agent))


@router.post("/agents/{agent}/versions", **documented(AgentView, body=Definition, status=201))
async def create_version(request: Request, agent: str) -> Response:
    """Make the next version of an agent and serve it."""
    view = await served(request).agents.update(agent, await read_body(request.receive))
    location = f"/api/v1/agents/{view.name}?version={quote(view.version)}"
    return Answer(view, status_code=201, headers={"location": location})


@router.get("/templates", **documented(Page[TemplateView]))
async def list_templates(request: Request) -> Response:
    """The templates that agents are made from, each with the schema of its configuration."""
    return Answer(await served(request).agents.templates())


@router.get("/templates/{template}", **documented(TemplateView))
async def get_template(request: Request, template: str) -> Response:
    """One template."""
    return Answer(await served(request).agents.template(template))


@router.get("/migrations", **documented(Page[MigrationView]))
async def list_migrations(
    request: Request, since: Annotated[str | None, Query(description="What the definitions were written for.")] = None
) -> Response:
    """Every definition beside the versions of its template, and what moving it to the newest would change."""
    return Answer(await served(request).migrations.list(Asking(since=since)))


@router.post("/migrations", **documented(Page[MigrationView], body=Asking))
async def migrate_agents(request: Request) -> Response:
    """Move definitions that were made here to the newest version of their template."""
    body = await read_body(request.receive)
    return Answer(await served(request).migrations.perform(decode(_asking, body) if body else EVERY))


@router.get("/tools", **documented(Page[ToolView]))
async def list_tools(request: Request) -> Response:
    """The tools that definitions may name."""
    return Answer(await served(request).agents.tools())

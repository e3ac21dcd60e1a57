"""Agents: which there are, what each is, and the forms that make, change and delete those made here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from runwright.agents.schema import SHARED
from runwright.core.ports import RunFilter
from runwright.core.values import is_list, is_object
from runwright.errors import Conflict, InvalidRequest
from runwright.service.views import AgentSchema, AgentView, Problem, RunView
from runwright.service.views import Page as Listed
from runwright.studio.forms import Field, Posted, Schema, form, is_draft, read
from runwright.studio.page import Action, Again, Ask, Page
from runwright.studio.usage import Used, used

ON_A_PAGE = 100
RECENT = 10

_TEXT: Schema = {"type": "string"}
_NAME: Schema = {**_TEXT, "description": "Up to 64 letters, digits, '.', '_' and '-'."}
_ABOUT: Schema = {**_TEXT, "description": "What the agent is for."}
_VERSION: Schema = {**_TEXT, "description": "A semantic version. Left empty, a change becomes the next patch version."}
_BESIDE: Mapping[str, Schema] = {
    "guard": {"type": "object", "description": "Policies for the agent's calls, as JSON."},
    "metadata": {"type": "object", "description": "Labels of your own, as JSON."},
}


class AgentList(msgspec.Struct, frozen=True, kw_only=True):
    """The agents by name, and what is wrong with definitions."""

    agents: Listed[AgentView]
    problems: Sequence[Problem]


class AgentPage(msgspec.Struct, frozen=True, kw_only=True):
    """An agent with its versions, what it takes and gives, and what its runs came to."""

    agent: AgentView
    versions: Sequence[AgentView]
    schema: AgentSchema
    runs: Listed[RunView]
    used: Used
    can_change: bool


class AgentForm(msgspec.Struct, frozen=True, kw_only=True):
    """The definition of an agent as a form; `agent` is the name of the one that is changed, `seen` its version."""

    template: str
    form: Field
    agent: str | None = None
    seen: str = ""
    is_checked: bool = False


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """The agent that is about to be deleted."""

    agent: AgentView


async def list_agents(ask: Ask) -> AgentList:
    """A page of agents, and the problems of definitions."""
    app = ask.app
    agents = await app.agents.list(after=ask.query.get("after"), limit=ON_A_PAGE)
    found = [Problem(pointer=place, detail=detail) for place, detail in await asyncio.to_thread(app.schedules.troubles)]
    for each in (await app.migrations.list()).data:
        place = each.place or each.agent
        found += [Problem(pointer=place, detail=problem.detail) for problem in each.problems]
        if each.state == "behind":
            told = f"is built from {each.template} {each.serving}; {each.newest} is the newest"
            found.append(Problem(pointer=place, detail=told))
    return AgentList(agents=agents, problems=found)


async def show_agent(ask: Ask) -> AgentPage:
    """One agent. Raises NotFound."""
    app, name, version = ask.app, ask.name("agent"), ask.query.get("version")
    agent = await app.agents.get(name, version)
    return AgentPage(
        agent=agent,
        versions=(await app.agents.versions(name)).data,
        schema=await app.agents.schema(name, version),
        runs=await app.runs.find(RunFilter(agent=name, limit=RECENT), is_brief=True),
        used=await used(ask, agent=name),
        can_change=agent.source == "api",
    )


async def blank_form(ask: Ask) -> AgentForm:
    """An empty form of a template, or one with the definition of the agent that is copied."""
    data: dict[str, object] = {}
    if "copy" in ask.query:
        copied = (await ask.app.agents.get(ask.query["copy"])).definition
        data = {name: each for name, each in copied.items() if name not in {"template", "version"}}
        data["name"] = f"{copied['name']}-copy"
    return await _form(ask, ask.name("template"), Posted(data=data))


async def edit_form(ask: Ask) -> AgentForm:
    """The form of an agent that was made here. Raises NotFound, and Conflict for agents of code and files."""
    agent = await _own(ask)
    data = {name: each for name, each in agent.definition.items() if name not in {"template", "version"}}
    made = await _form(ask, agent.template, Posted(data=data))
    return msgspec.structs.replace(made, agent=agent.name, seen=agent.version)


async def confirm(ask: Ask) -> Deletion:
    """What would be deleted. Raises NotFound, and Conflict for agents of code and files."""
    return Deletion(agent=await _own(ask))


async def create(ask: Ask) -> str | Again:
    """Make an agent of what was typed."""
    template, pairs = ask.name("template"), await ask.form()
    return await _submit(ask, AgentForm(template=template, form=_NOTHING), pairs)


async def change(ask: Ask) -> str | Again:
    """Make what was typed the next version of an agent."""
    agent, pairs = await _own(ask), await ask.form()
    seen = pairs.get("seen", [""])[0]
    return await _submit(ask, AgentForm(template=agent.template, form=_NOTHING, agent=agent.name, seen=seen), pairs)


async def delete(ask: Ask) -> str:
    """Make an agent unknown; its runs stay."""
    await ask.app.agents.delete(ask.name("agent"))
    return ask.url("/agents")


async def _submit(ask: Ask, around: AgentForm, pairs: Mapping[str, Sequence[str]]) -> str | Again:
    """Store what was typed, or show it again: after another row, after a check, and with what is wrong."""
    posted = read(await _schema(ask, around.template), pairs)
    page = NEW if around.agent is None else EDIT
    if is_draft(pairs):
        return Again(page=page, view=await _again(ask, around, posted), status=200)
    definition = {**posted.data, "template": around.template}
    if pairs.get("do") == ["check"] or posted.problems:
        if around.agent is not None:
            definition = {"name": around.agent, **definition}
        problems = [(each.pointer, each.detail) for each in await ask.app.agents.validate(definition)]
        view = await _again(ask, around, posted, problems=problems)
        is_fit = not problems and not posted.problems
        return Again(page=page, view=msgspec.structs.replace(view, is_checked=is_fit), status=200 if is_fit else 422)
    try:
        return ask.url(f"/agents/{await _store(ask, around, definition)}")
    except InvalidRequest as error:
        found = error.problems or (("", error.public),)
        return Again(page=page, view=await _again(ask, around, posted, problems=found))
    except Conflict as error:
        current = await ask.app.agents.get(around.agent) if around.agent is not None else None
        view = await _again(ask, around, posted, problems=[("", error.public)])
        seen = current.version if current else ""
        return Again(page=page, view=msgspec.structs.replace(view, seen=seen), status=409)


async def _store(ask: Ask, around: AgentForm, definition: Mapping[str, object]) -> str:
    """The name of the agent that was stored. Raises InvalidRequest and Conflict."""
    agents = ask.app.agents
    if around.agent is None:
        return (await agents.create(definition)).name
    current = await agents.get(around.agent)
    if around.seen and around.seen != current.version:
        told = f"Somebody made version {current.version} of this agent meanwhile; save again to go past it."
        raise Conflict(told)
    return (await agents.update(around.agent, definition)).name


async def _again(ask: Ask, around: AgentForm, posted: Posted, *, problems: Sequence[tuple[str, str]] = ()) -> AgentForm:
    made = await _form(ask, around.template, posted, problems=problems)
    return msgspec.structs.replace(around, form=made.form)


async def _form(ask: Ask, template: str, posted: Posted, *, problems: Sequence[tuple[str, str]] = ()) -> AgentForm:
    schema = await _schema(ask, template)
    return AgentForm(template=template, form=await asyncio.to_thread(lambda: form(schema, posted, problems=problems)))


async def _schema(ask: Ask, template: str) -> Schema:
    """The JSON Schema of a whole definition, where its fields stand as in a file. Raises NotFound."""
    config = (await ask.app.agents.template(template)).schema
    fields = config.get("properties")
    required = config.get("required")
    fields, required = fields if is_object(fields) else {}, required if is_list(required) else []
    head: Mapping[str, object] = {"name": _NAME, **({"model": fields["model"]} if "model" in fields else {})}
    shared = {name: each for name, each in fields.items() if name in SHARED and name not in head}
    rest = {name: each for name, each in fields.items() if name not in SHARED}
    inner = {"config": {"type": "object", "properties": rest, "required": required}} if rest else {}
    return {
        **config,
        "properties": {**head, "version": _VERSION, "description": _ABOUT, **shared, **inner, **_BESIDE},
        "required": ["name", *required, *(["config"] if rest.keys() & required else [])],
        "title": "",
        "description": "",
    }


async def _own(ask: Ask) -> AgentView:
    agent = await ask.app.agents.get(ask.name("agent"))
    if agent.source != "api":
        raise Conflict(f"Agent {agent.name!r} is defined in {agent.place}: change it there, or copy it.")
    return agent


_NOTHING = Field(name="", kind="group", label="")
NEW = Page(path="/templates/{template}/agent", view=blank_form, template="agent_form.html", title="Create an agent")
EDIT = Page(path="/agents/{agent}/edit", view=edit_form, template="agent_form.html", title="Change an agent")
PAGES = (
    Page(path="/agents", view=list_agents, template="agents.html", title="Agents", nav="Agents"),
    Page(path="/agents/{agent}", view=show_agent, template="agent.html", title="Agent"),
    NEW,
    EDIT,
    Page(path="/agents/{agent}/delete", view=confirm, template="agent_delete.html", title="Delete an agent"),
)
ACTIONS = (
    Action(path=NEW.path, act=create),
    Action(path=EDIT.path, act=change),
    Action(path="/agents/{agent}/delete", act=delete),
)

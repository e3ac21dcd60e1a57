"""Templates: what agents can be made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from runwright.errors import NotFound
from runwright.service.migrations import MigrationView
from runwright.service.views import TemplateView
from runwright.studio.page import Ask, Page
from runwright.studio.usage import Figures, Used, figures, used


class TemplateList(msgspec.Struct, frozen=True, kw_only=True):
    """The newest version of every template, and what the agents of each came to in 30 days, by its name."""

    templates: Sequence[TemplateView]
    figures: Mapping[str, Figures]


class TemplatePage(msgspec.Struct, frozen=True, kw_only=True):
    """A template in all its versions, the newest first, the definitions that are made from it, and how much its agents
    are used; `agents` are those that ran.
    """

    template: TemplateView
    versions: Sequence[TemplateView]
    definitions: Sequence[MigrationView]
    used: Used
    agents: Sequence[Figures]


async def list_templates(ask: Ask) -> TemplateList:
    """The templates by name."""
    templates = [each for each in (await ask.app.agents.templates()).data if each.is_newest]
    found = {each.name: each for each in await figures(ask, "template") if each.name is not None}
    return TemplateList(templates=templates, figures=found)


async def show_template(ask: Ask) -> TemplatePage:
    """One template. Raises NotFound."""
    app, name = ask.app, ask.name("template")
    every = [each for each in (await app.agents.templates()).data if each.name == name]
    asked = ask.query.get("version")
    shown = next((each for each in every if asked in {None, each.version}), None)
    if shown is None:
        raise NotFound(f"There is no template {name!r}{f' in version {asked!r}' if asked else ''}.")
    definitions = [each for each in (await app.migrations.list()).data if each.template.partition("@")[0] == name]
    return TemplatePage(
        template=shown,
        versions=every,
        definitions=definitions,
        used=await used(ask, template=name),
        agents=await figures(ask, "agent", template=name),
    )


PAGES = (
    Page(path="/templates", view=list_templates, template="templates.html", title="Templates", nav="Templates"),
    Page(path="/templates/{template}", view=show_template, template="template.html", title="Template"),
)

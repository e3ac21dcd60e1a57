"""The pages, one file a noun, in the order of the navigation."""

from runwright.studio.page import Action, Page
from runwright.studio.pages import agents, approvals, groups, playground, runs, system, templates

PAGES: tuple[Page, ...] = (
    *runs.PAGES,
    *groups.PAGES,
    *playground.PAGES,
    *approvals.PAGES,
    *agents.PAGES,
    *templates.PAGES,
    *system.PAGES,
)
ACTIONS: tuple[Action, ...] = (
    *runs.ACTIONS,
    *playground.ACTIONS,
    *approvals.ACTIONS,
    *agents.ACTIONS,
)

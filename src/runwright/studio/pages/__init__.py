"""The pages, one file a noun, in the order of the navigation."""

from runwright.studio.page import Action, Page
from runwright.studio.pages import agents, groups, runs, system, templates

PAGES: tuple[Page, ...] = (*runs.PAGES, *groups.PAGES, *agents.PAGES, *templates.PAGES, *system.PAGES)
ACTIONS: tuple[Action, ...] = (*runs.ACTIONS, *agents.ACTIONS)

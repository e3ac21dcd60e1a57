"""The pages, one file a noun, in the order of the navigation."""

from runwright.studio.page import Action, Page
from runwright.studio.pages import agents, runs, system, templates

PAGES: tuple[Page, ...] = (*runs.PAGES, *agents.PAGES, *templates.PAGES, *system.PAGES)
ACTIONS: tuple[Action, ...] = (*runs.ACTIONS, *agents.ACTIONS)

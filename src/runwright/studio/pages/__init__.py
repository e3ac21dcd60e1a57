"""The pages, one file a noun, in the order of the navigation."""

from runwright.studio.page import Action, Page
from runwright.studio.pages import runs, system

PAGES: tuple[Page, ...] = (*runs.PAGES, *system.PAGES)
ACTIONS: tuple[Action, ...] = (*runs.ACTIONS,)

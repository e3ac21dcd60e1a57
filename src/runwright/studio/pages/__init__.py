"""The pages, one file a noun, in the order of the navigation."""

from runwright.studio.page import Action, Page
from runwright.studio.pages import (
    agents,
    approvals,
    costs,
    diff,
    groups,
    guard,
    home,
    memory,
    playground,
    replay,
    run,
    runs,
    schedules,
    settings,
    system,
    templates,
    threads,
)

PAGES: tuple[Page, ...] = (
    *home.PAGES,
    *runs.PAGES,
    *run.PAGES,
    *diff.PAGES,
    *replay.PAGES,
    *groups.PAGES,
    *playground.PAGES,
    *threads.PAGES,
    *approvals.PAGES,
    *schedules.PAGES,
    *agents.PAGES,
    *templates.PAGES,
    *costs.PAGES,
    *memory.PAGES,
    *guard.PAGES,
    *settings.PAGES,
    *system.PAGES,
)
ACTIONS: tuple[Action, ...] = (
    *runs.ACTIONS,
    *run.ACTIONS,
    *replay.ACTIONS,
    *playground.ACTIONS,
    *threads.ACTIONS,
    *approvals.ACTIONS,
    *schedules.ACTIONS,
    *agents.ACTIONS,
    *memory.ACTIONS,
    *guard.ACTIONS,
)

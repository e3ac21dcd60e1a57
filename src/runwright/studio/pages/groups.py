"""Groups: the runs that carry a label, as one story."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from runwright.service.groups import LARGEST, GroupView
from runwright.service.views import CostGroup, CostQuery
from runwright.studio.page import Ask, Page

STEPS = 200
"""Steps of all runs together that the page of a group shows."""

MEMBERS = 200
"""Runs that it lists at once."""


class GroupList(msgspec.Struct, frozen=True, kw_only=True):
    """The groups that called something since a time, and what that cost."""

    since: str
    groups: Sequence[CostGroup]


class GroupPage(msgspec.Struct, frozen=True, kw_only=True):
    """A group with a page of its runs: those from the place `start` on; `next` is where those of the next one begin."""

    story: GroupView
    start: int
    next: int | None


async def list_groups(ask: Ask) -> GroupList:
    """Groups by name. Raises InvalidRequest for a time that cannot be read."""
    since = ask.query.get("since", "30d")
    report = await ask.app.costs.report(CostQuery(by="group", since=since))
    return GroupList(since=since, groups=[each for each in report.data if each.key is not None])


async def show_group(ask: Ask) -> GroupPage:
    """One group. Raises NotFound and InvalidRequest."""
    start = ask.number("from", 0, most=LARGEST)
    story = await ask.app.groups.get(ask.name("group"), steps=STEPS)
    end = start + MEMBERS
    return GroupPage(
        story=msgspec.structs.replace(story, members=story.members[start:end]),
        start=start,
        next=end if end < len(story.members) else None,
    )


PAGES = (
    Page(path="/groups", view=list_groups, template="groups.html", title="Groups", under="/runs"),
    Page(path="/groups/{group:path}", view=show_group, template="group.html", title="Group", under="/runs"),
)

"""The effective configuration, with where each value comes from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec

from runwright.service.config import Value, shown
from runwright.studio.page import Ask, Page


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that belong together."""

    name: str
    values: Sequence[Value]


class SettingsView(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting; secrets are hidden. `text` is what their names contain, `is_set` leaves defaults out."""

    sections: Sequence[Section]
    text: str
    is_set: bool


async def show_settings(ask: Ask) -> SettingsView:
    """Every setting, or those that were asked for."""
    text, is_set = ask.query.get("text", ""), "set" in ask.query
    values = [
        value
        for value in shown(ask.app.settings)
        if text.lower() in value.name.lower() and not (is_set and value.origin == "default")
    ]
    values.sort(key=_section)
    sections = [Section(name=name, values=list(found)) for name, found in groupby(values, key=_section)]
    return SettingsView(sections=sections, text=text, is_set=is_set)


def _section(value: Value) -> str:
    section, dot, _ = value.name.partition(".")
    return section if dot else ""


PAGES = (Page(path="/settings", view=show_settings, template="settings.html", title="Settings", nav="Settings"),)

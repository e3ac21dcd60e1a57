"""Fields of the studio's pages hold text as it is: what they show is sent again with the next form."""

import re
from collections.abc import Iterator
from importlib.resources import files

SHOWN = re.compile(r'\svalue="[^"{]*\{\{(.*?)\}\}|<textarea[^>]*>\s*\{\{(.*?)\}\}', re.DOTALL)


def _shown() -> Iterator[tuple[str, str]]:
    """What stands in fields, each with the template that it stands in."""
    for page in (files("runwright.studio") / "templates").iterdir():
        for found in SHOWN.finditer(page.read_text(encoding="utf-8")):
            yield page.name, (found[1] or found[2]).strip()


def test_fields_hold_what_was_typed() -> None:
    """No value of a field is made inert: characters that nobody sees would be lost from what was asked for."""
    shown = list(_shown())
    assert len(shown) > 50
    assert [(page, value) for page, value in shown if not value.endswith("| typed")] == []

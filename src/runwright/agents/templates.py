"""The templates that definitions can name, in all their versions, and what those need of their surroundings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib import metadata

import msgspec

from runwright import plugins
from runwright.agents.base import NEEDS, Template
from runwright.agents.schema import config_error, did_you_mean
from runwright.agents.version import Constraint, Version, newest
from runwright.errors import ConfigError

AT = "/template"
"""Where a definition names its template."""


class Asked(msgspec.Struct, frozen=True):
    """What a definition names: `report`, or `report@^1.2`."""

    name: str
    constraint: Constraint

    @classmethod
    def read(cls, text: str) -> Asked:
        """A name, with a constraint after an `@` where there is one. Raises ConfigError."""
        name, _, constraint = text.partition("@")
        try:
            return cls(name, Constraint.read(constraint))
        except ValueError as error:
            raise config_error([(AT, f"{text!r}: {error}")]) from None


class Templates(Mapping[str, type[Template]]):
    """Templates by name. Several versions of one stand side by side; the name alone is the newest release."""

    def __init__(self, templates: Iterable[type[Template]] = ()) -> None:
        """Raises ConfigError for two of one name and version."""
        found: dict[str, dict[str, type[Template]]] = {}
        for each in templates:
            other = found.setdefault(each.name, {}).setdefault(each.version, each)
            if other is not each:
                raise taken(each, by=other)
        self._found = {
            name: dict(sorted(versions.items(), key=lambda each: Version.read(each[0]).key, reverse=True))
            for name, versions in found.items()
        }

    def __getitem__(self, name: str) -> type[Template]:
        versions = self._found[name]
        return versions[newest(versions) or next(iter(versions))]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def every(self) -> Iterator[type[Template]]:
        """Every version of every template, by name and the newest first."""
        for name in sorted(self._found):
            yield from self._found[name].values()

    def versions(self, name: str) -> tuple[str, ...]:
        """The versions of a template, the newest first; none for a name that is not known."""
        return tuple(self._found.get(name, ()))

    def find(self, asked: str) -> type[Template]:
        """The newest version that `name` or `name@constraint` allows. Raises ConfigError at `/template`."""
        wanted = Asked.read(asked)
        versions = self._found.get(wanted.name)
        if versions is None:
            hint = did_you_mean(wanted.name, self._found)
            raise config_error([(AT, f"there is no template {wanted.name!r}{hint}")])
        fitting = newest(versions, wanted.constraint)
        if fitting is None:
            told = f"no version of template {wanted.name!r} fits {wanted.constraint.text!r}; there are: "
            raise config_error([(AT, f"{told}{', '.join(versions)}. See: runwright templates check")])
        return versions[fitting]


def taken(template: type[Template], *, by: type[Template]) -> ConfigError:
    """Two templates of one name and version."""
    told = f"there is a template {by.name!r} {by.version} already, {place_of(by)}: raise the version, or rename it"
    return config_error([(place_of(template), told)])


def place_of(template: type[Template]) -> str:
    """Where a template's class stands."""
    return f"{template.__module__}:{template.__qualname__}"


class Surrounding(msgspec.Struct, frozen=True):
    """What a template may need: whether a variable is set, and the names of the tools."""

    has_key: Callable[[str], bool]
    tools: Iterable[str]

    def missing(self, template: type[Template]) -> list[str]:
        """What a template declares to need and is not there, each with what to do."""
        extras, tools, keys = (template.requires.get(each, ()) for each in NEEDS)
        known = set(self.tools)
        return [
            *(f"the extra {each!r}: pip install '{_extra(each)}'" for each in extras if not has_extra(each)),
            *(f"a tool {each!r}{did_you_mean(each, known)}" for each in tools if each not in known),
            *(f"the variable {each}: set it" for each in keys if not self.has_key(each)),
        ]

    def check(self, template: type[Template]) -> None:
        """Raise ConfigError at `/template` with everything that is missing."""
        if missing := self.missing(template):
            raise config_error((AT, f"template {template.name!r} {template.version} needs {each}") for each in missing)


@cache
def has_extra(extra: str) -> bool:
    """Whether all packages of an extra are installed: `js` of Runwright's own, `acme[fast]` of another package.

    Looked at once: agents are built with other configurations on the event loop too.
    """
    name, _, inner = _extra(extra).rstrip("]").partition("[")
    try:
        needed = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return False
    marker = re.compile(rf"""extra\s*==\s*['"]{re.escape(inner)}['"]""")
    named = [match[0] for each in needed if marker.search(each) and (match := re.match(r"[A-Za-z0-9._-]+", each))]
    return bool(named) and all(map(_is_installed, named))


def _extra(extra: str) -> str:
    return extra if "[" in extra else f"runwright[{extra}]"


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def registered(template: type[Template]) -> None:
    """Tell a template that it was taken up. Raises ConfigError with the place of its class."""
    place = place_of(template)
    try:
        plugins.guarded(place, template.registered)
    except ConfigError as error:
        raise config_error(error.problems or [(place, error.message)]) from error


def joined(built_in: Templates, found: Templates) -> tuple[Templates, list[tuple[str, str]]]:
    """Built-in templates and those that were found, each told so; and what is wrong, as (place, detail) pairs."""
    known = {(each.name, each.version): each for each in built_in.every()}
    problems: list[tuple[str, str]] = []
    for each in found.every():
        try:
            if other := known.get((each.name, each.version)):
                raise taken(each, by=other)
            registered(each)
        except ConfigError as error:
            problems.extend(error.problems)
        else:
            known[each.name, each.version] = each
    return Templates(known.values()), problems

"""Semantic versions, and constraints on them: `^1.2`, `~1.2.3`, `1.x` without its x, `>=1.2 <3`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from runwright.agents.schema import SEMVER

_PART = re.compile(r"(\^|~|>=|<=|>|<|=)?\s*([0-9][0-9A-Za-z.+-]*)")
_PARTS = re.compile(r"(?:(?:\^|~|>=|<=|>|<|=)\s*)?[^\s,]+")
_SHORT = re.compile(r"(0|[1-9]\d*)(?:\.(0|[1-9]\d*))?")

Key = tuple[tuple[int, int, int], bool, tuple[tuple[bool, int, str], ...]]
Bounds = tuple[tuple["Version", bool], tuple["Version", bool] | None]
"""The least and the most, each with whether it belongs to the range."""


class Version(msgspec.Struct, frozen=True):
    """A version as semver.org 2.0.0 has it; what it was built from does not count."""

    release: tuple[int, int, int]
    pre: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> Version:
        """A version with three numbers. Raises ValueError."""
        if re.fullmatch(SEMVER, text) is None:
            raise ValueError(f"a version has three numbers, such as '1.0.0', not {text!r}")
        numbers, _, pre = text.partition("+")[0].partition("-")
        major, minor, patch = map(int, numbers.split("."))
        return cls((major, minor, patch), tuple(pre.split(".")) if pre else ())

    @property
    def key(self) -> Key:
        """What versions are put in order by: a release comes after all that were there before it."""
        parts = ((not each.isdigit(), int(each) if each.isdigit() else 0, each) for each in self.pre)
        return self.release, not self.pre, tuple(parts)

    def __str__(self) -> str:
        numbers = ".".join(map(str, self.release))
        return f"{numbers}-{'.'.join(self.pre)}" if self.pre else numbers


class Constraint(msgspec.Struct, frozen=True):
    """Which versions will do. A pre-release does only where the constraint names one of the same release."""

    text: str
    bounds: tuple[Bounds, ...] = ()

    @classmethod
    def read(cls, text: str) -> Constraint:
        """A constraint of one or more parts, which all hold; `*` is any release. Raises ValueError."""
        if text.strip() in {"", "*"}:
            return cls("*")
        found: list[Bounds] = []
        for part in _PARTS.findall(text):
            match = _PART.fullmatch(part)
            bounds = match and _bounds(match[1] or "", match[2])
            if not bounds:
                raise ValueError(f"{part!r} is no constraint on versions: write one as ^1.2, ~1.2.3, >=1.2 <3 or 1.2.3")
            found.append(bounds)
        return cls(text.strip(), tuple(found))

    @property
    def floor(self) -> Version | None:
        """The least version that is named; None where any will do."""
        return max((least for (least, _), _ in self.bounds), key=lambda each: each.key, default=None)

    def holds(self, version: Version) -> bool:
        """Whether a version will do."""
        if version.pre and not any(_names(version, bounds) for bounds in self.bounds):
            return False
        return all(_is_within(version, bounds) for bounds in self.bounds)


def newest(versions: Iterable[str], constraint: Constraint | None = None) -> str | None:
    """The newest version that will do; of any, a pre-release only where there is no release."""
    read: Mapping[str, Version] = {each: Version.read(each) for each in versions}
    if constraint is not None and constraint.bounds:
        fitting = [each for each, version in read.items() if constraint.holds(version)]
    else:
        fitting = [each for each, version in read.items() if not version.pre] or list(read)
    return max(fitting, key=lambda each: read[each].key, default=None)


def _bounds(sign: str, text: str) -> Bounds | None:
    """The range that a part stands for. A version with fewer numbers is all versions that begin so."""
    if re.fullmatch(SEMVER, text):
        least = Version.read(text)
        numbers = 3
    elif short := _SHORT.fullmatch(text):
        least = Version((int(short[1]), int(short[2] or 0), 0))
        numbers = 2 if short[2] else 1
    else:
        return None
    after = least if numbers == 3 else Version(_raised(least.release, numbers - 1))
    first = Version((0, 0, 0))
    ranges: dict[str, Bounds] = {
        "^": ((least, True), (Version(_raised(least.release, _caret(least.release, numbers))), False)),
        "~": ((least, True), (Version(_raised(least.release, 0 if numbers == 1 else 1)), False)),
        ">=": ((least, True), None),
        ">": ((after, numbers < 3), None),
        "<": ((first, True), (least, False)),
        "<=": ((first, True), (after, numbers == 3)),
    }
    return ranges.get(sign, ((least, True), (after, numbers == 3)))


def _caret(release: tuple[int, int, int], numbers: int) -> int:
    """Which number must not change: the first one that is given and not zero."""
    return next((index for index, number in enumerate(release[:numbers]) if number), numbers - 1)


def _raised(release: tuple[int, int, int], place: int) -> tuple[int, int, int]:
    numbers = [*release[:place], release[place] + 1, 0, 0][:3]
    return numbers[0], numbers[1], numbers[2]


def _is_within(version: Version, bounds: Bounds) -> bool:
    (least, has_least), most = bounds
    if version.key < least.key or (version.key == least.key and not has_least):
        return False
    return most is None or version.key < most[0].key or (version.key == most[0].key and most[1])


def _names(version: Version, bounds: Bounds) -> bool:
    (least, _), most = bounds
    named = [least, *([] if most is None else [most[0]])]
    return any(each.pre and each.release == version.release for each in named)

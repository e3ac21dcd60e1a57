"""How often the parts of a JSON Schema are looked at for one value: references can double that at each step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote, urldefrag, urljoin

from runwright.core.values import is_list, is_object
from runwright.errors import ConfigError

MOST: Final = 10_000
"""Times that parts of a schema are looked at for one value: some tenths of a second."""

ALSO: Final = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies")
"""Keywords whose schemas look at the same value."""

OBJECTS: Final = ("patternProperties", "additionalProperties", "unevaluatedProperties")
LISTS: Final = ("items", "prefixItems", "additionalItems", "unevaluatedItems", "contains")
WITHIN: Final = ("properties", "propertyNames", *OBJECTS, *LISTS)
"""Keywords whose schemas look at values within it."""

LOOKS: Final = 2_000
AGAIN: Final = 10
"""Times that each part may look at each value, beside `LOOKS` in all: some tenths of a second."""

PAIRS: Final = 10_000
"""Parts with what they look at that are counted."""

REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
KNOWN: Final = ("https://json-schema.org/", "http://json-schema.org/")
"""Where the schemas of schemas are, which the library brings."""

Node = Mapping[str, object]
PLAIN: Final[Node] = {}
"""What `true` and `false` are: schemas without parts."""


def refuse_many_paths(schema: Node) -> Paths:
    """The paths through a schema. Raises ConfigError for one whose check would not end soon, or not at all."""
    try:
        paths = Paths(dict(schema))
        paths.within(paths.root, "")
    except RecursionError:
        raise ConfigError("this schema leads from reference to reference too often to be followed") from None
    except ValueError as error:
        raise ConfigError(f"this is no JSON Schema: {error}") from None
    return paths


class Paths:
    """Counts, each part once."""

    def __init__(self, schema: Node) -> None:
        self.root = schema
        self._bases: dict[int, str] = {}
        self._named: dict[str, list[Node]] = {}
        self._also: dict[int, int | None] = {}
        self._within: dict[int, int] = {}
        self._is_tree = True
        self._index(schema, "")

    def within(self, node: Node, at: str) -> int:
        """The most parts that look at one value in or below what this part looks at; a tree is followed once."""
        if id(node) in self._within:
            self._is_tree = False
        else:
            self._within[id(node)] = 1
            self.also(node, at)
            beside = sum(self.within(each, place) for place, each in self.beside(node, at))
            below = max((self.within(each, place) for place, each in _parts(node, at, WITHIN)), default=0)
            self._within[id(node)] = _bounded(1 + beside + below, at)
        return self._within[id(node)]

    def also(self, node: Node, at: str) -> int:
        """The parts that look at the same value as this one."""
        if id(node) not in self._also:
            self._also[id(node)] = None
            count = 1 + sum(self.also(each, place) for place, each in self.beside(node, at))
            self._also[id(node)] = _bounded(count, at)
        known = self._also[id(node)]
        if known is None:
            raise ConfigError(f"{at or '/'} leads to itself without a step into a value: put it under `properties`")
        return known

    def are_few(self, value: object) -> bool:
        """Whether few parts look at anything in a value more than once: those of a schema that leads back to itself by
        two ways do so twice as often with each level.
        """
        # Where one way alone leads to each part, it looks at each value once.
        if self._is_tree:
            return True
        looks = _Looks(self)
        try:
            return looks.count(self.root, value) <= LOOKS + AGAIN * looks.pairs
        except (RecursionError, OverflowError):
            return False

    def beside(self, node: Node, at: str = "") -> Iterator[tuple[str, Node]]:
        """The parts that look at the same value as this one, with their places."""
        yield from _parts(node, at, ALSO)
        for name in REFERENCES:
            target = node.get(name)
            if isinstance(target, str) and not target.startswith(KNOWN):
                found = self._targets(node, target)
                if not found:
                    raise ConfigError(f"{at}/{name}: references lead inside the schema, not to {target!r}")
                yield from ((f"{at}/{name}", each) for each in found)

    def _targets(self, node: Node, reference: str) -> list[Node]:
        """What a reference leads to; rather more than less, since dialects differ in what an `id` means."""
        base, fragment = urldefrag(urljoin(self._bases[id(node)], reference))
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            return self._named.get(f"#{fragment}", [])
        starts = self._named.get(base, [])
        if not base or reference.startswith("#"):
            starts = [self.root, *(each for each in starts if each is not self.root)]
        found = [_followed(each, fragment) for each in starts]
        return [each if is_object(each) else PLAIN for each in found if is_object(each) or isinstance(each, bool)]

    def _index(self, value: object, base: str) -> None:
        if is_object(value) and id(value) not in self._bases:
            own = value.get("$id", value.get("id"))
            if isinstance(own, str):
                base, fragment = urldefrag(urljoin(base, own))
                self._named.setdefault(base, []).append(value)
                self._named.setdefault(f"#{fragment}", []).append(value)
            self._bases[id(value)] = base
            for name in ("$anchor", "$dynamicAnchor"):
                self._named.setdefault(f"#{value.get(name)}", []).append(value)
            for each in value.values():
                self._index(each, base)
        elif is_list(value):
            for each in value:
                self._index(each, base)


class _Looks:
    """How often parts look at anything in a value; `pairs` of a part and a value are met."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._known: dict[tuple[int, int], int] = {}
        self._beside: dict[int, list[Node]] = {}
        self.pairs = 0

    def count(self, node: Node, value: object) -> int:
        """How often, beginning with a part."""
        key = (id(node), id(value))
        if key in self._known:
            return self._known[key]
        self.pairs += 1
        if self.pairs > PAIRS:
            raise OverflowError
        if id(node) not in self._beside:
            self._beside[id(node)] = [each for _, each in self._paths.beside(node)]
        beside = sum(self.count(each, value) for each in self._beside[id(node)])
        looks = 1 + beside + sum(self.count(each, part) for each, part in _below(node, value))
        # One text or number may stand in many places.
        if is_list(value) or is_object(value):
            self._known[key] = looks
        return looks


def _bounded(count: int, at: str) -> int:
    if count > MOST:
        raise ConfigError(f"{at or '/'} is looked at in more than {MOST:,} ways for one value: use fewer references")
    return count


def _parts(node: Node, at: str, keywords: tuple[str, ...]) -> Iterator[tuple[str, Node]]:
    """The schemas under some keywords: one, a list, or by names."""
    for keyword in keywords:
        value, place = node.get(keyword), f"{at}/{keyword}"
        if is_list(value):
            yield from ((f"{place}/{index}", each) for index, each in enumerate(value) if is_object(each))
        elif is_object(value) and keyword in ("properties", "patternProperties", "dependentSchemas", "dependencies"):
            yield from ((f"{place}/{name}", each) for name, each in value.items() if is_object(each))
        elif is_object(value):
            yield place, value


def _below(node: Node, value: object) -> Iterator[tuple[Node, object]]:
    """The parts that look at what a value holds, each with that; rather more than less."""
    if is_list(value):
        yield from ((each, part) for _, each in _parts(node, "", LISTS) for part in value)
    elif is_object(value):
        named = node.get("properties")
        for name, each in named.items() if is_object(named) else ():
            if name in value and is_object(each):
                yield each, value[name]
        yield from ((each, part) for _, each in _parts(node, "", OBJECTS) for part in value.values())


def _followed(value: object, pointer: str) -> object:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if is_object(value):
            value = value.get(key)
        elif is_list(value) and key.isdecimal():
            value = value[int(key)] if int(key) < len(value) else None
        else:
            return None
    return value

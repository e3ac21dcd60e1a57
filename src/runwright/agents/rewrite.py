"""Changes in YAML text that leave what they do not touch as it stands, comments too."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
import yaml

from runwright.agents.load import read_yaml
from runwright.errors import ConfigError

Edit = tuple[int, int, str]
"""Where it begins and ends, and what stands there then."""

Data = dict[str, Any]


class Rewritten(msgspec.Struct, frozen=True):
    """A text with its change. Where that cannot be made in place the text is written anew, without comments."""

    text: str
    has_comments: bool = True


def rewrite(text: str, change: Callable[[Data], Data], *, index: int | None = None) -> Rewritten:
    """Change a definition in the text of a file; `index` is its place where the file holds a list."""
    text = text if text.endswith("\n") else f"{text}\n"
    data, _ = read_yaml(text, "the file")
    before = cast("Data", data if index is None else cast("list[object]", data)[index])
    after = change(before)
    wanted = after if index is None else _with(cast("list[object]", data), index, after)
    node: Any = yaml.compose(text, yaml.SafeLoader)  # a node, since there is data
    place = _Place(text, node if index is None else node.value[index])
    edited = _applied(text, [*_changed(place, before, after)])
    return Rewritten(edited) if _is(edited, wanted) else Rewritten(_dumped(wanted), has_comments=False)


def _with(entries: Sequence[object], index: int, entry: object) -> list[object]:
    return [*entries[:index], entry, *entries[index + 1 :]]


def _is(text: str, wanted: object) -> bool:
    """Whether a text holds exactly this."""
    try:
        found, _ = read_yaml(text, "the file")
    except ConfigError:
        return False
    return _sorted(found) == _sorted(wanted)


def _sorted(value: object) -> str:
    """A form to compare by, in which 1, true and 1.0 are not the same."""
    return json.dumps(value, sort_keys=True)


def _applied(text: str, edits: Sequence[Edit]) -> str:
    for start, end, written in sorted(edits, reverse=True):
        text = text[:start] + written + text[end:]
    return text


class _Place(msgspec.Struct, frozen=True):
    """A value in a text."""

    text: str
    node: yaml.Node


def _changed(place: _Place, before: object, after: object) -> Iterator[Edit]:
    """The edits inside of a value; none where it cannot be changed in place."""
    node = place.node
    if _sorted(before) == _sorted(after) or _is_flow(node):
        return
    if isinstance(node, yaml.MappingNode) and isinstance(before, dict) and isinstance(after, dict):
        yield from _in_mapping(place, cast("Data", before), cast("Data", after))
    elif isinstance(node, yaml.SequenceNode) and isinstance(before, list) and isinstance(after, list):
        pairs = zip(cast("list[object]", before), cast("list[object]", after), strict=False)
        for each, (one, other) in zip(node.value, pairs, strict=False):
            yield from _changed(_Place(place.text, each), one, other)


def _in_mapping(place: _Place, before: Data, after: Data) -> Iterator[Edit]:
    text, entries = place.text, place.node.value
    names = _renamed(before, after)
    for index, (key, value) in enumerate(entries):
        name = names.get(key.value)
        if name is None:
            following = entries[index + 1][0] if index + 1 < len(entries) else None
            yield _without(text, key, value, following=following)
            continue
        if name != key.value:
            yield key.start_mark.index, key.end_mark.index, _inline(name)
        if _is_kept_in_place(value, before.get(key.value), after[name]):
            yield from _changed(_Place(text, value), before.get(key.value), after[name])
        else:
            column = key.start_mark.column
            yield key.end_mark.index, _end(text, value), _after_key(after[name], column, is_flow=_is_flow(value))
    added = {name: value for name, value in after.items() if name not in names.values()}
    if added and entries:
        key, value = entries[-1]
        at = text.index("\n", _end(text, value)) + 1
        column = key.start_mark.column
        yield at, at, "".join(f"{' ' * column}{_inline(name)}{_after_key(added[name], column)}\n" for name in added)


def _renamed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """What keys that stay are called then: one whose value stands under another name was renamed."""
    names = {name: name for name in before if name in after}
    gone = [name for name in before if name not in after]
    come = [name for name in after if name not in before]
    for name in gone:
        same = next((each for each in come if _sorted(after[each]) == _sorted(before[name])), None)
        if same is not None:
            names[name] = same
            come.remove(same)
    left = [name for name in gone if name not in names]
    if len(left) == len(come) == 1:
        names[left[0]] = come[0]
    return names


def _is_kept_in_place(node: yaml.Node, before: object, after: object) -> bool:
    """Whether a value is left as it stands, or is changed further inside."""
    if _sorted(before) == _sorted(after):
        return True
    if _is_flow(node) or not after:
        return False
    if isinstance(before, list) and isinstance(after, list):
        items = zip(cast("list[object]", before), cast("list[object]", after), strict=False)
        return len(before) == len(after) and all(  # pyright: ignore[reportUnknownArgumentType] - plain data
            _sorted(before) == _sorted(after) or (isinstance(before, dict) and isinstance(after, dict))
            for before, after in items
        )
    return isinstance(before, dict) and isinstance(after, dict)


def _is_flow(node: yaml.Node) -> bool:
    return bool(getattr(node, "flow_style", False))


def _without(text: str, key: yaml.Node, value: yaml.Node, *, following: yaml.Node | None) -> Edit:
    """A key and its value taken away, with the lines that they stand on."""
    start = key.start_mark.index
    line = text.rfind("\n", 0, start) + 1
    if text[line:start].strip() and following is not None:
        return start, following.start_mark.index, ""
    return line, text.index("\n", _end(text, value)) + 1, ""


def _end(text: str, node: yaml.Node) -> int:
    """Where a value ends: without the blank lines and the comments behind it."""
    start = node.start_mark.index
    lines = text[start : node.end_mark.index].rstrip().split("\n")
    while isinstance(node, yaml.CollectionNode) and len(lines) > 1 and lines[-1].lstrip()[:1] in {"", "#"}:
        lines.pop()
    return start + len("\n".join(lines).rstrip())


def _after_key(value: object, column: int, *, is_flow: bool = False) -> str:
    if isinstance(value, dict | list) and value and not is_flow:
        return ":\n" + textwrap.indent(_dumped(cast("object", value)).rstrip("\n"), " " * (column + 2))
    return f": {_inline(cast('object', value))}"


def _inline(value: object) -> str:
    if isinstance(value, str) and "\n" in value:
        return json.dumps(value, ensure_ascii=False)
    dumped = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False)
    return dumped.removesuffix("...\n").strip()


def _dumped(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=False, width=10**9, allow_unicode=True, sort_keys=False)

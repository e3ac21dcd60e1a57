"""The tools with which a model writes the blocks of memory that it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

import msgspec

from runwright.core.agent import MemoryBlock, Tool
from runwright.core.context import Context
from runwright.core.message import digest
from runwright.core.model import ToolSpec
from runwright.core.step import Effect
from runwright.errors import InvalidRequest, ToolFailed

Name = Literal["memory_set", "memory_append"]

_WORDS: Final[Mapping[Name, tuple[str, str]]] = {
    "memory_set": ("Replace a block of your memory.", "The whole text that the block will hold."),
    "memory_append": ("Add a line to a block of your memory.", "The line."),
}


class _Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    block: str
    text: str


class MemoryTool:
    """Writes one of an agent's blocks."""

    def __init__(self, name: Name, blocks: Sequence[MemoryBlock]) -> None:
        summary, text = _WORDS[name]
        self.effect: Effect = "idempotent"
        self.timeout_s: float | None = None
        self.spec = ToolSpec(name=name, description=summary, parameters=_schema(blocks, text))
        self.fingerprint = digest(msgspec.json.encode((self.spec, self.effect), order="sorted")).hex()
        self._blocks = {block.name: block for block in blocks}
        self._is_whole = name == "memory_set"

    def check(self, arguments: str) -> Mapping[str, object]:
        """Parse and validate JSON arguments. Raises InvalidRequest that says what would be right."""
        try:
            given = msgspec.json.decode(arguments, type=_Given)
        except msgspec.MsgspecError as error:
            raise InvalidRequest(f"the arguments do not fit: {error}") from error
        if given.block not in self._blocks:
            raise InvalidRequest(f"there is no block {given.block!r}; there are: {', '.join(self._blocks)}")
        return msgspec.structs.asdict(given)

    async def call(self, arguments: Mapping[str, object], context: Context) -> bytes:
        """Write it, and say how full it is. Raises ToolFailed when it does not fit."""
        given = msgspec.convert(arguments, _Given)
        block = self._blocks[given.block]
        memory = context.memory if block.scope == "agent" else context.memory.thread
        if self._is_whole:
            await memory.set(block.name, given.text)
        else:
            await memory.append(block.name, given.text)
        text = await memory.get(block.name)
        length = len(text) if isinstance(text, str) else 0
        if length > block.limit:
            # What fails writes nothing.
            raise ToolFailed(f"{block.name} would have {length} characters; {block.limit} is the most: shorten it.")
        return msgspec.json.encode(f"{block.name} has {length} of {block.limit} characters now.")


def memory_tools(blocks: Sequence[MemoryBlock]) -> Mapping[str, Tool]:
    """The tools by name; none where there is no block."""
    names: tuple[Name, ...] = get_args(Name) if blocks else ()
    return {name: MemoryTool(name, blocks) for name in names}


def _schema(blocks: Sequence[MemoryBlock], text: str) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {
            "block": {"type": "string", "enum": [block.name for block in blocks], "description": "Which block."},
            "text": {"type": "string", "description": text},
        },
        "required": ["block", "text"],
        "additionalProperties": False,
    }

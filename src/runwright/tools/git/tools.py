"""The tools of an agent that reads a repository: it is opened first, read, and what the answer cites is looked up."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from runwright.core.context import Context
from runwright.core.message import digest
from runwright.core.model import ToolSpec
from runwright.core.step import Effect
from runwright.errors import Forbidden, InvalidRequest, ToolFailed
from runwright.tools.git.citations import Cited, cited
from runwright.tools.git.clones import Wanted
from runwright.tools.git.places import allows, read_place
from runwright.tools.git.reading import Reading
from runwright.tools.git.repositories import Repositories
from runwright.tools.result import encode
from runwright.tools.signature import Signature

OPEN: Final = "open_repository"
READ: Final = ("tree", "read", "search", "log", "blame", "diff")
TOP: Final = 60
"""Names of the root that the model is told of at once."""

SHOWN_LINES: Final = 3


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent reaches repositories. `own` are those that its definition allows; `token` names a secret, and `ref`
    is the commit that it pins.

    Without `refresh_s`, a folder is looked at for each run, and an address once a minute.
    """

    own: tuple[str, ...] = ()
    depth: int | None = None
    token: str | None = None
    ref: str | None = None
    refresh_s: float | None = None


class _GitTool:
    """What the tools have in common: they read, and are bound to what was opened."""

    effect: Effect = "read"
    bound: frozenset[str] = frozenset({"repository", "commit"})

    def __init__(self, repositories: Repositories, access: Access, *, name: str) -> None:
        self._repositories = repositories
        self._access = access
        self.name = name
        self.timeout_s: float | None = None

    @property
    def spec(self) -> ToolSpec:
        """What the model would see."""
        return ToolSpec(name=self.name, description="", parameters={})

    @property
    def fingerprint(self) -> str:
        """A hash of name, schema and effect."""
        return digest(msgspec.json.encode((self.name, self.spec.parameters, self.effect), order="sorted")).hex()

    def check(self, arguments: str) -> Mapping[str, object]:
        """The arguments; they come from the template."""
        return msgspec.json.decode(arguments, type=dict[str, object])

    async def _reading(self, given: Mapping[str, Any], context: Context) -> Reading:
        wanted = self._known(given["repository"], context)
        return await self._repositories.reading(wanted, given["commit"], own=self._access.own)

    def _known(self, text: str, context: Context) -> Wanted:
        return self._repositories.known(text, depth=self._access.depth, token=self._token(text, context))

    def _token(self, text: str, context: Context) -> str:
        """The secret, for places that the definition names; a caller's choice is not sent it."""
        name = self._access.token
        if name is None or not text.startswith("https://"):
            return ""
        place = read_place(text, is_resolved=False)
        return context.secret(name) if allows(self._access.own, place, is_resolved=False) else ""


class OpenRepository(_GitTool):
    """Finds the commit that a run reads. Gives it with its date and subject, and the names in its root."""

    bound = frozenset[str]()

    def __init__(self, repositories: Repositories, access: Access, *, time_s: float) -> None:
        super().__init__(repositories, access, name=OPEN)
        self.timeout_s = time_s

    async def call(self, arguments: Mapping[str, Any], context: Context) -> bytes:
        """Fetch if that is due, and say what is there. Raises ToolFailed and ToolTimeout."""
        access = self._access
        try:
            place, address = await self._repositories.place(arguments["repository"], access.own)
        except (InvalidRequest, Forbidden) as error:
            raise ToolFailed(error.message) from error
        wanted = msgspec.structs.replace(self._known(place.text, context), address=address)
        refresh_s = (0.0 if wanted.place.protocol == "file" else 60.0) if access.refresh_s is None else access.refresh_s
        commit = await self._repositories.clones.commit(
            wanted,
            arguments["ref"],
            refresh_s=refresh_s,
            is_known=arguments["ref"] == access.ref and arguments["repository"] in access.own,
            progress=lambda message, fraction: context.progress(message, fraction=fraction),
        )
        reading = await self._repositories.reading(wanted, commit, own=access.own)
        tree = (await reading.tree()).split("\n")
        latest = await reading.log(limit=1)
        return encode(
            {
                "repository": wanted.place.text,
                "ref": arguments["ref"],
                "commit": commit,
                "latest": latest.split("\n")[0],
                "root": tree[:TOP],
                "more": max(0, len(tree) - TOP),
            }
        )


class ReadTool(_GitTool):
    """One way to read a repository: a method of `Reading`, from whose signature the model knows what it takes."""

    def __init__(self, repositories: Repositories, access: Access, *, name: str) -> None:
        super().__init__(repositories, access, name=name)
        self._signature, self._spec = _described(name)

    @property
    def spec(self) -> ToolSpec:
        """What the model sees."""
        return self._spec

    def check(self, arguments: str) -> Mapping[str, object]:
        """Parse and validate JSON arguments. Raises InvalidRequest that says what would be right."""
        return self._signature.check(arguments)

    async def call(self, arguments: Mapping[str, Any], context: Context) -> bytes:
        """Read. Raises ToolFailed that says what is there instead."""
        reading = await self._reading(arguments, context)
        given = {name: value for name, value in arguments.items() if name not in self.bound}
        return encode(await getattr(reading, self.name)(**given))


class SayPlaces(_GitTool):
    """Looks up what an answer cites, and gives the answer with that. If `is_strict`, all of it has to be there."""

    def __init__(self, repositories: Repositories, access: Access, *, is_strict: bool) -> None:
        super().__init__(repositories, access, name="check_citations")
        self._is_strict = is_strict

    async def call(self, arguments: Mapping[str, Any], context: Context) -> bytes:
        """The answer, what was read, and each cited place. Raises ToolFailed for what is not there, if strict."""
        reading = await self._reading(arguments, context)
        places = [await _looked_up(reading, each) for each in cited(arguments["answer"])]
        wrong = [f"[{each['path']}:{each['line']}]: {each['problem']}" for each in places if each["problem"]]
        if self._is_strict and wrong:
            raise ToolFailed(f"It cites what is not there: {' '.join(wrong)}")
        if self._is_strict and not places:
            raise ToolFailed("It cites nothing: name the file and line of what you say, as [src/app.py:12].")
        given = {name: arguments[name] for name in ("answer", "repository", "commit")}
        return encode({**given, "citations": places})


def reading_tools(repositories: Repositories, access: Access) -> dict[str, ReadTool]:
    """The tools that a model is given, by name."""
    return {name: ReadTool(repositories, access, name=name) for name in READ}


@functools.cache
def _described(name: str) -> tuple[Signature, ToolSpec]:
    # A method of an object knows nothing of `self`; the object itself is not used.
    signature = Signature(getattr(object.__new__(Reading), name), name=name)
    return signature, ToolSpec(name=name, description=signature.doc.summary, parameters=signature.parameters)


async def _looked_up(reading: Reading, place: Cited) -> dict[str, Any]:
    found: dict[str, Any] = {"path": place.path, "line": place.line, "last": place.last, "text": None, "problem": None}
    try:
        lines = await reading.lines_of(place.path)
    except ToolFailed as error:
        return {**found, "problem": error.message}
    if not 1 <= place.line <= place.last <= len(lines):
        return {**found, "problem": f"The file has {len(lines):,} lines."}
    shown = lines[place.line - 1 : min(place.last, place.line - 1 + SHOWN_LINES)]
    return {**found, "text": "\n".join(line[:200] for line in shown)}

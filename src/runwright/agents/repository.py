"""The repository template: answers about a git repository, from its files and its history at one commit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import msgspec
from msgspec.structs import replace
from pydantic import Field

from runwright.agents.base import BuildContext
from runwright.agents.conversation import Conversation, ConversationFields
from runwright.agents.input import ANY_OF, INPUT_SCHEMA, read_json, read_messages
from runwright.agents.schema import config_error
from runwright.core.agent import Closing, Loop, Opening
from runwright.core.message import Message
from runwright.core.model import tools_wire
from runwright.core.values import is_object
from runwright.errors import InvalidRequest
from runwright.tools.git import Access, OpenRepository, Repositories, SayPlaces, reading_tools

FORMAT = (
    "Name the file and line of each thing you say, in brackets: [src/app.py:12] or [src/app.py:12-20]. "
    "Cite only lines that you have read; say so if the repository does not answer the question."
)

DEPTHS = (1, 10, 100, 1000)
"""Depths that callers may name in definitions of their own."""

_PLACED = ("repository", "ref")

_OWN_INPUT: dict[str, object] = {
    "type": "object",
    "title": "Question",
    "required": ["question"],
    "properties": {
        "question": {"type": "string"},
        "repository": {"type": "string", "description": "A folder or an https URL, where the agent allows it."},
        "ref": {"type": "string", "description": "A branch, a tag or a commit."},
    },
}

_OUTPUT: dict[str, object] = {
    "title": "Answer",
    "type": "object",
    "required": ["answer", "repository", "commit", "citations"],
    "properties": {
        "answer": {"type": "string"},
        "repository": {"type": "string"},
        "commit": {"type": "string", "description": "The commit that all of it was read at."},
        "citations": {
            "type": "array",
            "description": "The places that the answer names.",
            "items": {
                "type": "object",
                "required": ["path", "line", "last", "text", "problem"],
                "properties": {
                    "path": {"type": "string"},
                    "line": {"type": "integer"},
                    "last": {"type": "integer"},
                    "text": {"type": ["string", "null"], "description": "What stands there."},
                    "problem": {"type": ["string", "null"], "description": "Why there is no such place."},
                },
            },
        },
    },
}


class RepositoryFields(ConversationFields):
    """The configuration of a repository agent."""

    repository: str | None = Field(
        default=None, description="A folder or an https URL; else each run names one that is allowed."
    )
    ref: str | None = Field(default=None, description="A branch, a tag or a commit; what is checked out if left out.")
    allow: tuple[str, ...] = Field(
        default=(), description="Folders and beginnings of URLs that a run may name, beside those of the settings."
    )
    citations: Literal["checked", "required"] = Field(
        default="checked",
        description="`checked` says which cited places do not exist; with `required` the model answers again.",
    )
    token: str | None = Field(default=None, description="The secret that holds a token for the repository's host.")
    depth: int | None = Field(default=None, ge=1, description="Commits of history that are fetched; all if left out.")
    refresh_s: float | None = Field(
        default=None,
        ge=0,
        description="Seconds after which it is fetched again: 60 for a URL, 0 for a folder if left out.",
    )
    open_timeout_s: float = Field(default=300.0, gt=0, description="Seconds to fetch it.")


class Repository(Conversation):
    """A model that reads a git repository, at a commit that is found when the run begins, and cites files and lines."""

    name: ClassVar[str] = "repository"
    version: ClassVar[str] = "1.0.0"
    Config = RepositoryFields

    def build(self, config: RepositoryFields, context: BuildContext) -> Loop:  # pyright: ignore[reportIncompatibleMethodOverride] - its own Config
        """Make the loop. Raises ConfigError for unknown tools and a repository that may not be named."""
        if config.output is not None:
            raise config_error([("/output", "the output has a shape of its own: the answer and what it cites")])
        repositories = context.repositories
        access = Access(
            own=_own(config, context, repositories),
            depth=config.depth,
            token=config.token,
            ref=config.ref if config.ref is not None and context.is_trusted("ref", config.ref) else None,
            refresh_s=config.refresh_s,
        )
        loop, own = super().build(config, context), reading_tools(repositories, access)
        if taken := sorted(own.keys() & loop.tools.keys()):
            raise config_error(("/tools", f"the agent has a tool {name!r} already") for name in taken)
        tools = {**own, **loop.tools}
        opening = OpenRepository(repositories, access, time_s=config.open_timeout_s)
        closing = SayPlaces(repositories, access, is_strict=config.citations == "required")
        return replace(
            loop,
            tools=tools,
            tools_raw=tools_wire(each.spec for each in tools.values()),
            opening=Opening(tool=opening, ask=partial(_asked, config), tell=_told, bind=_bound),
            closing=Closing(tool=closing, ask=lambda answer: {"answer": answer}),
            read_input=partial(_read, config),
            input_schema={**INPUT_SCHEMA, "anyOf": [_OWN_INPUT, *ANY_OF]},
            output_schema=_OUTPUT,
        )


def _own(config: RepositoryFields, context: BuildContext, repositories: Repositories) -> tuple[str, ...]:
    """What may be read by word of the definition: a file or code may name anything, a caller what is allowed."""
    named = {f"/allow/{index}": text for index, text in enumerate(config.allow)}
    if config.repository is not None:
        named["/repository"] = config.repository
    given = [text for at, text in named.items() if context.is_trusted(at.split("/")[1], text)]
    refused = [(place, repositories.why_not(text, given)) for place, text in named.items() if text not in given]
    if wrong := [(place, told) for place, told in refused if told]:
        raise config_error(wrong)
    if config.token is not None and not context.is_trusted("token", config.token):
        raise config_error([("/token", "a secret is named in code or in a definition file, not by a caller")])
    if context.source == "api" and config.depth not in (None, *DEPTHS):
        told = ", ".join(map(str, DEPTHS))
        raise config_error([("/depth", f"each depth is a copy of its own: over the API it is {told} or left out")])
    if context.own is not None and config.depth != context.own.get("depth"):
        raise config_error([("/depth", "each depth is a copy of its own: the definition alone says it, not a run")])
    return tuple(given)


def _read(config: RepositoryFields, data: bytes) -> tuple[Message, ...]:
    """The caller's question as messages. Raises InvalidRequest."""
    value = read_json(data)
    if not is_object(value):
        messages = read_messages(data)
    elif isinstance(question := value.get("question"), str):
        if strange := sorted(value.keys() - {"question", *_PLACED}):
            raise InvalidRequest(f"the input has no field {strange[0]!r}: send question, repository and ref")
        messages = read_messages(msgspec.json.encode(question))
    else:
        rest = {name: each for name, each in value.items() if name not in _PLACED}
        messages = read_messages(msgspec.json.encode(rest))
    _asked(config, data)
    return messages


def _asked(config: RepositoryFields, data: bytes) -> Mapping[str, object]:
    """What is opened for a run. Raises InvalidRequest where nothing says which repository."""
    value = read_json(data)
    given = {name: value[name] for name in _PLACED if value.get(name) is not None} if is_object(value) else {}
    for name, each in given.items():
        if not isinstance(each, str):
            raise InvalidRequest(f"{name} is a text, not {each!r}", problems=((f"/{name}", "a text is needed"),))
    repository = given.get("repository", config.repository)
    if repository is None:
        raise InvalidRequest('the agent names no repository: send {"question": ..., "repository": ...}')
    # A branch that the definition names is one of its own repository.
    ref = config.ref if repository == config.repository else None
    return {"repository": repository, "ref": given.get("ref", ref)}


def _told(opened: bytes) -> str:
    """What the model reads of the repository before it is asked."""
    found = msgspec.json.decode(opened, type=dict[str, Any])
    more = f"\n... and {found['more']} more" if found["more"] else ""
    root = "\n".join(found["root"])
    return (
        f"You answer questions about the git repository {found['repository']}, as it was at commit "
        f"{found['commit'][:10]} ({found['latest']}). Its root holds:\n{root}{more}\n{FORMAT}"
    )


def _bound(opened: bytes) -> Mapping[str, object]:
    found = msgspec.json.decode(opened, type=dict[str, Any])
    return {"repository": found["repository"], "commit": found["commit"]}

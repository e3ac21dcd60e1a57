"""The shapes of what waits for a person."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from runwright.core.event import NULL
from runwright.core.labels import Label, Note

Decision = Literal["approve", "deny", "answer"]
ApprovalKind = Literal["approval", "input"]
ApprovalStatus = Literal["waiting", "approved", "denied", "answered", "withdrawn"]
Limit = Annotated[int, msgspec.Meta(ge=1, le=500)]


class ApprovalView(msgspec.Struct, frozen=True, kw_only=True):
    """A step that needs a person: a tool call to be allowed (`approval`), or a question to be answered (`input`).

    `name` and `arguments` are those of the tool; `question`, and `schema` where it has one, are what is asked. `by`,
    `note` and `resolved_at` say who spoke of it. After `until` it counts as denied; `withdrawn` is what its run, or the
    branch of it, does not need any more.
    """

    id: str
    object: Literal["approval"] = "approval"
    status: ApprovalStatus
    kind: ApprovalKind
    run_id: str
    step: int
    agent: str
    user: str | None = None
    lane: str = ""
    name: str | None = None
    arguments: msgspec.Raw = NULL
    question: str | None = None
    schema: msgspec.Raw = NULL
    since: datetime
    until: datetime | None = None
    by: str = ""
    note: str = ""
    resolved_at: datetime | None = None


class ApprovalQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which to list; `after` is the id of the last one of the page before."""

    run: str | None = None
    agent: str | None = None
    user: str | None = None
    after: str | None = None
    limit: Limit = 50


class ApprovalBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person says: approve (with these arguments, if they are others), deny, or answer (with this result)."""

    decision: Decision
    arguments: msgspec.Raw = NULL
    result: msgspec.Raw = NULL
    by: Label = ""
    note: Note = ""

"""How much of a conversation a model is sent, as a definition says it."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from runwright.agents.schema import Fields
from runwright.core.history import SUM_UP, History, OnFailure, Summary


class SummaryFields(Fields):
    """How what is left out is summed up."""

    model: str | None = Field(default=None, description="The model that sums up; the agent's own when left out.")
    instructions: str = Field(default=SUM_UP, min_length=1, description="What that model is told.")
    max_tokens: int = Field(default=500, ge=1, description="The longest summary, in tokens.")
    reads: int = Field(
        default=8000, ge=100, description="About how many tokens are summed up in one step; more takes several."
    )
    on_failure: OnFailure = Field(
        default="drop", description="Where the summary fails, what is left out is dropped, or the run fails."
    )


class HistoryFields(Fields):
    """How much of the conversation the model is sent. Beyond that it is cut to half of it."""

    messages: int | None = Field(default=None, ge=2, description="The most messages that are sent.")
    tokens: int | None = Field(
        default=None, ge=2, description="About the most tokens of messages that are sent: a token for four bytes."
    )
    pin: int = Field(default=0, ge=0, le=100, description="The first messages, which stay and do not count.")
    summary: SummaryFields | None = Field(
        default=None, description="How what is left out is summed up; it is dropped when left out."
    )

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if self.messages is None and self.tokens is None:
            raise ValueError("say how much is sent: messages, tokens or both")
        return self

    def to_core(self) -> History:
        """The bounds as the core knows them."""
        summary = None if self.summary is None else Summary(**self.summary.model_dump())
        return History(messages=self.messages, tokens=self.tokens, pin=self.pin, summary=summary)

"""Questions that are much alike: what is kept of them, what is known of their answers, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol

import msgspec

from runwright.core.sizes import Share

CONFIDENCE: Final = 0.95
"""Of the upper bound: it is below the true share in at most one of twenty such measurements."""

Verdict = Literal["same", "different"]
"""What somebody said of two answers: either would do, or not."""

Found = Literal["", "equal", "same", "different"]
"""What is known of two answers: nothing, that their words are equal, or what somebody said."""


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """Whose answers evidence is about. `setting` names all that stands around a conversation: model, instructions,
    parameters, agent and version."""

    agent: str
    version: str
    model: str
    setting: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a call asks: only calls of one `scope` are compared, and of them only `text`.

    `run_id` and `step` are where it is asked; `read` gives the words of an answer.
    """

    asker: Asker
    scope: bytes
    text: str
    run_id: str
    step: int
    read: Callable[[Any], str]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A question that was answered: `key` is that of the answer in the exact cache, `expires_at` seconds since 1970."""

    scope: bytes
    key: bytes
    vector: bytes
    run_id: str
    step: int
    expires_at: float


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """A turn in shadow mode: what it would have been answered with, and how that compares with what it was.

    `similarity` is the cosine to the nearest question, None where there was none. Above the threshold it names the step
    that would have answered it, and `overlap` is the share of words that both answers have in common.
    """

    run_id: str
    step: int
    at: datetime
    asker: Asker
    embedder: str
    threshold: float
    similarity: float | None = None
    like_run_id: str = ""
    like_step: int = 0
    overlap: float = 1.0
    found: Found = ""
    by: str = ""

    @property
    def is_hit(self) -> bool:
        """Whether it would have been answered."""
        return self.similarity is not None and self.similarity >= self.threshold


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What shadow mode found: of `turns`, `hits` would have been answered.

    The answers of `equal` were the same words; `same` and `different` were judged, `by_model` of them by a model.
    """

    turns: int = 0
    hits: int = 0
    equal: int = 0
    same: int = 0
    different: int = 0
    by_model: int = 0

    @property
    def unjudged(self) -> int:
        """Would-be hits whose answers differ and that nobody judged."""
        return self.hits - self.equal - self.same - self.different

    @property
    def wrong(self) -> int:
        """Would-be hits that count as wrong: what nobody judged is not known to be right."""
        return self.hits - self.equal - self.same

    @property
    def bound(self) -> float:
        """The upper bound of the share of wrong hits."""
        return upper_bound(self.wrong, self.hits)

    def missing(self, risk: float) -> str:
        """What has to be done before this risk is met, in words; empty when it is."""
        if self.bound <= risk:
            return ""
        if self.unjudged and upper_bound(self.different, self.hits) <= risk:
            return f"judge {_pairs(self.unjudged)} whose answers differ"
        more = needed(self.different, risk) - self.hits
        judged = f"judge {_pairs(self.unjudged)}, and " if self.unjudged else ""
        return f"{judged}collect {more:,} more would-be hits, none of them wrong"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence, and what it is about."""

    asker: Asker
    embedder: str
    threshold: float
    evidence: Evidence


class Embedder(Protocol):
    """Texts as vectors. Blocks: callers on the event loop go through a thread. Vectors of two names have nothing to do
    with each other."""

    @property
    def name(self) -> str:
        """The model, with its form."""
        ...

    def embed(self, text: str) -> bytes | None:
        """The vector of a text, None where a part of it would not count."""
        ...

    def nearest(self, vector: bytes, among: Sequence[bytes]) -> tuple[int, float]:
        """The place of the vector that is most like this one, and the cosine between the two."""
        ...


class QuestionStore(Protocol):
    """Questions that were answered, for a time."""

    def among(self, scope: bytes, *, now: float) -> Sequence[Question]:
        """Those of a scope, the newest first, up to a number. Raises StorageError."""
        ...

    def keep(self, question: Question, *, now: float) -> None:
        """Keep one, instead of what has its key. Raises StorageError."""
        ...

    def forget(self, question: Question) -> None:
        """Forget one. Raises StorageError."""
        ...

    def clear(self) -> int:
        """Forget all; how many. Raises StorageError."""
        ...

    def size(self) -> Share:
        """How many there are, and how large. Raises StorageError."""
        ...


class LookStore(Protocol):
    """What shadow mode found. Raises StorageError."""

    def note(self, look: Look) -> None:
        """Keep a look."""
        ...

    def evidence(self, asker: Asker, embedder: str, *, threshold: float) -> Evidence:
        """What is known of an asker, from turns that were compared at this threshold."""
        ...

    def standings(self, agent: str | None = None) -> Sequence[Standing]:
        """What is known of each asker and threshold, the newest first, up to a number."""
        ...

    def pairs(self, agent: str | None, *, is_judged: bool, limit: int) -> Sequence[Look]:
        """Would-be hits whose answers differ, those first that are the most likely to be wrong."""
        ...

    def get(self, run_id: str, step: int) -> Look | None:
        """One look."""
        ...

    def judge(self, run_id: str, step: int, *, verdict: Verdict, by: str) -> None:
        """Say of a would-be hit whether its answer would have done."""
        ...


MODEL: Final = "model:"
"""With this begins the name of a model that judged."""


def words_of(text: str) -> str:
    """A text as it is compared: without differences of case, of white space, and of signs at its ends."""
    return " ".join(text.casefold().split()).strip(" .!?,;:'\"")


def overlap(one: str, other: str) -> float:
    """The share of words that two texts have in common (Jaccard)."""
    left, right = set(words_of(one).split()), set(words_of(other).split())
    return len(left & right) / len(left | right) if left | right else 1.0


def upper_bound(wrong: int, of: int) -> float:
    """The one-sided upper 95 % bound of a share, by Clopper and Pearson (Biometrika 26, 1934): the largest share under
    which so few are still found in one of twenty samples."""
    if wrong >= of:
        return 1.0
    low, high = wrong / of, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(wrong, of, middle) > 1 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def needed(wrong: int, risk: float) -> int:
    """The smallest sample with so many wrong ones whose upper bound is within a risk above 0."""
    high = wrong + 1
    while upper_bound(wrong, high) > risk:
        high *= 2
    low = high // 2
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if upper_bound(wrong, middle) > risk else (low, middle)
    return high


def _pairs(count: int) -> str:
    return "1 pair" if count == 1 else f"{count:,} pairs"


def _at_most(count: int, of: int, share: float) -> float:
    """The probability of at most so many, each with this share above 0 and below 1."""
    if share >= 1:
        return 0.0
    hit, miss = math.log(share), math.log1p(-share)
    fixed = math.lgamma(of + 1)
    logs = (fixed - math.lgamma(k + 1) - math.lgamma(of - k + 1) + k * hit + (of - k) * miss for k in range(count + 1))
    return min(1.0, math.fsum(map(math.exp, logs)))

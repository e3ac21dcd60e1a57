"""What the stores of similar questions do, over every database."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from runwright.core.similar import MODEL, Asker, Evidence, Look, Question
from runwright.store import Stores
from runwright.store.cache import sweep_cache
from runwright.store.similar import STANDINGS, SqlQuestionStore

ASKER = Asker(agent="faq", version="1.0.0", model="demo", setting="s1")
NOW = 1_000_000.0


def question(key: bytes = b"k", **changes: Any) -> Question:
    """A question that is kept for an hour."""
    plain = Question(scope=b"scope", key=key, vector=b"vector", run_id="run_1", step=3, expires_at=NOW + 3600)
    return msgspec.structs.replace(plain, **changes)


def look(step: int, similarity: float | None = 0.97, **changes: Any) -> Look:
    """A turn that would have been answered."""
    at = datetime(2026, 11, 22, tzinfo=UTC)
    plain = Look(
        run_id="run_2",
        step=step,
        at=at,
        asker=ASKER,
        embedder="words",
        threshold=0.95,
        similarity=similarity,
        like_run_id="run_1",
        like_step=3,
    )
    return msgspec.structs.replace(plain, **changes)


def test_questions_of_a_scope(stores: Stores) -> None:
    """A scope gives its own questions that are not past their time, the newest first, each once."""
    store = stores.questions
    store.keep(question(b"old", expires_at=NOW + 10), now=NOW)
    store.keep(question(b"new"), now=NOW)
    store.keep(question(b"new", vector=b"again"), now=NOW)
    store.keep(question(b"elsewhere", scope=b"other"), now=NOW)
    assert store.among(b"scope", now=NOW) == [question(b"new", vector=b"again"), question(b"old", expires_at=NOW + 10)]
    assert [each.key for each in store.among(b"scope", now=NOW + 10)] == [b"new"]


def test_questions_are_forgotten(stores: Stores) -> None:
    """One or all questions can be forgotten, and what is held is counted."""
    store = stores.questions
    store.keep(question(b"a"), now=NOW)
    store.keep(question(b"b"), now=NOW)
    assert (store.size().count, store.size().bytes) == (2, 12)
    store.forget(question(b"a"))
    assert [each.key for each in store.among(b"scope", now=NOW)] == [b"b"]
    assert (store.clear(), store.size().count) == (1, 0)


def test_questions_have_room(stores: Stores) -> None:
    """Above their number those go whose time is over first."""
    store = SqlQuestionStore(stores.database, most=10)
    for number in range(30):
        store.keep(question(bytes([number]), expires_at=NOW + 60 + number), now=NOW)
    kept = [each.key[0] for each in store.among(b"scope", now=NOW)]
    assert kept[:10] == list(range(29, 19, -1))
    assert len(kept) <= 12
    assert sweep_cache(stores.database, limit=1) == 0
    assert store.size().count == 0


def test_evidence_counts_one_setting_at_one_threshold(stores: Stores) -> None:
    """Turns count for the asker, embedder and threshold that they were compared with, and for no other."""
    store = stores.looks
    store.note(look(1, found="equal"))
    store.note(look(2, found="same", by="anna"))
    store.note(look(3, found="different", by=f"{MODEL}demo"))
    store.note(look(4))
    store.note(look(5, 0.94))
    store.note(look(6, None))
    counted = Evidence(turns=6, hits=4, equal=1, same=1, different=1, by_model=1)
    assert store.evidence(ASKER, "words", threshold=0.95) == counted
    other = msgspec.structs.replace(ASKER, setting="s2")
    assert store.evidence(other, "words", threshold=0.95) == Evidence()
    assert store.evidence(ASKER, "others", threshold=0.95) == Evidence()
    assert store.evidence(ASKER, "words", threshold=0.96) == Evidence()
    (standing,) = store.standings("faq")
    assert (standing.asker, standing.threshold, standing.evidence) == (ASKER, 0.95, counted)
    assert list(store.standings("another")) == []
    for number in range(STANDINGS + 1):
        store.note(look(10 + number, asker=msgspec.structs.replace(ASKER, setting=f"at {number}")))
    assert len(store.standings()) == STANDINGS


def test_pairs_begin_with_the_riskiest(stores: Stores) -> None:
    """Pairs to be judged come with the fewest common words first; of the judged ones, those that are different."""
    store = stores.looks
    store.note(look(1, overlap=0.9))
    store.note(look(2, overlap=0.1))
    store.note(look(3, overlap=0.5, found="same", by="anna"))
    store.note(look(4, overlap=0.7, found="different", by="anna"))
    store.note(look(5, found="equal"))
    store.note(look(6, 0.5, overlap=0.0))
    assert [each.step for each in store.pairs("faq", is_judged=False, limit=10)] == [2, 1]
    assert [each.step for each in store.pairs(None, is_judged=True, limit=10)] == [4, 3]
    assert list(store.pairs("another", is_judged=False, limit=10)) == []


def test_a_verdict_stands(stores: Stores) -> None:
    """A verdict and who gave it are kept with the pair."""
    store = stores.looks
    store.note(look(1))
    assert store.get("run_2", 1) == look(1)
    store.judge("run_2", 1, verdict="different", by="anna")
    assert store.get("run_2", 1) == look(1, found="different", by="anna")
    assert store.get("run_2", 2) is None

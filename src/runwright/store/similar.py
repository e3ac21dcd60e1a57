"""Questions that are much alike, and what shadow mode found, in tables. Everything here is for threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Select, and_, case, delete, func, insert, select, update

from runwright.core.similar import MODEL, Asker, Evidence, Look, Question, Standing, Verdict
from runwright.core.sizes import Share
from runwright.store.database import Database
from runwright.store.rows import Row, micros, moment
from runwright.store.schema import similar_looks, similar_questions

IN_SCOPE: Final = 1000
"""Questions that one is compared with: the newest of its scope."""

MOST: Final = 50_000
"""Questions that are kept, about 90 MB: those go first whose time is over first."""

STANDINGS: Final = 20
"""Settings that are told of: instructions that change with every call make as many."""

SWEEP_S: Final = 300.0
_MICROS: Final = 1_000_000
_looks = similar_looks.c
_kept = similar_questions.c


class SqlQuestionStore:
    """The QuestionStore port over a database."""

    def __init__(self, database: Database, *, most: int = MOST) -> None:
        self._database = database
        self._most = most
        self._swept = 0.0
        self._added = 0

    def among(self, scope: bytes, *, now: float) -> Sequence[Question]:
        """Those of a scope, the newest first, up to a number. Raises StorageError."""
        query = select(similar_questions).where(_kept.scope == scope, _kept.expires_at > int(now * _MICROS))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(_kept.expires_at.desc()).limit(IN_SCOPE)).all()
        return [_question(row) for row in rows]

    def keep(self, question: Question, *, now: float) -> None:
        """Keep one, instead of what has its key, and sweep from time to time. Raises StorageError."""
        with self._database.write() as connection:
            connection.execute(delete(similar_questions).where(*_this(question)))
            connection.execute(insert(similar_questions).values(_question_values(question)))
        self._added += 1
        if now > self._swept + SWEEP_S or self._added > self._most // 10:
            self.sweep(now=now)

    def forget(self, question: Question) -> None:
        """Forget one. Raises StorageError."""
        with self._database.write() as connection:
            connection.execute(delete(similar_questions).where(*_this(question)))

    def clear(self) -> int:
        """Forget all; how many. Raises StorageError."""
        with self._database.write() as connection:
            return connection.execute(delete(similar_questions)).rowcount

    def size(self) -> Share:
        """How many there are, and how large. Raises StorageError."""
        with self._database.read() as connection:
            count, size = connection.execute(
                select(func.count(), func.coalesce(func.sum(func.length(_kept.vector)), 0))
            ).one()
        return Share(name="similar", count=count, bytes=size)

    def sweep(self, *, now: float) -> int:
        """Forget what is past its time or has no room; how many. Raises StorageError."""
        self._swept, self._added = now, 0
        with self._database.write() as connection:
            count = connection.execute(delete(similar_questions).where(_kept.expires_at <= int(now * _MICROS))).rowcount
            # The newest that has no room any more, if there are so many.
            last = connection.scalar(
                select(_kept.expires_at).order_by(_kept.expires_at.desc()).offset(self._most).limit(1)
            )
            if last is not None:
                count += connection.execute(delete(similar_questions).where(_kept.expires_at <= last)).rowcount
        return count


class SqlLookStore:
    """The LookStore port over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, look: Look) -> None:
        """Keep a look; of a step that began again, the last one. Raises StorageError."""
        with self._database.write() as connection:
            connection.execute(delete(similar_looks).where(*_at(look.run_id, look.step)))
            connection.execute(insert(similar_looks).values(_look_values(look)))

    def evidence(self, asker: Asker, embedder: str, *, threshold: float) -> Evidence:
        """What is known of an asker, from turns that were compared at this threshold. Raises StorageError."""
        with self._database.read() as connection:
            return _evidence(connection.execute(_counted(asker, embedder, threshold)).one())

    def standings(self, agent: str | None = None) -> Sequence[Standing]:
        """What is known of each asker and threshold, the newest first, up to a number. Raises StorageError."""
        kinds = (_looks.agent, _looks.version, _looks.model, _looks.setting, _looks.embedder, _looks.threshold)
        query = select(*kinds).group_by(*kinds).order_by(func.max(_looks.at).desc()).limit(STANDINGS)
        if agent is not None:
            query = query.where(_looks.agent == agent)
        found: list[Standing] = []
        with self._database.read() as connection:
            for row in connection.execute(query).all():
                asker = Asker(agent=row[0], version=row[1], model=row[2], setting=row[3])
                counted = _evidence(connection.execute(_counted(asker, row[4], row[5])).one())
                found.append(Standing(asker=asker, embedder=row[4], threshold=row[5], evidence=counted))
        return found

    def pairs(self, agent: str | None, *, is_judged: bool, limit: int) -> Sequence[Look]:
        """Would-be hits whose answers differ: those judged wrong first, then those with the fewest words in common.

        Raises StorageError.
        """
        found = ("same", "different") if is_judged else ("",)
        query = select(similar_looks).where(_looks.similarity >= _looks.threshold, _looks.found.in_(found))
        if agent is not None:
            query = query.where(_looks.agent == agent)
        order = (case((_looks.found == "different", 0), else_=1), _looks.overlap, _looks.at)
        with self._database.read() as connection:
            return [_look(row) for row in connection.execute(query.order_by(*order).limit(limit))]

    def get(self, run_id: str, step: int) -> Look | None:
        """One look. Raises StorageError."""
        with self._database.read() as connection:
            row = connection.execute(select(similar_looks).where(*_at(run_id, step))).one_or_none()
        return None if row is None else _look(row)

    def judge(self, run_id: str, step: int, *, verdict: Verdict, by: str) -> None:
        """Say of a would-be hit whether its answer would have done. Raises StorageError."""
        with self._database.write() as connection:
            connection.execute(update(similar_looks).where(*_at(run_id, step)).values(found=verdict, by=by))


def _counted(asker: Asker, embedder: str, threshold: float) -> Select[*tuple[Any, ...]]:
    is_hit = and_(_looks.similarity.is_not(None), _looks.similarity >= _looks.threshold)

    def hits(*conditions: Any) -> Any:  # noqa: ANN401 - expressions of any type
        return func.coalesce(func.sum(case((and_(is_hit, *conditions), 1), else_=0)), 0)

    columns = (
        func.count(),
        hits(),
        hits(_looks.found == "equal"),
        hits(_looks.found == "same"),
        hits(_looks.found == "different"),
        hits(_looks.found.in_(("same", "different")), _looks.by.startswith(MODEL)),
    )
    of = (_looks.setting == asker.setting, _looks.embedder == embedder, _looks.threshold == threshold)
    return select(*columns).where(*of)


def _evidence(row: Row) -> Evidence:
    turns, hits, equal, same, different, by_model = map(int, row)
    return Evidence(turns=turns, hits=hits, equal=equal, same=same, different=different, by_model=by_model)


def _this(question: Question) -> tuple[Any, ...]:
    return _kept.scope == question.scope, _kept.key == question.key


def _at(run_id: str, step: int) -> tuple[Any, ...]:
    return _looks.run_id == run_id, _looks.step == step


def _question(row: Row) -> Question:
    scope, key, expires_at, run_id, step, vector = row
    return Question(
        scope=bytes(scope),
        key=bytes(key),
        vector=bytes(vector),
        run_id=run_id,
        step=step,
        expires_at=expires_at / _MICROS,
    )


def _question_values(question: Question) -> dict[str, object]:
    return {
        "scope": question.scope,
        "key": question.key,
        "expires_at": int(question.expires_at * _MICROS),
        "run_id": question.run_id,
        "step": question.step,
        "vector": question.vector,
    }


def _look(row: Row) -> Look:
    run_id, step, at, agent, version, model, setting, embedder, threshold, similarity, like, like_step, *rest = row
    return Look(
        run_id=run_id,
        step=step,
        at=moment(at),
        asker=Asker(agent=agent, version=version, model=model, setting=setting),
        embedder=embedder,
        threshold=threshold,
        similarity=similarity,
        like_run_id=like,
        like_step=like_step,
        overlap=rest[0],
        found=rest[1],
        by=rest[2],
    )


def _look_values(look: Look) -> dict[str, object]:
    return {
        "run_id": look.run_id,
        "step": look.step,
        "at": micros(look.at),
        "agent": look.asker.agent,
        "version": look.asker.version,
        "model": look.asker.model,
        "setting": look.asker.setting,
        "embedder": look.embedder,
        "threshold": look.threshold,
        "similarity": look.similarity,
        "like_run_id": look.like_run_id,
        "like_step": look.like_step,
        "overlap": look.overlap,
        "found": look.found,
        "by": look.by,
    }

"""The embedder with its real weights."""

from pathlib import Path

import pytest

from runwright.app import open_embedder
from runwright.backends.minilm import WINDOW, MiniLm, has_packages
from runwright.core.similar import Embedder
from runwright.errors import ConfigError
from runwright.models.weights import EMBEDDER
from runwright.settings import Settings

WEIGHTS = Settings().cache_dir
ITALY = "What is the capital of Italy?"

pytestmark = pytest.mark.skipif(not has_packages(), reason="needs the extra `similar`, which `make test` installs")


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    """MiniLM, loaded once."""
    if not all((WEIGHTS / file.filename).is_file() for file in EMBEDDER):
        pytest.skip("needs `runwright models pull minilm-l6`, which `make test` does")
    return open_embedder(WEIGHTS)


def likeness(embedder: Embedder, one: str, other: str) -> float:
    """How alike two texts are."""
    left, right = embedder.embed(one), embedder.embed(other)
    assert left is not None
    assert right is not None
    return embedder.nearest(left, [right])[1]


def test_a_paraphrase_is_nearer_than_another_question(embedder: Embedder) -> None:
    """Of several questions the paraphrase is found, and a text is like itself."""
    others = ["How do I bake bread?", "Which city is Italy's capital?", "What is the capital of Spain?"]
    vectors = [embedder.embed(each) or b"" for each in others]
    place, similarity = embedder.nearest(embedder.embed(ITALY) or b"", vectors)
    assert (place, round(similarity, 2)) == (1, 0.94)
    assert likeness(embedder, ITALY, ITALY) == pytest.approx(1)


def test_the_trap_scores_higher_than_the_paraphrase(embedder: Embedder) -> None:
    """A swapped direction and a negation are nearer than words for the same: why evidence is asked for."""
    swapped = likeness(embedder, "How do I convert 10 euros to dollars?", "How do I convert 10 dollars to euros?")
    negated = likeness(embedder, "Can I cancel my order?", "Can I not cancel my order?")
    assert min(swapped, negated) > 0.98 > likeness(embedder, ITALY, "Which city is Italy's capital?")


def test_what_would_not_count_has_no_vector(embedder: Embedder) -> None:
    """A text that is longer than the window, of which the end would be left out, and an empty one are not compared."""
    assert embedder.embed("word " * (WINDOW - 2)) is not None
    assert embedder.embed("word " * (WINDOW - 1)) is None
    assert embedder.embed(" \n") is None


def test_missing_weights_are_named(tmp_path: Path) -> None:
    """Without the weights the error says how to get them."""
    with pytest.raises(ConfigError, match="models pull minilm-l6"):
        MiniLm(tmp_path / "a", tmp_path / "b")

"""Sentences as vectors: all-MiniLM-L6-v2 with int8 weights, in this process (extra `similar`).

Mean over the tokens' vectors, normalised to length 1, as Sentence Transformers does for this model.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from runwright.errors import ConfigError, MissingExtra

NAME: Final = "minilm-l6-int8"
WINDOW: Final = 256
"""Tokens that the model was made for. What comes after them would not count."""

PACKAGES: Final = ("numpy", "onnxruntime", "tokenizers")
THREADS: Final = 1


def has_packages() -> bool:
    """Whether the extra `similar` is installed."""
    return all(importlib.util.find_spec(name) is not None for name in PACKAGES)


class MiniLm:
    """The Embedder port. Blocks while it loads and works: for threads, of which several may use one."""

    name = NAME

    def __init__(self, weights: Path, vocabulary: Path) -> None:
        if not has_packages():
            raise MissingExtra("the cache's policy 'similar' needs an extra: pip install 'runwright[similar]'")
        if not (weights.is_file() and vocabulary.is_file()):
            raise ConfigError("the weights that compare questions are not there: run `runwright models pull minilm-l6`")
        self._numpy, runtime, tokenizers = map(_imported, PACKAGES)
        self._tokenizer = tokenizers.Tokenizer.from_file(str(vocabulary))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = THREADS
        self._session = runtime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        self._inputs = {each.name for each in self._session.get_inputs()}

    def embed(self, text: str) -> bytes | None:
        """The vector of a text; None for the empty text and for one that is longer than the model's window."""
        numpy = self._numpy
        tokens = self._tokenizer.encode(text)
        if not text.strip() or len(tokens.ids) > WINDOW:
            return None
        rows = {"input_ids": tokens.ids, "attention_mask": tokens.attention_mask, "token_type_ids": tokens.type_ids}
        fed = {name: numpy.array([row], dtype=numpy.int64) for name, row in rows.items() if name in self._inputs}
        mean = self._session.run(None, fed)[0][0].mean(axis=0)
        return (mean / numpy.linalg.norm(mean)).astype(numpy.float32).tobytes()

    def nearest(self, vector: bytes, among: Sequence[bytes]) -> tuple[int, float]:
        """The place of the vector that is most like this one, and the cosine between the two."""
        numpy = self._numpy
        rows = numpy.frombuffer(b"".join(among), dtype=numpy.float32).reshape(len(among), -1)
        cosines = rows @ numpy.frombuffer(vector, dtype=numpy.float32)
        place = int(cosines.argmax())
        return place, float(cosines[place])


# Any: none of these packages is there for the type checker in every installation.
def _imported(name: str) -> Any:  # noqa: ANN401
    return importlib.import_module(name)

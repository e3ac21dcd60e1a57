"""llama.cpp in this process, through the package xllamacpp (extra `local`)."""

from __future__ import annotations

import importlib
import importlib.util
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from runwright.errors import ConfigError, MissingExtra

CONTEXT_TOKENS = 4096
BATCH_TOKENS = 256
CACHE_MIB = 256
Chunk = dict[str, Any]


class ChatEngine(Protocol):
    """Something that answers a chat completions body, chunk by chunk, in the calling thread."""

    def chat(self, body: Mapping[str, Any], on_chunk: Callable[[Chunk], bool]) -> None:
        """Answer. Stops early when `on_chunk` returns True."""
        ...


def has_engine() -> bool:
    """Whether the extra `local` is installed."""
    return importlib.util.find_spec("xllamacpp") is not None


def default_threads() -> int:
    """Half the cores: llama.cpp spins at its barriers, and a busy neighbour makes it ten times slower."""
    return max(1, (os.cpu_count() or 1) // 2)


class LlamaEngine:
    """One GGUF file, loaded. Blocks while it loads and answers, with the GIL released."""

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        if not has_engine():
            raise MissingExtra("local models need an extra: pip install 'runwright[local]'")
        if not path.is_file():
            raise ConfigError(f"there is no model file {str(path)!r}")
        xllamacpp: Any = importlib.import_module("xllamacpp")
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = CONTEXT_TOKENS
        params.n_parallel = 1
        # A prompt can be cancelled between two batches.
        params.n_batch = params.n_ubatch = BATCH_TOKENS
        params.cache_ram_mib = CACHE_MIB
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads or default_threads()
        # The engine always opens a loopback port; nobody else shall use it.
        params.api_keys = [secrets.token_hex(16)]
        params.use_jinja = True
        params.verbosity = -1
        try:
            self._server: Any = xllamacpp.Server(params)
        except RuntimeError as error:
            raise ConfigError(f"{str(path)!r} cannot be loaded as a GGUF model: {error}") from error

    def chat(self, body: Mapping[str, Any], on_chunk: Callable[[Chunk], bool]) -> None:
        """Answer. Stops early when `on_chunk` returns True."""
        self._server.handle_chat_completions(dict(body), on_chunk)

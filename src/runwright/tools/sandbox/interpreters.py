"""What runs the code: the Python that runs Runwright, without its packages, and Deno of the extra `js`."""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path

from runwright.core.sandbox import MIB, Language

try:
    from deno import find_deno_bin  # pyright: ignore[reportMissingTypeStubs] - it has none
except ImportError:
    find_deno_bin = None

FILES: dict[Language, str] = {"python": "main.py", "javascript": "main.js", "typescript": "main.ts"}
"""What the code is called in tracebacks."""

ENVIRONMENT = {
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    # One thread: each thread of these libraries reserves address space, of which a guest has little.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "DENO_NO_UPDATE_CHECK": "1",
    "NO_COLOR": "1",
    # Sets come in the same order when the code is run again.
    "PYTHONHASHSEED": "0",
}
"""What a guest finds in its environment, beside the folder that Deno may keep things in."""


class Interpreters:
    """Where Python and Deno are. Each is looked for on first use, which reads the disk."""

    def __init__(self, python: Path | None = None, deno: Path | None = None) -> None:
        self._python = python
        self._deno = deno

    @cached_property
    def python(self) -> Path:
        """The Python itself, outside of any virtual environment."""
        return (self._python or Path(getattr(sys, "_base_executable", None) or sys.executable)).resolve()

    @cached_property
    def deno(self) -> Path | None:
        """The Deno of the extra `js`, if it is installed."""
        if self._deno is not None or find_deno_bin is None:
            return self._deno
        try:
            return Path(find_deno_bin()).resolve()
        except FileNotFoundError:
            return None

    @cached_property
    def python_files(self) -> tuple[Path, ...]:
        """What this Python is made of: never its whole prefix, which can be a home."""
        prefix = self.python.parent.parent
        parts = (*prefix.glob("lib/python3.*"), *prefix.glob("lib/libpython3*"))
        return (self.python, *sorted(part.resolve() for part in parts))

    def python_command(self, script: Path | str, *arguments: str) -> list[str]:
        """Run a script without packages, settings of the user, or bytecode of its own."""
        return [str(self.python), "-P", "-s", "-S", "-B", "-u", "-X", "utf8", str(script), *arguments]

    def deno_command(self, folder: str, memory: int, *, readable: str = "") -> list[str]:
        """Run the harness in a folder that holds the code too, which with `readable` is all that can be read."""
        rights = f"--allow-read={folder}{readable and ','}{readable}"
        return self._deno_run(folder, rights, f"--v8-flags=--max-old-space-size={memory // MIB}")

    def deno_unbound(self, folder: str) -> list[str]:
        """Run the harness with every right."""
        return self._deno_run(folder, "--allow-all")

    def _deno_run(self, folder: str, *rights: str) -> list[str]:
        options = ["--no-config", "--no-prompt", "--no-remote", "--no-lock", "--quiet", "--node-modules-dir=manual"]
        return [str(self.deno), "run", *options, *rights, f"{folder}/harness.ts"]

    def why_not(self, language: Language) -> str | None:
        """Why code in a language cannot be run, if so."""
        if language != "python" and self.deno is None:
            return "Deno is not installed: pip install 'runwright[js]'"
        return None

"""What runs inside: files that are handed to other interpreters, which know nothing of Runwright."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
CONFINE: Final = FOLDER / "confine.py"
TIE: Final = FOLDER / "tie.py"
PYTHON_HARNESS: Final = FOLDER / "harness.py"
DENO_HARNESS: Final = FOLDER / "harness.ts"
PYTHON_ATTACKS: Final = (FOLDER / "attacks.py", FOLDER / "attacks_on_kernel.py")
DENO_ATTACKS: Final = (FOLDER / "attacks.ts",)

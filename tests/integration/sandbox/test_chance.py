"""Random numbers of code begin with the seed that is recorded, so that they are the same when it is run again."""

from pathlib import Path

import msgspec

from runwright.core.sandbox import SandboxSpec
from tests.integration.sandbox.ways import opened

WITHOUT_NAMING_IT = "from statistics import NormalDist\ndef main(): return NormalDist(0, 1).samples(2)\n"
LATE = "def main():\n    import numpy as np\n    return np.random.STATE\n"
NUMPY_RANDOM = "STATE = None\ndef seed(number):\n    global STATE\n    STATE = number\n"


async def result(code: str, dependencies: Path | None = None) -> object:
    """What code gives with one and the same seed."""
    async with opened("unsafe") as sandbox:
        spec = SandboxSpec(language="python", code=code, dependencies=dependencies, min_isolation=0)
        async with await sandbox.start(spec) as session:
            outcome = await session.run("main", {}, seed=0.5)
    assert outcome.result is not None, outcome
    return msgspec.json.decode(outcome.result)


async def test_numbers_of_another_module_are_seeded() -> None:
    """Code that never names `random`, and takes its numbers from a module that does, gets the same ones again."""
    assert await result(WITHOUT_NAMING_IT) == await result(WITHOUT_NAMING_IT)


async def test_what_is_imported_late_is_seeded(tmp_path: Path) -> None:
    """NumPy that is imported by the function, not above it, begins with the seed as well."""
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("from . import random\n")
    (tmp_path / "numpy" / "random.py").write_text(NUMPY_RANDOM)
    assert await result(LATE, tmp_path) == 2**31

"""The product's virtual time, in environments that do not have the product."""

import importlib.util
from pathlib import Path
from types import ModuleType

_FILE = Path(__file__).resolve().parents[2] / "src" / "runwright" / "guard" / "virtual.py"


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("virtual_time", _FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run_virtual = _loaded().run_virtual

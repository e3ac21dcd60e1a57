"""Files of a folder as modules of a package of their own, imported afresh each time."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from hashlib import blake2b
from importlib import import_module, invalidate_caches
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any


class _Fresh(SourceFileLoader):
    """Compiles at each import: bytecode is told apart by whole seconds, and a reload may come within one."""

    def path_stats(self, path: Any) -> Mapping[str, Any]:  # noqa: ANN401 - the signature of the base class
        raise OSError(f"{path} is not cached")


def package_of(folder: Path) -> ModuleType:
    """A new package whose modules are the files of a folder, so that relative imports among them work."""
    root = folder.resolve()
    name = f"runwright_agents_{blake2b(str(root).encode(), digest_size=6).hexdigest()}"
    _forget(name)
    for each in (folder, *(path for path in folder.iterdir() if (path / "__init__.py").is_file())):
        sys.path_importer_cache[str(each)] = FileFinder(str(each), (_Fresh, SOURCE_SUFFIXES))
    package = module_from_spec(_package_spec(name, folder))
    package.__path__ = [str(folder)]
    sys.modules[name] = package
    return package


def _package_spec(name: str, folder: Path) -> ModuleSpec:
    init = folder / "__init__.py"
    if not init.is_file():
        return ModuleSpec(name, None, is_package=True)
    spec = spec_from_file_location(name, init, loader=_Fresh(name, str(init)), submodule_search_locations=[str(folder)])
    assert spec is not None
    return spec


def execute(package: ModuleType) -> ModuleType:
    """Run the `__init__.py` of a package."""
    loader = package.__spec__.loader if package.__spec__ else None
    assert loader is not None
    loader.exec_module(package)
    return package


def fresh(name: str) -> ModuleType:
    """A module by its name, with everything below it imported again."""
    _forget(name)
    invalidate_caches()
    return import_module(name)


def _forget(name: str) -> None:
    for each in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
        del sys.modules[each]

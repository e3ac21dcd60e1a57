"""Measure `pip install .` in a fresh environment: packages, megabytes and the files of the wheel.

pip, setuptools and bytecode are left out. Run by `make size`; exits 1 above a limit.
"""

import subprocess
import sys
import tempfile
import venv
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES_AT_MOST = 55
MEGABYTES_AT_MOST = 90
NOT_COUNTED = {"pip", "setuptools"}
BYTECODE = {".pyc"}


def main() -> int:
    """Install, measure, print, and say by the exit code whether the limits hold."""
    with tempfile.TemporaryDirectory() as folder:
        site = _install(Path(folder))
        found = [dist for dist in distributions(path=[str(site)]) if dist.name not in NOT_COUNTED]
        sizes = {dist.name: _size(dist) for dist in found}
        missing = _missing(site / "runwright")
    _print(sizes, missing)
    is_small = len(sizes) <= PACKAGES_AT_MOST and _megabytes(sizes) <= MEGABYTES_AT_MOST
    return 0 if is_small and not missing else 1


def _install(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    options = ["--quiet", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([python, "-m", "pip", "install", *options, ROOT], check=True)
    return next(folder.glob("lib/python*/site-packages"))


def _size(dist: Distribution) -> int:
    files = [Path(str(file.locate())) for file in dist.files or [] if file.suffix not in BYTECODE]
    return sum(file.stat().st_size for file in files if file.is_file())


def _missing(installed: Path) -> list[str]:
    """Files of the source tree, data included, that the wheel left behind."""
    source = ROOT / "src" / "runwright"
    files = (file.relative_to(source) for file in source.rglob("*") if file.is_file())
    return sorted(str(file) for file in files if file.suffix not in BYTECODE and not (installed / file).is_file())


def _megabytes(sizes: dict[str, int]) -> float:
    return sum(sizes.values()) / 1e6


def _print(sizes: dict[str, int], missing: list[str]) -> None:
    for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:5]:
        print(f"  {size / 1e6:5.1f} MB  {name}")
    print(f"  {len(sizes)} packages (at most {PACKAGES_AT_MOST})")
    print(f"  {_megabytes(sizes):.1f} MB (at most {MEGABYTES_AT_MOST})")
    for file in missing:
        print(f"  not in the wheel: {file}")


if __name__ == "__main__":
    sys.exit(main())

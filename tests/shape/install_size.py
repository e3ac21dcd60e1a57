"""Measure the wheel and what it installs in a fresh environment: packages, megabytes and files.

pip, setuptools and bytecode are left out. Run by `make size`; exits 1 above a limit, and where the wheel lacks a file
of the source tree, such as a template or a static file of the studio.
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
WHEEL_AT_MOST = 1.5
"""Megabytes of our own wheel."""
NOT_COUNTED = {"pip", "setuptools"}
BYTECODE = {".pyc"}


def main() -> int:
    """Install, measure, print, and say by the exit code whether the limits hold."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = _wheel(folder)
        weight = wheel.stat().st_size / 1e6
        site = _install(folder, wheel)
        found = [dist for dist in distributions(path=[str(site)]) if dist.name not in NOT_COUNTED]
        sizes = {dist.name: _size(dist) for dist in found}
        missing = _missing(site / "runwright")
    _print(sizes, missing)
    print(f"  {weight:.1f} MB wheel (at most {WHEEL_AT_MOST})")
    is_small = len(sizes) <= PACKAGES_AT_MOST and _megabytes(sizes) <= MEGABYTES_AT_MOST and weight <= WHEEL_AT_MOST
    return 0 if is_small and not missing else 1


def _wheel(folder: Path) -> Path:
    """Our own wheel, built from the source tree."""
    venv.create(folder, with_pip=True)
    _pip(folder, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    return next(folder.glob("runwright-*.whl"))


def _install(folder: Path, wheel: Path) -> Path:
    _pip(folder, "install", "--no-compile", str(wheel))
    return next(folder.glob("lib/python*/site-packages"))


def _pip(folder: Path, *arguments: str) -> None:
    options = ["--quiet", "--disable-pip-version-check"]
    subprocess.run([folder / "bin" / "python", "-m", "pip", *arguments, *options], check=True)


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

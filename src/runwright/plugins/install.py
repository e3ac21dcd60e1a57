"""Packages of an index, installed by pip into the environment that runs this: wheels only, each by its hash."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import invalidate_caches, metadata
from importlib.machinery import PathFinder
from pathlib import Path

from runwright.errors import ConfigError
from runwright.plugins import GROUPS
from runwright.plugins.index import Index, Package

# Isolated (-I): neither variables nor folders of the user name modules. pip may stand where only this process looks;
# that comes after what is the environment's own.
RUN = """\
import runpy, sys
sys.path.append(sys.argv.pop(1))
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
PIP = ("install", "--require-hashes", "--no-deps", "--only-binary", ":all:")
QUIET = ("--disable-pip-version-check", "--no-input", "--quiet", "--no-cache-dir")
TIMEOUT_S = 600
SHOWN = 12

PASSED = (
    *(
        "PATH",
        "HOME",
        "USERPROFILE",
        "APPDATA",
        "LOCALAPPDATA",
        "SYSTEMROOT",
        "TMPDIR",
        "TEMP",
        "TMP",
        "LANG",
        "LC_ALL",
    ),
    *("XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY"),
    *("NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NETRC", "PIP_CONFIG_FILE", "PIP_INDEX_URL"),
    *("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_TRUSTED_HOST", "PIP_CERT", "PIP_CLIENT_CERT"),
    *("PIP_PROXY", "PIP_RETRIES", "PIP_DEFAULT_TIMEOUT", "PIP_TIMEOUT"),
)
"""Variables that pip is told of: where it looks, and how it gets there. Keys of models are not among them."""


def install(index: Index, packages: Sequence[Package], *, environment: Mapping[str, str], is_dry: bool) -> None:
    """Have pip look at every file and its hash, and then install all of them, unless `is_dry`.

    `environment` has those variables of `PASSED` that are set.
    Raises ConfigError that says why it cannot.
    """
    where = refuse_environment()
    with tempfile.TemporaryDirectory(prefix="runwright-") as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text("".join(f"{index.line(each)}\n" for each in packages), encoding="utf-8")
        pip = partial(_pip, folder, environment, where)
        pip("--dry-run", "--requirement", str(wanted))
        if not is_dry:
            pip("--requirement", str(wanted))
    invalidate_caches()


def refuse_environment() -> str:
    """The folder that holds pip. Raises ConfigError where pip cannot install into this environment."""
    # What is imported from where a command is called is not what Runwright was installed with.
    here = Path.cwd()
    found = PathFinder.find_spec("pip", [each for each in sys.path if each and Path(each).resolve() != here])
    if found is None or found.origin is None:
        raise ConfigError(f"there is no pip in {sys.prefix}: python -m ensurepip, or install the wheels yourself")
    marker = Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED"
    if sys.prefix == sys.base_prefix and marker.exists():
        raise ConfigError(f"{sys.prefix} is looked after by the system: run Runwright in a virtual environment")
    return str(Path(found.origin).parents[1])


def offered(package: Package) -> list[str]:
    """What an installed package adds: the names of its entry points, with what they are."""
    try:
        points = metadata.distribution(package.name).entry_points
    except metadata.PackageNotFoundError:
        return []
    return [f"{GROUPS[each.group]} {each.name}" for each in points if each.group in GROUPS]


def _pip(folder: str, environment: Mapping[str, str], where: str, *arguments: str) -> None:
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", RUN, where, *PIP, *QUIET, *arguments],
            cwd=folder,
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"pip took longer than {TIMEOUT_S} s") from None
    if done.returncode:
        told = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-SHOWN:])
        raise ConfigError(f"pip refuses, and nothing is installed:\n{told}")

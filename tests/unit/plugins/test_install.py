"""How pip is called."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runwright.errors import ConfigError
from runwright.plugins.index import Index, Package
from runwright.plugins.install import install

STRANGE = "import pathlib; pathlib.Path({!r}).touch()"


def test_no_module_of_others_runs_in_place_of_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the folder of the call nor a variable names what runs: pip itself reads the wheel, and refuses it."""
    marker = tmp_path / "ran"
    for name in ("pip.py", "sitecustomize.py", "tempfile.py"):
        (tmp_path / name).write_text(STRANGE.format(str(marker)))
    (tmp_path / "a-1.0-py3-none-any.whl").write_bytes(b"no wheel")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), *sys.path])
    package = Package(name="a", version="1.0", file="a-1.0-py3-none-any.whl", sha256="0" * 64)
    with pytest.raises(ConfigError, match="DO NOT MATCH THE HASHES"):
        install(Index("index.toml", [package]), [package], environment={"PYTHONPATH": str(tmp_path)}, is_dry=True)
    assert not marker.exists()

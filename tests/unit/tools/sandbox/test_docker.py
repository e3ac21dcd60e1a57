"""What is asked of docker before the first guest runs."""

from pathlib import Path

import pytest

from runwright.tools.sandbox import docker as docker_way
from runwright.tools.sandbox.docker import import_image


def test_a_docker_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for its answer is told that there is none."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexec sleep 600\n")
    docker.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(docker_way, "DOCKER_S", 0.05)
    with pytest.raises(OSError, match="docker does not answer"):
        import_image()

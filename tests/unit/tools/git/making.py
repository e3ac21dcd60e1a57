"""Repositories that tests read, made by the real command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ENVIRONMENT = {
    "PATH": os.defpath,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


class Origin:
    """A repository in a folder, and how to change it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._day = 0
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str | bytes) -> str:
        """Run a command in it; commits are a day apart."""
        day = f"2026-01-{self._day + 1:02}T00:00:00+00:00"
        dates = {"GIT_AUTHOR_DATE": day, "GIT_COMMITTER_DATE": day}
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=ENVIRONMENT | dates, check=True, capture_output=True
        )
        return done.stdout.decode(errors="replace").strip()

    def commit(self, message: str, **files: str | bytes) -> str:
        """Write files, where `__` in a name is a slash and `_dot_` a dot, and commit all that is there."""
        for name, content in files.items():
            path = self.path / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        self._day += 1
        return self.git("rev-parse", "HEAD")

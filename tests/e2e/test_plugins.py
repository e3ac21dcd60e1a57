"""A plugin from its wheel to a run, through the real command and the real pip, without a network."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "plugin"
NAME = "acme_report-1.0.0"
POINTS = """\
[runwright.templates]
report = acme_report:Report
[runwright.tools]
office_hours = acme_report:office_hours
[runwright.readers]
ends = acme_report:Ends
[runwright.guards]
confidential = acme_report:Confidential
"""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def a_wheel(folder: Path) -> Path:
    """The example plugin as a wheel."""
    files = {
        "acme_report/__init__.py": (PLUGIN / "acme_report" / "__init__.py").read_text(),
        f"{NAME}.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme-report\nVersion: 1.0.0\n",
        f"{NAME}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{NAME}.dist-info/entry_points.txt": POINTS,
    }
    hashes = {
        name: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        for name, text in files.items()
    }
    record = [f"{name},sha256={hashes[name]},{len(text.encode())}" for name, text in files.items()]
    files[f"{NAME}.dist-info/RECORD"] = "\n".join([*record, f"{NAME}.dist-info/RECORD,,"]) + "\n"
    path = folder / f"{NAME}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return path


class Machine:
    """An environment of its own that sees Runwright and what it needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True, timeout=60)
        paths = [str(ROOT / "src"), sysconfig.get_path("purelib")]
        self._environ = {**os.environ, "RUNWRIGHT_MODEL": "demo", "PYTHONPATH": os.pathsep.join(paths)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of Runwright."""
        return subprocess.run(
            [str(self.folder / "env" / "bin" / "python"), "-m", "runwright", *arguments, "--data", "data"],
            cwd=self.folder,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def asked(self, *arguments: str) -> dict[str, list[dict[str, str]]]:
        """What a command says as JSON."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def write_index(self, wheel: Path, sha256: str) -> None:
        """An index of one package."""
        text = f'[[package]]\nname = "acme-report"\nversion = "1.0.0"\nfile = "{wheel.name}"\nsha256 = "{sha256}"\n'
        (self.folder / "index.toml").write_text(text)


def test_a_plugin_is_installed_by_its_hash(tmp_path: Path) -> None:
    """A wheel whose hash differs is refused, one without a hash too; else its template, tool and reader are there."""
    machine = Machine(tmp_path)
    wheel = a_wheel(tmp_path)
    install = ("templates", "install", "acme-report", "--index", "index.toml")
    machine.write_index(wheel, "0" * 64)
    refused = machine.run(*install)
    assert refused.returncode == 3
    assert "DO NOT MATCH THE HASHES" in refused.stderr
    machine.write_index(wheel, "")
    assert "acme-report==1.0.0 is not pinned" in machine.run(*install).stderr

    machine.write_index(wheel, hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert [each["name"] for each in machine.asked("templates", "search", "acme", "--index", "index.toml")["data"]]
    assert machine.asked(*install, "--dry-run")["installed"] is False
    assert "report" not in [each["name"] for each in machine.asked("templates", "ls")["data"]]
    done = machine.asked(*install)
    assert (done["installed"], sorted(map(str, done["offers"]))) == (
        True,
        ["guard confidential", "reader ends", "template report", "tool office_hours"],
    )

    (tmp_path / "agents").mkdir()
    definitions = (
        "- {name: weekly, template: report@^1}\n- {name: desk, tools: [office_hours]}\n"
        "- {name: quiet, guard: {plugins: [{name: confidential, config: {words: [merger]}}]}}\n"
    )
    (tmp_path / "agents" / "a.yaml").write_text(definitions)
    assert "report" in [each["name"] for each in machine.asked("templates", "ls")["data"]]
    answer = machine.run("run", "desk", "What are the office hours of a day?")
    assert "the office is open from 9 to 17" in answer.stdout, answer.stderr
    assert machine.run("run", "weekly", "Hello").returncode == 0
    assert machine.run("run", "quiet", "Hello").returncode == 0
    refused = machine.run("run", "quiet", "What of the merger?")
    assert (refused.returncode, "guard_refused: 'merger' is not told to demo" in refused.stderr) == (1, True)

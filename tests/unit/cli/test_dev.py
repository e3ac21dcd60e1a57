"""`runwright dev`: how edited files are read."""

from pathlib import Path

from runwright.app import App, AppOptions
from runwright.cli.dev import ATTEMPTS, read
from runwright.settings import Settings


class Written(App):
    """An app whose file is written while it is read, so many times."""

    def __init__(self, file: Path, *, times: int) -> None:
        super().__init__(Settings(), sources=[file.parent], options=AppOptions(is_in_memory=True))
        self.file = file
        self.left = times
        self.read = 0

    def discover(self):  # noqa: ANN201 - as the App's
        """Read, and have the file written."""
        found = super().discover()
        self.read += 1
        if self.left:
            self.left -= 1
            self.file.write_text(f"- name: a\n- name: b{self.read}\n")
        return found


def test_a_file_that_is_written_meanwhile_is_read_again(tmp_path: Path) -> None:
    """What is read while a file is written is read again, so that no agent goes away for a moment; within a bound."""
    file = tmp_path / "a.yaml"
    file.write_text("- name: a\n")
    app = Written(file, times=2)
    assert [each.name for each in read(app, {file}).agents] == ["a", "b2"]
    assert app.read == 3
    endless = Written(file, times=100)
    assert read(endless, {file}).agents
    assert endless.read == ATTEMPTS + 1
    gone = tmp_path / "gone.yaml"
    assert next(each.name for each in read(Written(file, times=0), {gone}).agents) == "a"

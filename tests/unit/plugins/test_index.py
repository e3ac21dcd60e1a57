"""An index of plugins, and what is installed of it."""

from pathlib import Path

import pytest

from runwright.errors import ConfigError, NotFound
from runwright.plugins.index import Index, Package, read_index
from runwright.plugins.install import install

HASH = "a" * 64


def index(*packages: Package, place: str = "/srv/index.toml") -> Index:
    """An index on this machine."""
    return Index(place, packages)


def a_package(name: str, version: str = "1.0.0", *, sha256: str = HASH, file: str = "", requires: str = "") -> Package:
    """A package that is pinned."""
    return Package(name=name, version=version, sha256=sha256, file=file, requires=tuple(requires.split()))


def test_read(tmp_path: Path) -> None:
    """An index is a TOML file; words of names and descriptions find its packages."""
    path = tmp_path / "index.toml"
    path.write_text(
        '[[package]]\nname = "acme-report"\nversion = "1.0.0"\ndescription = "Long reports"\n'
        '[[package]]\nname = "acme-mail"\nversion = "2.0.0"\n'
    )
    found = read_index(str(path))
    assert [each.pin for each in found.search(["acme"])] == ["acme-report==1.0.0", "acme-mail==2.0.0"]
    assert [each.name for each in found.search(["REPORTS", "long"])] == ["acme-report"]
    assert found.search(["nothing"]) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[package]\n", "is no index of plugins"),
        ('[[package]]\nname = "a"\n', "missing required field `version`"),
        ('[[package]]\nname = "a"\nversion = "1"\nhash = "x"\n', "unknown field `hash`"),
        ('[[package]]\nname = "a --index-url"\nversion = "1"\n', "which cannot be"),
        ('[[package]]\nname = "a"\nversion = "1\\n--pre"\n', "which cannot be"),
        ('[[package]]\nname = "a"\nversion = "1"\nfile = "a.whl --pre"\n', "which cannot be"),
    ],
)
def test_what_is_no_index(tmp_path: Path, text: str, told: str) -> None:
    """What is wrong with an index is said, also what would be an option of pip."""
    (tmp_path / "index.toml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_index(str(tmp_path / "index.toml"))


def test_where_it_is_read() -> None:
    """An index that is not there, or comes over plain HTTP from afar, is refused."""
    with pytest.raises(ConfigError, match="No such file"):
        read_index("/no/such/index.toml")
    with pytest.raises(ConfigError, match="comes over https"):
        read_index("http://example.com/index.toml")


def test_plan() -> None:
    """A package comes with all that it requires, each once; the last entry of a name is the newest."""
    found = index(
        a_package("acme_report", "1.0.0"),
        a_package("acme-report", "2.0.0", requires="acme-base==1.0.0 acme-text==1.0.0"),
        a_package("acme-text", requires="acme.base==1.0.0"),
        a_package("acme-base"),
    )
    assert sorted(each.pin for each in found.plan("Acme.Report")) == [
        "acme-base==1.0.0",
        "acme-report==2.0.0",
        "acme-text==1.0.0",
    ]
    assert [each.pin for each in found.plan("acme-report==1.0.0")] == ["acme-report==1.0.0"]


def test_what_is_not_pinned() -> None:
    """Nothing is installed without its hash, neither a package nor what it requires."""
    for wrong in ("", "abc", HASH.upper()):
        with pytest.raises(ConfigError, match=r"acme-base==1\.0\.0 is not pinned"):
            index(a_package("acme", requires="acme-base==1.0.0"), a_package("acme-base", sha256=wrong)).plan("acme")
    with pytest.raises(ConfigError, match="requires 'acme-base' without a version"):
        index(a_package("acme", requires="acme-base")).plan("acme")


def test_what_is_not_there() -> None:
    """A package, a version or a requirement that the index does not have is named, with who asked for it."""
    found = index(a_package("acme", requires="acme-base==2.0.0"), a_package("acme-base"))
    with pytest.raises(NotFound, match="has no package 'nothing'"):
        found.plan("nothing")
    with pytest.raises(NotFound, match=r"which acme==1\.0\.0 requires; there is 1\.0\.0"):
        found.plan("acme")
    installed = index(a_package("acme", requires="pytest==0.0.1"))
    with pytest.raises(NotFound):
        installed.plan("acme")


def test_what_is_installed() -> None:
    """A requirement that is there in its version needs no entry."""
    found = index(a_package("acme", requires=f"pytest=={pytest.__version__}"))
    assert [each.pin for each in found.plan("acme")] == ["acme==1.0.0"]


@pytest.mark.parametrize(
    ("place", "file", "line"),
    [
        ("/srv/index.toml", "acme.whl", f"acme @ file:///srv/acme.whl --hash=sha256:{HASH}"),
        ("https://x.test/p/index.toml", "w/acme.whl", f"acme @ https://x.test/p/w/acme.whl --hash=sha256:{HASH}"),
        ("/srv/index.toml", "https://x.test/acme.whl", f"acme @ https://x.test/acme.whl --hash=sha256:{HASH}"),
        ("/srv/index.toml", "", f"acme==1.0.0 --hash=sha256:{HASH}"),
    ],
)
def test_line(place: str, file: str, line: str) -> None:
    """Files are looked for beside the index; pip gets each with its hash."""
    assert index(place=place).line(a_package("acme", file=file)) == line


@pytest.mark.parametrize(
    "file",
    [
        "acme-1.0.tar.gz",
        "acme-1.0.tar.gz#acme.whl",
        "acme-1.0.tar.gz?x=acme.whl",
        "https://x.test/${OPENAI_API_KEY}/acme.whl",
        "git+https://x.test/acme.whl",
        "ftp://x.test/acme.whl",
        "//x.test/acme.whl",
        "https://[x.test/acme.whl",
    ],
)
def test_what_is_no_wheel(file: str) -> None:
    """What pip would build or clone is not handed to it, nor an address that it would fill with a secret."""
    with pytest.raises(ConfigError, match=r"no wheel|no path"):
        index().line(a_package("acme", file=file))


def test_pip_is_told_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip sees no key of the environment, and runs no module of the folder that it is called in."""
    (tmp_path / "pip.py").write_text("open('ran', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_REQUIREMENT", str(tmp_path / "secret"))
    wheel = tmp_path / "acme-1.0.0-py3-none-any.whl"
    wheel.write_bytes(b"no wheel")
    package = a_package("acme", file=wheel.name)
    with pytest.raises(ConfigError, match="HASHES"):
        install(index(package, place=str(tmp_path / "index.toml")), [package], environment={}, is_dry=True)
    assert not (tmp_path / "ran").exists()

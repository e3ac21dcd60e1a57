"""Settings: where values come from, and what is refused."""

import io
from pathlib import Path

import pytest
from pydantic import ValidationError

from runwright.cli.config import shown
from runwright.core.policy import Budget, Guard, GuardSettings, Retry
from runwright.errors import ConfigError, InvalidRequest
from runwright.settings import ProviderEntry, Settings, fields, provider_settings, wants_color
from tests.unit.cli.fakes import Terminal


def load(folder: Path, environ: dict[str, str] | None = None, **flags: object) -> Settings:
    """Settings from a folder and nothing else."""
    given = {name.replace("__", "."): value for name, value in flags.items()}
    return Settings.load(given, environ=environ or {}, folder=folder)


def refused(folder: Path, environ: dict[str, str] | None = None) -> ConfigError:
    """The error of settings that are wrong."""
    with pytest.raises(ConfigError) as caught:
        load(folder, environ)
    return caught.value


def test_everything_has_a_default(tmp_path: Path) -> None:
    """With nothing set, all values are defaults and say so."""
    settings = load(tmp_path)
    assert (settings.host, settings.port, settings.data) == ("127.0.0.1", 8321, Path(".runwright"))
    assert set(settings.origins().values()) == {"default"}


def test_the_nearest_source_wins(tmp_path: Path) -> None:
    """A flag beats a variable, a variable beats .env, .env beats the file, the file beats the default."""
    (tmp_path / "runwright.toml").write_text(
        'host = "file"\nport = 1\nmodel = "file:x"\nconcurrency = 1\n[log]\nlevel = "error"\nkeep_days = 3\n'
    )
    (tmp_path / ".env").write_text("RUNWRIGHT_PORT=2\nRUNWRIGHT_MODEL=env:x\nRUNWRIGHT_CONCURRENCY=2\n")
    environ = {"RUNWRIGHT_MODEL": "variable:x", "RUNWRIGHT_CONCURRENCY": "3", "RUNWRIGHT_LOG__LEVEL": "warning"}
    settings = load(tmp_path, environ, concurrency=4)
    assert (settings.host, settings.port, settings.model, settings.concurrency) == ("file", 2, "variable:x", 4)
    assert (settings.log.level, settings.log.keep_days) == ("warning", 3)
    origins = settings.origins()
    assert origins["host"] == origins["log.keep_days"] == "runwright.toml"
    assert origins["port"] == ".env"
    assert origins["model"] == origins["log.level"] == "environment"
    assert origins["concurrency"] == "flag"
    assert origins["queue_limit"] == "default"


def test_a_flag_that_is_not_given_changes_nothing(tmp_path: Path) -> None:
    """None as a flag's value leaves the other sources in charge."""
    assert load(tmp_path, {"RUNWRIGHT_PORT": "5"}, port=None).port == 5


def test_the_constructor_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings made in code hold what they are given and defaults, whatever the surroundings say."""
    (tmp_path / "runwright.toml").write_text("port = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNWRIGHT_PORT", "2")
    assert Settings(data=tmp_path).port == 8321


def test_an_unknown_variable_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    """A mistyped variable with our prefix is an error that names the right one."""
    error = refused(tmp_path, {"RUNWRIGHT_PROT": "1", "OTHER": "x"})
    assert error.problems == (("environment: RUNWRIGHT_PROT", "unknown; did you mean 'RUNWRIGHT_PORT'?"),)


def test_an_unknown_key_is_refused_with_its_place(tmp_path: Path) -> None:
    """A mistyped key in the file is an error that names the file and the path inside it."""
    (tmp_path / "runwright.toml").write_text('[log]\nlevl = "info"\n')
    assert refused(tmp_path).problems == (("runwright.toml: log.levl", "unknown; did you mean 'log.level'?"),)


def test_a_wrong_value_is_shown_with_its_origin(tmp_path: Path) -> None:
    """A value of the wrong type is an error that says where it stands, what it is and what would be right."""
    error = refused(tmp_path, {"RUNWRIGHT_PORT": "many"})
    [(place, detail)] = error.problems
    assert place == "environment: RUNWRIGHT_PORT"
    assert "valid integer" in detail
    assert "'many'" in detail


@pytest.mark.parametrize(
    ("flag", "value"), [("port", 99999), ("port", -1), ("server", "localhost:1"), ("log.level", "loud")]
)
def test_a_wrong_flag_is_the_callers_mistake(tmp_path: Path, flag: str, value: object) -> None:
    """A value in the command line that does not fit is no error of the configuration, which may have others."""
    with pytest.raises(InvalidRequest) as caught:
        Settings.load({flag: value}, environ={"RUNWRIGHT_PORT": "many"}, folder=tmp_path)
    assert [place for place, _ in caught.value.problems if place.startswith("flag")] == [f"flag: {flag}"]
    assert any(repr(value) in detail for _, detail in caught.value.problems)


def test_broken_toml_is_a_config_error(tmp_path: Path) -> None:
    """A file that is not TOML is refused with the line of the mistake."""
    (tmp_path / "runwright.toml").write_text("port = \n")
    assert "line 1" in refused(tmp_path).problems[0][1]


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    """A configuration file that was asked for and is not there is an error."""
    with pytest.raises(ConfigError, match=r"missing\.toml"):
        Settings.load(config=tmp_path / "missing.toml", environ={}, folder=tmp_path)


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    """A relative path means the folder of the file it stands in."""
    config = tmp_path / "deploy" / "server.toml"
    config.parent.mkdir()
    config.write_text('data = "var"\n[log]\nfile = "log/x.log"\n')
    settings = Settings.load(config=config, environ={}, folder=tmp_path)
    assert settings.data == tmp_path / "deploy" / "var"
    assert settings.log.file == tmp_path / "deploy" / "log" / "x.log"


def test_secrets_come_from_variables_and_files(tmp_path: Path) -> None:
    """Secrets for tools are found by name in any case, given directly, by file or in TOML."""
    (tmp_path / "token").write_text("from-file\n")
    (tmp_path / "runwright.toml").write_text('[secrets]\nMail-Key = "from-toml"\n')
    environ = {"RUNWRIGHT_SECRET_ONE": "1", "RUNWRIGHT_SECRET_TWO_FILE": str(tmp_path / "token")}
    settings = load(tmp_path, environ)
    assert [settings.get(name) for name in ("one", "TWO", "mail_key")] == ["1", "from-file", "from-toml"]
    assert settings.origins()["secrets.mail_key"] == "runwright.toml"
    assert settings.secret_values() == {"1", "from-file", "from-toml"}


def test_a_missing_secret_says_how_to_set_it(tmp_path: Path) -> None:
    """Asking for a secret that is not set names the variable to set."""
    with pytest.raises(ConfigError, match="RUNWRIGHT_SECRET_GITHUB_TOKEN"):
        load(tmp_path).get("github-token")


def test_the_api_key_can_stand_in_a_file(tmp_path: Path) -> None:
    """RUNWRIGHT_API_KEY_FILE names a file with the key."""
    (tmp_path / "key").write_text("s3cret\n")
    settings = load(tmp_path, {"RUNWRIGHT_API_KEY_FILE": str(tmp_path / "key")})
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "s3cret"


def test_a_secret_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """A *_FILE variable whose file cannot be read is refused by name."""
    assert "RUNWRIGHT_API_KEY_FILE" in refused(tmp_path, {"RUNWRIGHT_API_KEY_FILE": str(tmp_path / "no")}).message


def test_urls_are_shown_without_what_they_may_hold_of_secrets(tmp_path: Path) -> None:
    """The user and the query of a URL are hidden in every setting: alone, in a list, and in a policy of one model."""
    (tmp_path / "runwright.toml").write_text(
        'server = "https://ada:pw1@host:1/x?token=pw2"\n'
        '[repositories]\nallow = ["https://ada:pw3@host/a", "https://pw4@host/b?key=pw5"]\n'
        '[providers.acme]\nbase_url = "http://ada:p@pw6@host/v1?key=pw7&b=c"\n'
        '[guard.fallback]\nmodels = ["https://ada:pw8@host/?k=pw9"]\n'
    )
    settings = {value.name: value.value or "" for value in shown(load(tmp_path))}
    assert settings["server"] == "https://********@host:1/x?********"
    assert settings["providers.acme.base_url"] == "http://********@host/v1?********"
    assert settings["repositories.allow"].count("********") == 3
    assert not [name for name, text in settings.items() if "pw" in text]


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    """Neither the settings nor an error about them contain a secret."""
    settings = load(tmp_path, {"RUNWRIGHT_API_KEY": "s3cret", "RUNWRIGHT_SECRET_X": "s3cret"})
    assert "s3cret" not in repr(settings)
    (tmp_path / "runwright.toml").write_text('api_key = ["s3cret"]\n[secrets]\na = ["s3cret"]\n')
    assert "s3cret" not in repr((refused(tmp_path).message, refused(tmp_path).problems))


def test_service_links_of_kubernetes_are_left_alone(tmp_path: Path) -> None:
    """The variables that Kubernetes sets for a Service called runwright are no settings."""
    environ = {
        "RUNWRIGHT_PORT": "tcp://10.0.0.1:8321",
        "RUNWRIGHT_SERVICE_HOST": "10.0.0.1",
        "RUNWRIGHT_SERVICE_PORT_HTTP": "8321",
        "RUNWRIGHT_PORT_8321_TCP_ADDR": "10.0.0.1",
    }
    assert load(tmp_path, environ).port == 8321


def test_provider_variables_are_read_from_environment_and_dotenv(tmp_path: Path) -> None:
    """The helper for providers reads named variables, the environment before .env, and their *_FILE form."""
    (tmp_path / ".env").write_text("A_API_KEY=dotenv\nB_API_KEY=dotenv\n")
    (tmp_path / "c").write_text("file\n")
    environ = {"A_API_KEY": "variable", "C_API_KEY_FILE": str(tmp_path / "c"), "D_API_KEY": ""}
    names = ["A_API_KEY", "B_API_KEY", "C_API_KEY", "D_API_KEY"]
    found = provider_settings(names, environ, folder=tmp_path)
    assert found == {"A_API_KEY": "variable", "B_API_KEY": "dotenv", "C_API_KEY": "file"}


def test_every_setting_is_described() -> None:
    """Each setting says what it is and has one variable."""
    described = fields()
    assert [field.name for field in described if not field.description] == []
    assert len({field.variable for field in described}) == len(described)


def test_weights_lie_in_the_cache_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a setting, local weights lie where XDG says; a setting wins."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Settings().cache_dir == tmp_path / "runwright" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings().cache_dir == tmp_path / ".cache" / "runwright" / "models"
    assert Settings(models_dir=tmp_path).cache_dir == tmp_path


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets colours unless NO_COLOR is set or it is dumb; a pipe never does."""
    monkeypatch.setenv("TERM", "xterm")
    assert wants_color(Terminal())
    assert not wants_color(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_color(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_color(Terminal())


def test_providers_have_names_of_ones_own(tmp_path: Path) -> None:
    """A provider is said in the file or in variables, one over the other, and shown with its origin."""
    (tmp_path / "runwright.toml").write_text('[providers.acme]\nbase_url = "http://file/v1"\nkey_env = "ACME_KEY"\n')
    settings = load(tmp_path, {"RUNWRIGHT_PROVIDERS__ACME__BASE_URL": "http://variable/v1"})
    assert settings.providers["acme"] == ProviderEntry(base_url="http://variable/v1", key_env="ACME_KEY")
    origins = settings.origins()
    assert (origins["providers.acme.base_url"], origins["providers.acme.key_env"]) == ("environment", "runwright.toml")
    shown_values = {value.name: value.value for value in shown(settings)}
    assert shown_values["providers.acme.key_env"] == "ACME_KEY"


@pytest.mark.parametrize(
    "text",
    [
        '[providers.acme]\nkey_env = "K"\n',
        '[providers.acme]\nbase_url = "models.acme.example"\n',
        '[providers.acme]\nbase_url = "http://x/v1"\nkey = "k"\n',
        '[providers.local]\nbase_url = "http://x/v1"\n',
        '[providers."a b"]\nbase_url = "http://x/v1"\n',
    ],
)
def test_a_wrong_provider_is_refused(tmp_path: Path, text: str) -> None:
    """A provider needs a URL and a name that a model can be written with, and knows no other fields."""
    (tmp_path / "runwright.toml").write_text(text)
    assert "providers." in refused(tmp_path).problems[0][0]


def test_policies_come_from_all_sources(tmp_path: Path) -> None:
    """Policies are merged figure by figure like all settings, and each figure knows where it comes from."""
    (tmp_path / "runwright.toml").write_text(
        "[guard.retry]\nattempts = 3\nbucket = 50\n"
        '[guard.models."openai:gpt-4.1"]\ncache = true\n[guard.tools.send_mail]\nretry = false\n'
    )
    settings = load(tmp_path, {"RUNWRIGHT_GUARD__RETRY__ATTEMPTS": "5", "RUNWRIGHT_GUARD__BREAKER": "false"})
    assert settings.policies == GuardSettings(
        app=Guard(retry=Retry(attempts=5, bucket=50), breaker=False),
        models={"openai:gpt-4.1": Guard(cache=True)},
        tools={"send_mail": Guard(retry=False)},
    )
    origins = settings.origins()
    assert origins["guard.retry.attempts"] == origins["guard.breaker"] == "environment"
    assert origins["guard.retry.bucket"] == origins["guard.models.openai:gpt-4.1.cache"] == "runwright.toml"


def test_policies_of_tools_can_be_variables(tmp_path: Path) -> None:
    """A tool with a plain name has its policies in variables too."""
    environ = {"RUNWRIGHT_GUARD__TOOLS__SEND_MAIL__BUDGET__USD": "0.05"}
    assert load(tmp_path, environ).policies.tools == {"send_mail": Guard(budget=Budget(usd="0.05"))}


def test_wrong_policies_are_told_with_their_source(tmp_path: Path) -> None:
    """Every figure that is wrong is named as it was set: by its variable, or by its place in the file."""
    (tmp_path / "runwright.toml").write_text(
        "port = 'x'\n[guard.retry]\nbackof = 1\n[guard.models.gpt]\ncache = true\n"
    )
    places = dict(refused(tmp_path, {"RUNWRIGHT_GUARD__RETRY__ATTEMPTS": "five"}).problems)
    assert list(places) == [
        "runwright.toml: port",
        "runwright.toml: guard.models.gpt",
        "runwright.toml: guard.retry.backof",
        "environment: RUNWRIGHT_GUARD__RETRY__ATTEMPTS",
    ]
    assert "this is an integer, not 'five'" in places["environment: RUNWRIGHT_GUARD__RETRY__ATTEMPTS"]
    with pytest.raises(ValidationError, match="/retry/attempts"):
        Settings(guard={"retry": {"attempts": 0}})

"""The table of providers."""

from runwright.models import PROVIDERS, provider_spec


def test_names_and_prefixes_are_unambiguous() -> None:
    """No beginning of a name belongs to two providers, and no variable to two."""
    prefixes = [prefix for spec in PROVIDERS.values() for prefix in spec.prefixes]
    assert not [(one, two) for one in prefixes for two in prefixes if one != two and one.startswith(two)]
    names = [name for spec in PROVIDERS.values() for name in (spec.key_env, spec.base_url_env)]
    assert len(names) == len(set(names))


def test_default_models_fit_their_provider() -> None:
    """A default needs a key that can be given."""
    assert all(spec.key_env for spec in PROVIDERS.values() if spec.default_model)
    assert provider_spec("acme").name == "acme"

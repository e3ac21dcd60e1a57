"""Where model calls go."""

from runwright.models.demo import DemoModel
from runwright.models.local import LocalModel
from runwright.models.openai_wire import OpenAIModel, Provider
from runwright.models.prices import Prices, price_lists
from runwright.models.providers import PROVIDERS, ProviderSettings, ProviderSpec, provider_spec
from runwright.models.resolve import DefaultModel, ModelEntry, ModelRegistry, names_file
from runwright.models.weights import WEIGHTS, Weights, has_weights, pull, weights_path

__all__ = [
    "PROVIDERS",
    "WEIGHTS",
    "DefaultModel",
    "DemoModel",
    "LocalModel",
    "ModelEntry",
    "ModelRegistry",
    "OpenAIModel",
    "Prices",
    "Provider",
    "ProviderSettings",
    "ProviderSpec",
    "Weights",
    "has_weights",
    "names_file",
    "price_lists",
    "provider_spec",
    "pull",
    "weights_path",
]

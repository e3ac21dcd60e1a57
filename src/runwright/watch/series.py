"""Series of metrics, and bounds for their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

NAMES_AT_MOST = 200

OTHER = "other"

Child = TypeVar("Child", Counter, Gauge, Histogram)


class MetricField(msgspec.Struct, frozen=True, kw_only=True):
    """One series, for the reference page."""

    name: str
    type: str
    labels: Sequence[str]
    description: str


class Family(Generic[Child]):
    """A series and its children, which are kept because looking one up in the client takes a lock."""

    def __init__(self, metric: Child, field: MetricField) -> None:
        self.field = field
        self._metric = metric
        self._children: dict[tuple[str, ...], Child] = {}

    def __call__(self, *labels: str) -> Child:
        """The child with these label values."""
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._metric.labels(*labels) if labels else self._metric
        return child

    def clear(self) -> None:
        """Forget all values."""
        self._children.clear()
        self._metric.clear()


class Names:
    """Bounds how many values a label takes: later ones are all called `other`."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def bound(self, name: str) -> str:
        """The name, or `other` when there are too many."""
        if name in self._seen:
            return name
        if len(self._seen) >= NAMES_AT_MOST:
            return OTHER
        self._seen.add(name)
        return name


def counter(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Family[Counter]:
    """A series that only rises."""
    field = MetricField(name=f"{name}_total", type="counter", labels=labels, description=text)
    return Family(Counter(name, text, labels, registry=registry), field)


def gauge(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Family[Gauge]:
    """A series that is set."""
    field = MetricField(name=name, type="gauge", labels=labels, description=text)
    return Family(Gauge(name, text, labels, registry=registry), field)


def histogram(
    registry: CollectorRegistry, name: str, text: str, *labels: str, buckets: Sequence[float]
) -> Family[Histogram]:
    """A series that is observed."""
    field = MetricField(name=name, type="histogram", labels=labels, description=text)
    return Family(Histogram(name, text, labels, registry=registry, buckets=buckets), field)

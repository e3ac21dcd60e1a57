"""What is run and what is read from it: one table of loads, one of measures with the goals of the design."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.wire import parse_model


@dataclass(frozen=True, kw_only=True)
class Case:
    """One load. The knobs of the upstream stand in the name of the model."""

    name: str
    model: str
    connections: int
    is_stream: bool = False

    @property
    def tokens(self) -> int:
        return parse_model(self.model).tokens

    @property
    def is_paced(self) -> bool:
        return parse_model(self.model).chunk_s > 0

    @property
    def calls_tool(self) -> bool:
        return parse_model(self.model).calls_tool


CASES = (
    Case(name="plain-1", model="bench-n16", connections=1),
    Case(name="plain-32", model="bench-n16", connections=32),
    Case(name="plain-128", model="bench-n16", connections=128),
    Case(name="slow-1", model="bench-d50-n16", connections=1),
    Case(name="slow-32", model="bench-d50-n16", connections=32),
    Case(name="slow-128", model="bench-d50-n16", connections=128),
    Case(name="first-token", model="bench-n64", connections=1, is_stream=True),
    Case(name="burst-32", model="bench-n64", connections=32, is_stream=True),
    Case(name="paced-32", model="bench-c5-n64", connections=32, is_stream=True),
    Case(name="tool-32", model="bench-tool-n16", connections=32),
)
MODELS = sorted({case.model for case in CASES})


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One load on one face. `cpu_s` is user and system time of the process tree, None for the upstream itself."""

    answers: int
    failures: int
    errors: tuple[str, ...]
    wall_s: float
    cpu_s: float | None
    p50_ms: float
    p99_ms: float
    max_ms: float
    first_p50_ms: float
    others_share: float

    @property
    def rate(self) -> float:
        return self.answers / self.wall_s


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A bound on the value, and one on its ratio to the floor. `more` turns both into lower bounds."""

    value: float | None = None
    of_floor: float | None = None
    more: bool = False

    def is_met(self, value: float, of_floor: float | None) -> bool:
        sign = -1 if self.more else 1
        is_value_met = self.value is None or sign * value <= sign * self.value
        is_ratio_met = self.of_floor is None or of_floor is None or sign * of_floor <= sign * self.of_floor
        return is_value_met and is_ratio_met

    def __str__(self) -> str:
        sign = ">=" if self.more else "<="
        parts = [f"{sign} {self.value:g}" if self.value is not None else ""]
        parts.append(f"{sign} {self.of_floor:g}x floor" if self.of_floor is not None else "")
        return ", ".join(part for part in parts if part)


Reading = Callable[[Case, Sample, Sample | None], float | None]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One line of the table: how to read it from a sample, and from that of the direct upstream in its round."""

    label: str
    unit: str
    case: str
    read: Reading
    goal: Goal | None = None


def _cpu_per_run(_case: Case, sample: Sample, _direct: Sample | None) -> float | None:
    return None if sample.cpu_s is None else sample.cpu_s / sample.answers * 1e3


def _cpu_per_token(case: Case, sample: Sample, _direct: Sample | None) -> float | None:
    return None if sample.cpu_s is None else sample.cpu_s / sample.answers / case.tokens * 1e6


def _added(field: str) -> Reading:
    def read(_case: Case, sample: Sample, direct: Sample | None) -> float | None:
        return None if direct is None else getattr(sample, field) - getattr(direct, field)

    return read


def _share(_case: Case, sample: Sample, direct: Sample | None) -> float | None:
    return None if direct is None else sample.rate / direct.rate * 100


def _rate(_case: Case, sample: Sample, _direct: Sample | None) -> float | None:
    return sample.rate


MEASURES = (
    Measure(label="CPU per run, 1 connection", unit="ms", case="plain-1", read=_cpu_per_run),
    Measure(
        label="CPU per run, 32 connections",
        unit="ms",
        case="plain-32",
        read=_cpu_per_run,
        goal=Goal(value=0.4, of_floor=2.5),
    ),
    Measure(label="CPU per run, 128 connections", unit="ms", case="plain-128", read=_cpu_per_run),
    Measure(label="runs per second, 32 connections", unit="1/s", case="plain-32", read=_rate),
    Measure(label="added p50, 1 connection", unit="ms", case="plain-1", read=_added("p50_ms"), goal=Goal(value=0.7)),
    Measure(label="added p99, 1 connection", unit="ms", case="plain-1", read=_added("p99_ms"), goal=Goal(value=3)),
    Measure(label="added p50, 1 connection, 50 ms upstream", unit="ms", case="slow-1", read=_added("p50_ms")),
    Measure(
        label="share of the direct rate, 32 connections, 50 ms upstream",
        unit="%",
        case="slow-32",
        read=_share,
        goal=Goal(value=93, more=True),
    ),
    Measure(
        label="share of the direct rate, 128 connections, 50 ms upstream",
        unit="%",
        case="slow-128",
        read=_share,
        goal=Goal(value=70, more=True),
    ),
    Measure(
        label="added time to first token, p50",
        unit="ms",
        case="first-token",
        read=_added("first_p50_ms"),
        goal=Goal(value=1.2),
    ),
    Measure(
        label="CPU per token, 32 streams, burst",
        unit="us",
        case="burst-32",
        read=_cpu_per_token,
        goal=Goal(value=15),
    ),
    Measure(
        label="CPU per token, 32 streams, one every 5 ms",
        unit="us",
        case="paced-32",
        read=_cpu_per_token,
        goal=Goal(of_floor=1.2),
    ),
    Measure(
        label="CPU per run with one tool call, 32 connections",
        unit="ms",
        case="tool-32",
        read=_cpu_per_run,
        goal=Goal(value=0.8),
    ),
)

START_GOAL = Goal(value=0.8)
IDLE_GOAL = Goal(value=80)
LOADED_GOAL = Goal(value=100)

"""How figures become the text that Prometheus reads, and the everyday ways in which a metric gets its samples."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from intermediary.config.operations.figures import Figures, Waiting

Sample = tuple[tuple[str, ...], float]
Samples = Callable[[Figures], Iterable[Sample]]


@dataclass(frozen=True)
class Told:
    """One metric: its name, what it says, its labels, and where its samples come from."""

    name: str
    help: str
    labels: tuple[str, ...]
    samples: Samples
    counts: bool = False  # a counter, which only grows


def one(value: Callable[[Figures], float | None]) -> Samples:
    """A single figure without labels."""
    return lambda figures: [((), found)] if (found := value(figures)) is not None else []


def counts(waiting: Callable[[Figures], Mapping[str, Waiting]], names: Iterable[str] = ()) -> Samples:
    """How many wait, by name; the named ones are told when none does, too."""
    wanted = tuple(names)
    return lambda figures: [
        ((name,), waiting(figures).get(name, Waiting()).count) for name in dict.fromkeys((*wanted, *waiting(figures)))
    ]


def named(numbers: Callable[[Figures], Mapping[str, float]]) -> Samples:
    """A number for each name that has one."""
    return lambda figures: [((name,), number) for name, number in numbers(figures).items()]


def ages(waiting: Callable[[Figures], Mapping[str, Waiting]], names: Iterable[str] = ()) -> Samples:
    """How long the oldest has waited, by name."""
    wanted = tuple(names)
    return lambda figures: [
        ((name,), waiting(figures).get(name, Waiting()).oldest_seconds)
        for name in dict.fromkeys((*wanted, *waiting(figures)))
    ]


def flights(value: str) -> Samples:
    """A field of each transaction in flight."""
    return lambda figures: [((one.chain, one.role), getattr(one, value)) for one in figures.flights]


def processes(value: str) -> Samples:
    """A field of each process."""
    return lambda figures: [((one.name,), getattr(one, value)) for one in figures.processes.values()]


def nodes(value: str) -> Samples:
    """An entry of a field of each chain's node."""
    return lambda figures: [
        ((name, key), found) for name, node in figures.nodes.items() for key, found in getattr(node, value).items()
    ]


def of_chains(value: str) -> Samples:
    """A field of each chain that was ever read, where it is known."""
    return lambda figures: [
        ((name,), found) for name, chain in figures.chains.items() if (found := getattr(chain, value)) is not None
    ]


def of_nodes(value: str) -> Samples:
    """A field of each chain's node that answered."""
    return lambda figures: [((name,), getattr(node, value)) for name, node in figures.nodes.items() if not node.problem]


class _Figures(Collector):
    """One moment's figures, as a collector that is asked once."""

    def __init__(self, table: Iterable[Told], figures: Figures) -> None:
        self._table, self._figures = table, figures

    def collect(self) -> Iterator[Metric]:
        for told in self._table:
            kind = CounterMetricFamily if told.counts else GaugeMetricFamily
            family = kind(told.name, told.help, labels=told.labels)
            for labels, value in told.samples(self._figures):
                family.add_metric(list(labels), value)
            yield family


def exposition(table: Iterable[Told], figures: Figures) -> bytes:
    """The text that a scraper gets."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(table, figures))
    return generate_latest(registry)

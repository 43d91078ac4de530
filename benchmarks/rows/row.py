"""What a row is, and how much is measured for it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Measured, Spread
from benchmarks.venvs import Peer
from benchmarks.world import World


@dataclass(frozen=True)
class Sizes:
    """How many jobs and so on; `QUICK` only shows that everything runs."""

    jobs: int = 50_000
    warm: int = 2_000
    peer_jobs: int = 8_000
    peer_warm: int = 400
    probes: int = 200
    getitem_jobs: int = 2_000
    cold_jobs: int = 10_000
    big_jobs: int = 2_000
    sent: int = 50_000
    backlog: int = 1_000_000
    idle_seconds: float = 20.0
    hot_seconds: float = 12.0
    starts: int = 9
    far_concurrency: tuple[int, ...] = (100, 1_000, 4_000, 8_000, 16_000)


QUICK = Sizes(
    jobs=1_000,
    warm=200,
    peer_jobs=300,
    peer_warm=20,
    probes=20,
    getitem_jobs=100,
    cold_jobs=1_000,
    big_jobs=100,
    sent=1_000,
    backlog=2_000,
    idle_seconds=1.0,
    hot_seconds=3.0,
    starts=1,
    far_concurrency=(1_000,),
)


@dataclass(frozen=True)
class Pair:
    """One round of measurements, everything in it within the same minute or so."""

    world: World
    sizes: Sizes
    peers: list[Peer]
    number: int


@dataclass(frozen=True)
class Line:
    """One line of the table. `met` is None where nothing can be said."""

    target: str
    measured: str
    met: bool | None


Measurement = tuple[str, Callable[[], dict[str, Any]]]


@dataclass(frozen=True)
class Row:
    """`measure` yields what is measured in one pair, one after the other: who, and a call that does
    it. `judge` makes the table's lines of what came out. `once` is for what needs no pairs.
    """

    name: str
    what: str
    measure: Callable[[Pair], Iterator[Measurement]]
    judge: Callable[[Measured], list[Line]]
    once: bool = False


def line(
    target: str,
    figure: Spread | None,
    pattern: str,
    meets: Callable[[float], bool],
) -> Line:
    """A line for one figure, judged by its median."""
    if figure is None:
        return Line(target, "not run", None)
    return Line(target, figure.text(pattern), meets(figure.median))

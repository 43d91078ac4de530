"""What was measured: records, their medians and spreads, ratios within a pair."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """The median of several figures, and the least and the most of them."""

    median: float
    least: float
    most: float

    def text(self, pattern: str = "{:.2f}") -> str:
        """As `1.23 (1.10 to 1.40)`; the spread is left out where there is but one figure."""
        middle = pattern.format(self.median)
        if self.least == self.most:
            return middle
        return f"{middle} ({pattern.format(self.least)} to {pattern.format(self.most)})"


def spread(figures: Iterable[float]) -> Spread | None:
    """None where nothing was measured."""
    known = list(figures)
    return Spread(statistics.median(known), min(known), max(known)) if known else None


def percentile(figures: Sequence[float], share: float) -> float:
    """The figure that so large a share of them does not exceed."""
    ranked = sorted(figures)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


class Measured:
    """The records of one row, over all pairs."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = list(records)

    @property
    def systems(self) -> list[str]:
        """Who was measured without failing, in the order in which they came."""
        return list(dict.fromkeys(r["system"] for r in self.records if "failed" not in r))

    @property
    def failures(self) -> dict[str, str]:
        """Why a measurement failed, by system; the last one's reason."""
        return {r["system"]: r["failed"] for r in self.records if "failed" in r}

    def of(self, system: str, figure: str) -> Spread | None:
        """One figure of one system."""
        return spread(r[figure] for r in self._known(system, figure))

    def ratio(
        self,
        system: str,
        other: str,
        figure: str,
        *,
        other_figure: str | None = None,
        combine: Callable[[float, float], float] = lambda ours, theirs: ours / theirs,
    ) -> Spread | None:
        """One figure of one system against another's, pair by pair."""
        theirs = {r["pair"]: r[other_figure or figure] for r in self._known(other, figure)}
        return spread(
            combine(r[figure], theirs[r["pair"]])
            for r in self._known(system, figure)
            if theirs.get(r["pair"])
        )

    def ratios(self, system: str, other: str, figure: str) -> list[float]:
        """The ratio of each pair, of one figure of one system to the other's."""
        theirs = {r["pair"]: r[figure] for r in self._known(other, figure)}
        return [
            r[figure] / theirs[r["pair"]]
            for r in self._known(system, figure)
            if theirs.get(r["pair"])
        ]

    def _known(self, system: str, figure: str) -> list[Record]:
        return [r for r in self.records if r["system"] == system and figure in r]

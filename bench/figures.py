"""The arithmetic of the benchmark: rounds in, medians, spreads and ratios out. Pure.

The machine is never quiet, so the sides take turns and a ratio is made inside of each round, where
both sides met the same weather. What is told is the median of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """Some values: their median, the lowest and the highest."""

    median: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One side's turn of a round.

    ``seconds``: from the first start to the last end. ``steps``: how many it did. ``cpu``: seconds
    of processor time by ``worker``, ``temporal`` and ``postgres``, where the system tells.
    ``transactions`` (that wrote something), ``rows`` and ``wal`` (bytes): what Postgres was given.
    """

    steps: int
    seconds: float
    cpu: dict[str, float]
    transactions: int
    rows: int
    wal: int

    @property
    def rate(self) -> float:
        """Steps a second."""
        return self.steps / self.seconds


def spread(values: Sequence[float]) -> Spread:
    """The spread of at least one value.

    Raises:
        ValueError: There is none.
    """
    if not values:
        raise ValueError("nothing was measured")
    return Spread(median(values), min(values), max(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours to theirs, round by round.

    Raises:
        ValueError: Not the same number of rounds, or none.
    """
    return spread([one / other for one, other in zip(ours, theirs, strict=True)])


def per_step(total: float, steps: int) -> float:
    """A total for each of so many steps; 0 for none."""
    return total / steps if steps else 0.0

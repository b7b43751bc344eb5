"""Interleaved rounds, medians, and what a goal's section of the report holds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

ROUNDS = 5
# For what takes seconds at most: a machine that others share changes its mood within seconds.
MANY_ROUNDS = 15


def interleaved(
    actions: Mapping[str, Callable[[], float]], rounds: int = ROUNDS, warm: int = 1
) -> dict[str, list[float]]:
    """What each action measured, round by round. Neighbors in a round share the machine's mood, and take turns in going
    first."""
    found: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(warm + rounds):
        for name, action in list(actions.items())[:: -1 if number % 2 else 1]:
            value = action()
            if number >= warm:
                found[name].append(value)
    return found


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ratio(values: list[float], anchor: list[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(value / other for value, other in zip(values, anchor, strict=True))


@dataclass
class Line:
    """One measured thing: its median, and its ratio to the section's anchor."""

    name: str
    median: float
    unit: str
    of_anchor: float | None = None


@dataclass
class Verdict:
    """A goal in numbers."""

    what: str
    ratio: float
    bound: float
    at_least: bool

    @property
    def is_met(self) -> bool:
        return self.ratio >= self.bound if self.at_least else self.ratio <= self.bound


@dataclass
class Section:
    goal: str
    title: str
    lines: list[Line] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(
        self, found: Mapping[str, list[float]], unit: str, anchor: str | None = None, scale: float = 1.0
    ) -> None:
        for name, values in found.items():
            share = ratio(values, found[anchor]) if anchor else None
            self.lines.append(Line(name, statistics.median(values) * scale, unit, share))

    def judge(self, what: str, measured: float, *, at_least: float = 0.0, at_most: float = 0.0) -> None:
        self.verdicts.append(Verdict(what, measured, at_least or at_most, bool(at_least)))

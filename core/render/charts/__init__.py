"""Charts as data: what is drawn, not how. `vega.vega_lite` makes the specification for browsers, `images` the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from core.render.documents import Column


class ChartType(StrEnum):
    BAR = "bar"
    LINE = "line"
    PIE = "pie"
    AREA = "area"
    SCATTER = "scatter"
    HEATMAP = "heatmap"
    GAUGE = "gauge"


@dataclass(frozen=True)
class Chart:
    """`rows` are mappings with the columns' names as keys, in the order in which they are drawn.

    Bars, lines, areas and slices of a pie show `y` over `x`, one color per value of `color`. A scatter plot takes two
    numbers, a heat map colors `x` by `y` with the number `color`. A gauge shows the `y` of its only row between `minimum`
    and `maximum`, with a mark at `target`.
    """

    title: str
    type: ChartType
    rows: Sequence[Mapping[str, Any]]
    y: Column
    x: Column | None = None
    color: Column | None = None
    subtitle: str = ""
    is_stacked: bool = False
    # None: horizontal when the labels need the room.
    is_horizontal: bool | None = None
    # What is beyond is summed up as "Other" where sums make sense (`is_additive`), else left out, and the chart says so.
    max_categories: int = 20
    max_series: int = 8
    is_additive: bool = True
    minimum: float = 0
    maximum: float | None = None
    target: float | None = None

    @property
    def description(self) -> str:
        """What somebody hears who does not see it."""
        kind = {
            ChartType.HEATMAP: "Heat map",
            ChartType.SCATTER: "Scatter plot",
            ChartType.GAUGE: "Gauge",
        }.get(self.type, f"{self.type.value.capitalize()} chart")
        axes = f"{self.y.label} by {self.x.label}" if self.x else self.y.label
        by_color = f" and {self.color.label}" if self.color else ""
        return f"{kind}: {self.title}. {axes}{by_color}."


__all__ = ["Chart", "ChartType"]

"""The data of a chart: rows with fixed keys, and the largest of them where there are too many to tell apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from core.render.charts import Chart, ChartType
from core.render.documents import CellType, Column
from core.render.text import printable
from core.render.values import number

OTHER = "Other"
NOTHING = "(none)"
MAX_SLICES = 7

Point = dict[str, Any]
Spec = dict[str, Any]


def points_of(chart: Chart) -> list[Point]:
    """The rows with fixed keys, so that no name of a column means something to Vega. Rows without a number are left out."""
    numeric = {"y": chart.type is not ChartType.HEATMAP, "x": chart.type is ChartType.SCATTER}
    numeric["color"] = chart.type is ChartType.HEATMAP
    columns = {"x": chart.x, "y": chart.y, "color": chart.color}
    points = []
    for row in chart.rows:
        point: Point = {}
        for key, column in columns.items():
            if column is not None:
                value = row.get(column.name)
                point[key] = _figure(value) if numeric[key] else _category(column, value)
        if all(
            point[key] is not None for key, column in columns.items() if column is not None and numeric[key]
        ):
            points.append(point)
    return points


def _figure(value: Any) -> Decimal | None:
    return None if value is None else number(value)


def _category(column: Column, value: Any) -> str:
    if value is None or value == "":
        return NOTHING
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return printable(column.choices.get(value, str(value)))


def problem_of(chart: Chart, points: Sequence[Point]) -> str:
    if not points:
        return "No data"
    if chart.type is ChartType.PIE:
        if any(point["y"] < 0 for point in points):
            return "A pie cannot show negative values"
        if not any(point["y"] for point in points):
            return "No data"
    return ""


def limited(chart: Chart, points: list[Point], notes: list[str]) -> list[Point]:
    """The largest categories and series; the rest as "Other" where it may be summed up."""
    if chart.type in (ChartType.GAUGE, ChartType.SCATTER, ChartType.HEATMAP):
        keys = ["color"] if chart.type is ChartType.SCATTER and chart.color else []
        limits = {"color": chart.max_series}
    else:
        keys = ["color"] if chart.color else []
        limits = {"color": chart.max_series, "x": chart.max_categories}
        if chart.type is ChartType.PIE:
            limits["x"] = min(MAX_SLICES, chart.max_categories)
        if chart.x and not is_temporal(chart.x) and chart.type in (ChartType.BAR, ChartType.PIE):
            keys.append("x")
    for key in keys:
        points = _with_other(chart, points, key, limits[key], notes)
    return points


def _with_other(chart: Chart, points: list[Point], key: str, limit: int, notes: list[str]) -> list[Point]:
    sizes: dict[str, Decimal] = {}
    for point in points:
        sizes[point[key]] = sizes.get(point[key], Decimal(0)) + abs(point["y"])
    if len(sizes) <= limit:
        return points
    kept = set(sorted(sizes, key=lambda name: -sizes[name])[: limit - 1])
    column = chart.x if key == "x" else chart.color
    label = column.label.lower() if column else key
    notes.append(f"The largest {limit - 1} of {len(sizes):,} by {label}")
    if key == "x":
        points = sorted(points, key=lambda point: -sizes[point["x"]])
    if not chart.is_additive or chart.type is ChartType.SCATTER:
        if chart.type is ChartType.SCATTER:
            return [point if point[key] in kept else {**point, key: OTHER} for point in points]
        return [point for point in points if point[key] in kept]
    rest: dict[tuple[str, ...], Point] = {}
    shown = []
    for point in points:
        if point[key] in kept:
            shown.append(point)
            continue
        group = tuple(point[name] for name in ("x", "color") if name in point and name != key)
        known = rest.setdefault(group, {**point, key: OTHER, "y": Decimal(0)})
        known["y"] += point["y"]
    return shown + list(rest.values())


def distinct(points: Iterable[Point], key: str) -> list[str]:
    return list(dict.fromkeys(point[key] for point in points))


def values_of(points: Sequence[Point]) -> Spec:
    return {
        "values": [
            {key: float(value) if isinstance(value, Decimal) else value for key, value in point.items()}
            for point in points
        ]
    }


def is_temporal(column: Column | None) -> bool:
    return column is not None and column.type in (CellType.DATE, CellType.DATETIME)


def figures_of(points: Iterable[Point], key: str) -> list[Decimal]:
    return [point[key] for point in points]

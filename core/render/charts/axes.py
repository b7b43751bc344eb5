"""How the axes, colors and hints of charts are written."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from core.render.charts import Chart, ChartType
from core.render.charts.points import NOTHING, OTHER, Point, Spec, distinct, figures_of, is_temporal
from core.render.charts.theme import Theme
from core.render.documents import CellType, Column
from core.render.text import printable


def title_of(column: Column) -> str:
    label = printable(column.label)
    return f"{label} ({column.currency})" if column.currency else label


def number_format(column: Column, values: Sequence[Decimal]) -> Spec:
    """Of an axis: short, for the eye."""
    if column.type is CellType.PERCENT:
        return {"format": ".0%" if max(map(abs, values), default=Decimal(0)) >= Decimal("0.05") else ".1%"}
    largest = max(map(abs, values), default=Decimal(0))
    if largest >= 10_000:
        # Vega writes G for billions, people B.
        return {"labelExpr": "replace(format(datum.value, '~s'), 'G', 'B')"}
    whole = column.type is CellType.INTEGER or all(value == value.to_integral_value() for value in values)
    return {"format": ",.0f", "tickMinStep": 1} if whole else {"format": ",~r" if largest >= 1 else "~r"}


def measured(column: Column, points: Sequence[Point], key: str = "y", **axis: Any) -> Spec:
    return {
        "field": key,
        "type": "quantitative",
        "title": title_of(column),
        "axis": {**number_format(column, figures_of(points, key)), **axis},
    }


def exact_format(column: Column) -> str:
    if column.type is CellType.PERCENT:
        return f",.{1 if column.decimals is None else column.decimals}%"
    if column.type is CellType.INTEGER:
        return ",.0f"
    if column.type is CellType.MONEY:
        return f",.{2 if column.decimals is None else column.decimals}f"
    return ",~r" if column.decimals is None else f",.{column.decimals}f"


def tooltip(chart: Chart) -> list[Spec]:
    shown: list[Spec] = []
    for key, column in (("x", chart.x), ("color", chart.color), ("y", chart.y)):
        if column is None:
            continue
        item: Spec = {"field": key, "title": title_of(column)}
        is_figure = key == ("color" if chart.type is ChartType.HEATMAP else "y") or (
            key == "x" and chart.type is ChartType.SCATTER
        )
        if is_figure:
            item |= {"type": "quantitative", "format": exact_format(column)}
        elif is_temporal(column) and key == "x":
            item |= {"type": "temporal"}
        else:
            item |= {"type": "nominal"}
        shown.append(item)
    return shown


def across_axis(chart: Chart, points: Sequence[Point]) -> Spec:
    """The axis of what is compared."""
    column = chart.x
    if column is None:
        return {"value": 0}
    if is_temporal(column) and all(point["x"] != NOTHING for point in points):
        return {
            "field": "x",
            "type": "temporal",
            "title": None,
            "scale": {"type": "utc"},
            "axis": {"tickCount": 8},
        }
    return {
        "field": "x",
        "type": "nominal",
        "title": title_of(column),
        "sort": distinct(points, "x"),
        "axis": {"labelAngle": 0, "labelOverlap": True},
    }


def series_colors(chart: Chart, points: Sequence[Point], look: Theme, key: str = "color") -> Spec:
    names = distinct(points, key)
    column = chart.color if key == "color" else chart.x
    domain = [name for name in names if name != OTHER]
    colors = [look.series[place % len(look.series)] for place in range(len(domain))]
    if OTHER in names:
        domain, colors = [*domain, OTHER], [*colors, look.other]
    return {
        "field": key,
        "type": "nominal",
        "title": title_of(column) if column else None,
        "sort": domain,
        "scale": {"domain": domain, "range": colors},
        "legend": {"orient": "right" if len(domain) > 4 or key == "x" else "top"},
    }

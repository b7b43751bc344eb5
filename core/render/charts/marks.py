"""What each type of chart draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from core.render.charts import Chart, ChartType
from core.render.charts.axes import across_axis, measured, number_format, series_colors, title_of, tooltip
from core.render.charts.points import OTHER, Point, Spec, distinct, figures_of, is_temporal, values_of
from core.render.charts.theme import THEMES, Theme
from core.render.documents import CellType, Column
from core.render.text import printable
from core.render.values import known_locale, show_money, show_number, show_percent

BAR_STEP = 30
# A heat map with more cells shows colors without figures.
MAX_LABELED_CELLS = 120
# Labels longer than this make bars horizontal, and so do more categories than this.
LONG_LABEL, MANY_CATEGORIES = 12, 8


def message(text: str, look: Theme) -> Spec:
    return {
        "data": {"values": [{}]},
        "mark": {"type": "text", "text": text, "fontSize": 15, "color": look.subtle},
        "encoding": {},
    }


def _bar(chart: Chart, points: list[Point], look: Theme, locale: str, height: int) -> Spec:
    names = distinct(points, "x") if chart.x else []
    horizontal = chart.is_horizontal
    if horizontal is None:
        horizontal = not is_temporal(chart.x) and (
            len(names) > MANY_CATEGORIES or max(map(len, names), default=0) > LONG_LABEL
        )
    across, measure = across_axis(chart, points), measured(chart.y, points)
    mark: Spec = {"type": "bar"}
    if "sort" in across:
        if horizontal:
            across |= {"axis": {"labelLimit": 220}, "title": None}
        across["scale"] = {"paddingInner": 0.28, "paddingOuter": 0.14}
    elif is_temporal(chart.x):
        # One bar per day given, as wide as its neighbors allow.
        across = {**across, "type": "ordinal", "sort": sorted(names), "axis": _dated_labels(names)}
        across.pop("scale")
    encoding: Spec = {"y" if horizontal else "x": across, "x" if horizontal else "y": measure}
    if chart.color:
        encoding["color"] = series_colors(chart, points, look)
        if chart.is_stacked:
            measure["stack"] = "zero"
            encoding["order"] = {"field": "place", "type": "quantitative"}
            places = {name: place for place, name in enumerate(encoding["color"]["sort"])}
            points = [{**point, "place": places[point["color"]]} for point in points]
        else:
            encoding["yOffset" if horizontal else "xOffset"] = {
                "field": "color",
                "sort": encoding["color"]["sort"],
            }
    elif OTHER in names:
        encoding["color"] = {
            "condition": {"test": f"datum.x === {OTHER!r}", "value": look.other},
            "value": look.series[0],
        }
    if not chart.is_stacked:
        mark["cornerRadiusEnd"] = 3
    encoding["tooltip"] = tooltip(chart)
    spec: Spec = {"data": values_of(points), "mark": mark, "encoding": encoding}
    if horizontal:
        rows = len(names) * (
            1 if chart.is_stacked or not chart.color else max(1, len(distinct(points, "color")) * 0.55)
        )
        spec["height"] = max(120, int(rows * BAR_STEP) + 110)
    return spec


def _dated_labels(days: Sequence[str]) -> Spec:
    form = "%b %Y" if all(day[8:10] == "01" for day in days) else "%b %d"
    return {"labelExpr": f"utcFormat(toDate(datum.value), '{form}')", "labelAngle": 0, "labelOverlap": True}


def _line(chart: Chart, points: list[Point], look: Theme, locale: str, height: int) -> Spec:
    mark: Spec = {"type": "line"}
    if len(points) <= 60:
        mark["point"] = {"size": 45, "filled": True}
    return _over_x(chart, points, look, mark)


def _area(chart: Chart, points: list[Point], look: Theme, locale: str, height: int) -> Spec:
    alone = not chart.color or chart.is_stacked
    mark = {
        "type": "area",
        "line": {"strokeWidth": 2},
        "fillOpacity": (0.75 if chart.color else 0.22) if alone else 0.18,
    }
    spec = _over_x(chart, points, look, mark)
    spec["encoding"]["y"]["stack"] = "zero" if chart.is_stacked or not chart.color else None
    return spec


def _over_x(chart: Chart, points: list[Point], look: Theme, mark: Spec) -> Spec:
    encoding: Spec = {
        "x": across_axis(chart, points),
        "y": measured(chart.y, points),
        "tooltip": tooltip(chart),
    }
    if chart.color:
        encoding["color"] = series_colors(chart, points, look)
    return {"data": values_of(points), "mark": mark, "encoding": encoding}


def _pie(chart: Chart, points: list[Point], look: Theme, locale: str, height: int) -> Spec:
    total = sum(figures_of(points, "y"), Decimal(0))
    slices: list[Point] = [
        {**point, "place": place, "share": show_percent(point["y"] / total, known_locale(locale), 0)}
        for place, point in enumerate(points)
    ]
    for item in slices:
        # A thin slice has no room for its label.
        item["label"] = item["share"] if item["y"] / total >= Decimal("0.04") else ""
    color = series_colors(chart, points, look, "x")
    outer = height / 2 - 45
    return {
        "data": values_of(slices),
        "encoding": {
            "theta": {"field": "y", "type": "quantitative", "stack": True},
            "order": {"field": "place", "type": "quantitative"},
            "tooltip": [*tooltip(chart), {"field": "share", "type": "nominal", "title": "Share"}],
        },
        "layer": [
            {
                "mark": {"type": "arc", "innerRadius": outer * 0.58, "outerRadius": outer},
                "encoding": {"color": color},
            },
            {
                "mark": {
                    "type": "text",
                    "radius": outer + 18,
                    "fontSize": 12,
                    "fontWeight": 600,
                    "color": look.ink,
                },
                "encoding": {"text": {"field": "label", "type": "nominal"}},
            },
        ],
    }


def _scatter(chart: Chart, points: list[Point], look: Theme, locale: str, height: int) -> Spec:
    if chart.x is None:
        return message("No data", look)
    encoding: Spec = {
        "x": {**measured(chart.x, points, "x"), "scale": {"zero": False, "nice": True}},
        "y": {**measured(chart.y, points), "scale": {"zero": False, "nice": True}},
        "tooltip": tooltip(chart),
    }
    if chart.color:
        encoding["color"] = series_colors(chart, points, look)
    size = 60 if len(points) <= 300 else 22
    return {
        "data": values_of(points),
        "mark": {"type": "point", "filled": True, "size": size, "opacity": 0.75},
        "encoding": encoding,
    }


def _heatmap(chart: Chart, points: list[Point], look: Theme, locale: str, height: int) -> Spec:
    if chart.x is None or chart.color is None:
        return message("No data", look)
    figures = figures_of(points, "color")
    middle = (min(figures) + max(figures)) / 2
    axis = {"labelAngle": 0, "labelOverlap": True, "domain": False}
    rows = distinct(points, "y")
    encoding: Spec = {
        "x": {
            "field": "x",
            "type": "nominal",
            "title": title_of(chart.x),
            "sort": distinct(points, "x"),
            "axis": axis,
        },
        "y": {
            "field": "y",
            "type": "nominal",
            "title": title_of(chart.y),
            "sort": rows,
            "axis": {"domain": False},
        },
    }
    legend = {"gradientLength": 160, **_legend_format(chart.color, figures)}
    layers: list[Spec] = [
        {
            "mark": {"type": "rect", "cornerRadius": 2, "stroke": look.background, "strokeWidth": 2},
            "encoding": {
                "color": {
                    "field": "color", "type": "quantitative", "title": title_of(chart.color),
                    "scale": {"range": list(look.sequence)}, "legend": legend,
                },
                "tooltip": tooltip(chart),
            },
        }
    ]  # fmt: skip
    if len(points) <= MAX_LABELED_CELLS:
        points = [{**point, "label": _short(chart.color, point["color"])} for point in points]
        dark = look is THEMES["dark"]
        strong, weak = ("#0d1522", "#eef1f5") if dark else ("#ffffff", "#1b2430")
        layers.append(
            {
                "mark": {"type": "text", "fontSize": 11},
                "encoding": {
                    "text": {"field": "label", "type": "nominal"},
                    "color": {
                        "condition": {"test": f"datum.color > {float(middle)!r}", "value": strong},
                        "value": weak,
                    },
                },
            }
        )
    return {
        "data": values_of(points),
        "encoding": encoding,
        "layer": layers,
        "height": max(height, len(rows) * 26 + 110),
    }


def _legend_format(column: Column, values: Sequence[Decimal]) -> Spec:
    return {key: value for key, value in number_format(column, values).items() if key != "tickMinStep"}


def _short(column: Column, value: Decimal) -> str:
    if column.type is CellType.PERCENT:
        return f"{float(value):.0%}"
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if abs(value) >= size:
            return f"{float(value) / size:.3g}{unit}"
    return f"{float(value):.3g}" if value != value.to_integral_value() else f"{value:.0f}"


def _gauge(chart: Chart, points: list[Point], look: Theme, locale: str, height: int) -> Spec:
    value = points[0]["y"]
    goal = Decimal(str(chart.target)) if chart.target is not None else None
    low = Decimal(str(chart.minimum))
    high = Decimal(str(chart.maximum)) if chart.maximum is not None else max(value, goal or value)
    high = high if high > low else low + 1
    start, sweep = -2 * math.pi / 3, 4 * math.pi / 3

    def angle(figure: Decimal) -> float:
        share = min(1.0, max(0.0, float((figure - low) / (high - low))))
        return start + share * sweep

    outer = height / 2 - 30
    inner = outer * 0.74
    shown = _shown(chart.y, locale)

    def arc(until: float, color: str, begin: float = start, **more: Any) -> Spec:
        return {
            "mark": {"type": "arc", "theta": begin, "theta2": until, "innerRadius": inner, "outerRadius": outer,
                     "color": color, "stroke": None, "cornerRadius": 4, **more}
        }  # fmt: skip

    def text(content: str, size: int, color: str, dx: float, dy: float, weight: int = 400) -> Spec:
        return {
            "mark": {"type": "text", "text": content, "fontSize": size, "fontWeight": weight, "color": color,
                     "dx": dx, "dy": dy}
        }  # fmt: skip

    side, down = math.sin(math.pi / 3) * (inner + outer) / 2, math.cos(math.pi / 3) * outer + 22
    layers = [
        arc(start + sweep, look.track),
        *([arc(angle(value), look.series[0])] if angle(value) > start else []),
        text(shown(value), 26, look.ink, 0, -4, 600),
        text(printable(chart.y.label), 12, look.subtle, 0, 20),
        text(shown(low), 11, look.subtle, -side, down),
        text(shown(high), 11, look.subtle, side, down),
    ]
    if goal is not None:
        at = angle(goal)
        layers.append(
            arc(
                at + 0.012, look.ink, at - 0.012, innerRadius=inner - 6, outerRadius=outer + 6, cornerRadius=0
            )
        )
        layers.append(text(f"Target {shown(goal)}", 12, look.subtle, 0, 38))
    if value > high or value < low:
        layers.append(text(f"Outside {shown(low)} to {shown(high)}", 11, look.subtle, 0, 54))
    return {"data": {"values": [{}]}, "layer": layers}


def _shown(column: Column, locale: str) -> Callable[[Decimal], str]:
    known = known_locale(locale)
    if column.type is CellType.PERCENT:
        return lambda value: show_percent(value, known, column.decimals or 0)
    if column.type is CellType.MONEY:
        return lambda value: show_money(
            value, column.currency, known, 0 if value == value.to_integral_value() else column.decimals
        )
    return lambda value: show_number(value, known, column.decimals)


BODIES: Mapping[ChartType, Callable[[Chart, list[Point], Theme, str, int], Spec]] = {
    ChartType.BAR: _bar,
    ChartType.LINE: _line,
    ChartType.AREA: _area,
    ChartType.PIE: _pie,
    ChartType.SCATTER: _scatter,
    ChartType.HEATMAP: _heatmap,
    ChartType.GAUGE: _gauge,
}

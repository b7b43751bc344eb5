"""A chart as a Vega-Lite specification: the same for the browser, the picture in a file and the one in a mail."""

from __future__ import annotations

from typing import Literal

from core.render.charts import Chart
from core.render.charts.marks import BODIES, message
from core.render.charts.points import Spec, limited, points_of, problem_of
from core.render.charts.theme import THEMES, ThemeName, config
from core.render.text import printable

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
HEIGHT = 300


def vega_lite(
    chart: Chart,
    *,
    theme: ThemeName = "light",
    locale: str = "en_US",
    width: int | Literal["container"] = "container",
    height: int = HEIGHT,
) -> Spec:
    """The specification. Equal charts make equal specifications."""
    look = THEMES[theme]
    points = points_of(chart)
    notes: list[str] = []
    problem = problem_of(chart, points)
    if problem:
        body: Spec = message(problem, look)
    else:
        points = limited(chart, points, notes)
        body = BODIES[chart.type](chart, points, look, locale, height)
    subtitle = [text for text in (printable(chart.subtitle), *notes) if text]
    return {
        "$schema": SCHEMA,
        "description": printable(chart.description),
        "width": width,
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "title": {"text": printable(chart.title), "subtitle": subtitle},
        **body,
        "config": config(theme, locale),
    }

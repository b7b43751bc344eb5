"""How charts look, in light and in dark: one theme for the back office, reports, mails and files.

The colors of series stay apart for people who see few colors (tests measure it) and are given in one order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from babel import Locale

from core.render.values import known_locale

ThemeName = Literal["light", "dark"]
FONT = "Inter, sans-serif"


@dataclass(frozen=True)
class Theme:
    background: str
    ink: str
    subtle: str
    grid: str
    series: tuple[str, ...]
    # What is summed up as "Other".
    other: str
    # From little to much.
    sequence: tuple[str, ...]
    track: str


THEMES: dict[ThemeName, Theme] = {
    "light": Theme(
        background="#ffffff",
        ink="#1b2430",
        subtle="#56616f",
        grid="#e6e9ee",
        series=("#2f62d9", "#e8930c", "#0b8a70", "#c2479d", "#63b3ed", "#a33b12", "#7c6fd6", "#b3a100"),
        other="#a4adba",
        sequence=("#eaf1fd", "#b9d0f7", "#7ba6ee", "#3f78dc", "#1c4aa8", "#0d2a66"),
        track="#e6e9ee",
    ),
    "dark": Theme(
        background="#151b24",
        ink="#eef1f5",
        subtle="#a9b4c3",
        grid="#2b3442",
        series=("#6d9bff", "#f5ae3d", "#34c3a3", "#ee86cd", "#a9d8fb", "#d9683a", "#a99ff2", "#d9c93a"),
        other="#6b7686",
        sequence=("#1b2738", "#1f3d6e", "#2a5bb0", "#4f86e6", "#8fb6fb", "#dbe8ff"),
        track="#2b3442",
    ),
}


def config(name: ThemeName, locale: str = "en_US") -> dict[str, Any]:
    """Vega-Lite's configuration. The background is transparent: the page, or the picture, has its own."""
    theme = THEMES[name]
    return {
        "background": "transparent",
        "font": FONT,
        "padding": 6,
        "view": {"stroke": None},
        "range": {"category": list(theme.series), "heatmap": list(theme.sequence), "ramp": list(theme.sequence)},
        "title": {
            "color": theme.ink, "subtitleColor": theme.subtle, "anchor": "start", "frame": "bounds", "fontSize": 15,
            "fontWeight": 600, "subtitleFontSize": 12, "subtitlePadding": 4, "offset": 14,
        },
        "axis": {
            "labelColor": theme.subtle, "titleColor": theme.subtle, "labelFontSize": 12, "titleFontSize": 12,
            "titleFontWeight": 600, "titlePadding": 10, "labelPadding": 6, "domainColor": theme.grid,
            "tickColor": theme.grid, "gridColor": theme.grid, "ticks": False, "labelLimit": 180,
        },
        "axisQuantitative": {"domain": False, "tickCount": 5},
        "axisBand": {"grid": False},
        "axisTemporal": {"grid": False, "labelFlush": False},
        "legend": {
            "labelColor": theme.ink, "titleColor": theme.subtle, "labelFontSize": 12, "titleFontSize": 12,
            "titleFontWeight": 600, "symbolType": "circle", "symbolSize": 90, "labelLimit": 180, "rowPadding": 5,
        },
        "bar": {"color": theme.series[0]},
        "line": {"color": theme.series[0], "strokeWidth": 2.5, "strokeCap": "round", "strokeJoin": "round"},
        "area": {"color": theme.series[0]},
        "point": {"color": theme.series[0], "filled": True, "size": 55},
        "arc": {"stroke": theme.background, "strokeWidth": 1.5},
        "text": {"color": theme.ink, "fontSize": 12},
        "locale": {"number": _number_locale(known_locale(locale))},
    }  # fmt: skip


def _number_locale(locale: Locale) -> dict[str, Any]:
    symbols = locale.number_symbols
    symbols = symbols.get("latn", symbols)
    return {
        "decimal": symbols.get("decimal", "."),
        "thousands": symbols.get("group", ","),
        "grouping": [3],
        "currency": ["", ""],
    }

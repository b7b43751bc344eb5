"""Pictures of charts, drawn by vl-convert: no network, the fonts that ship. Only workers should call this, for it keeps some
70 MB once it has drawn."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from core.render.charts import Chart
from core.render.charts.theme import THEMES, ThemeName
from core.render.charts.vega import HEIGHT, vega_lite

FONTS = Path(__file__).parent.parent / "typefaces"
WIDTH = 680
DIALECT = "v6.4"
_ID = re.compile(r'(?<=id=")(?:clip|gradient_)[0-9]+(?=")|(?<=url\(#)(?:clip|gradient_)[0-9]+(?=\))')


class ChartsNotInstalled(Exception):
    """The optional package that draws is missing."""

    def __init__(self) -> None:
        super().__init__(
            "Charts cannot be drawn here: the optional package vl-convert-python is not installed."
        )


@lru_cache(1)
def _converter() -> ModuleType:
    try:
        import vl_convert
    except ModuleNotFoundError:
        raise ChartsNotInstalled from None
    vl_convert.register_font_directory(str(FONTS))
    return vl_convert


def svg(
    chart: Chart,
    *,
    theme: ThemeName = "light",
    locale: str = "en_US",
    width: int = WIDTH,
    height: int = HEIGHT,
) -> str:
    """Raises: ChartsNotInstalled."""
    spec = vega_lite(chart, theme=theme, locale=locale, width=width, height=height)
    return _renumbered(str(_converter().vegalite_to_svg(spec, vl_version=DIALECT, allowed_base_urls=[])))


def _renumbered(picture: str) -> str:
    """The converter counts ids on from picture to picture; here each begins anew, so that equal charts are equal."""
    numbers: dict[str, str] = {}
    return _ID.sub(lambda found: numbers.setdefault(found.group(), f"part{len(numbers)}"), picture)


def png(
    chart: Chart,
    *,
    theme: ThemeName = "light",
    locale: str = "en_US",
    width: int = WIDTH,
    height: int = HEIGHT,
    scale: float = 2,
) -> bytes:
    """On the background of the theme. Raises: ChartsNotInstalled."""
    spec = vega_lite(chart, theme=theme, locale=locale, width=width, height=height)
    spec["config"]["background"] = THEMES[theme].background
    return bytes(_converter().vegalite_to_png(spec, vl_version=DIALECT, scale=scale, allowed_base_urls=[]))

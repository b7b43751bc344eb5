"""Charts: one specification for every place, honest about what is left out, legible for everybody."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest
import vl_convert

from core.render import CellType, Chart, ChartType, Column, Document
from core.render.charts import images
from core.render.charts.images import ChartsNotInstalled, png, svg
from core.render.charts.theme import THEMES
from core.render.charts.vega import vega_lite
from tests.core.render.documents import rendered

AMOUNT = Column("amount", "Amount", CellType.MONEY, currency="EUR")
STAGE = Column("stage", "Stage")
MONTH = Column("month", "Month", CellType.DATE)
OWNER = Column("owner", "Owner")
AGE = Column("age", "Age", CellType.INTEGER)


def rows_of(count: int = 3) -> list[dict[str, Any]]:
    return [
        {
            "stage": f"Stage {n % 4}", "month": date(2026, 1 + n % 12, 1), "owner": f"Owner {n % 3}", "age": n,
            "amount": Decimal(1000 * n + 500),
        }
        for n in range(count)
    ]  # fmt: skip


CHARTS = {
    ChartType.BAR: Chart("Bars", ChartType.BAR, rows_of(), AMOUNT, STAGE),
    ChartType.LINE: Chart("Lines", ChartType.LINE, rows_of(12), AMOUNT, MONTH, OWNER),
    ChartType.AREA: Chart("Areas", ChartType.AREA, rows_of(12), AMOUNT, MONTH, OWNER, is_stacked=True),
    ChartType.PIE: Chart("Pie", ChartType.PIE, rows_of(), AMOUNT, STAGE),
    ChartType.SCATTER: Chart("Dots", ChartType.SCATTER, rows_of(9), AMOUNT, AGE, OWNER),
    ChartType.HEATMAP: Chart("Heat", ChartType.HEATMAP, rows_of(9), STAGE, OWNER, AMOUNT),
    ChartType.GAUGE: Chart("Quota", ChartType.GAUGE, rows_of(1), AMOUNT, maximum=1000, target=800),
}


def values_of(chart: Chart) -> list[dict[str, Any]]:
    return vega_lite(chart)["data"]["values"]


@pytest.mark.parametrize("type", ChartType)
class TestEveryType:
    def test_is_drawn_in_both_themes(self, type: ChartType) -> None:
        for theme in THEMES:
            assert svg(CHARTS[type], theme=theme).startswith("<svg")
        assert png(CHARTS[type]).startswith(b"\x89PNG")

    def test_makes_the_same_specification_again(self, type: ChartType) -> None:
        assert vega_lite(CHARTS[type]) == vega_lite(CHARTS[type])
        assert svg(CHARTS[type]) == svg(CHARTS[type])

    def test_says_that_there_is_nothing(self, type: ChartType) -> None:
        from dataclasses import replace

        assert "No data" in svg(replace(CHARTS[type], rows=[]))

    def test_leaves_out_what_has_no_number(self, type: ChartType) -> None:
        from dataclasses import replace

        nothing = [{"stage": None, "month": None, "owner": None, "age": None, "amount": None}]

        assert "No data" in svg(replace(CHARTS[type], rows=nothing))


class TestTooMany:
    def test_categories_become_other_without_losing_a_cent(self) -> None:
        rows = [{"stage": f"S{n}", "amount": Decimal(n) / 100} for n in range(500)]
        chart = Chart("Bars", ChartType.BAR, rows, AMOUNT, STAGE)
        values = values_of(chart)

        assert len(values) == chart.max_categories
        assert [item["x"] for item in values][-1] == "Other"
        assert round(sum(item["y"] for item in values), 2) == float(sum(row["amount"] for row in rows))
        assert vega_lite(chart)["title"]["subtitle"] == ["The largest 19 of 500 by stage"]

    def test_averages_are_left_out_and_not_summed(self) -> None:
        rows = [{"stage": f"S{n}", "amount": n} for n in range(500)]
        values = values_of(Chart("Bars", ChartType.BAR, rows, AMOUNT, STAGE, is_additive=False))

        assert len(values) == 19
        assert "Other" not in {item["x"] for item in values}

    def test_series_keep_their_colors_apart_from_other(self) -> None:
        rows = [{"month": date(2026, m, 1), "owner": f"O{n}", "amount": n} for m in (1, 2) for n in range(40)]
        spec = vega_lite(Chart("Lines", ChartType.LINE, rows, AMOUNT, MONTH, OWNER))
        scale = spec["encoding"]["color"]["scale"]

        assert len(scale["domain"]) == 8
        assert scale["domain"][-1] == "Other"
        assert scale["range"][-1] == THEMES["light"].other


class TestHonesty:
    def test_a_pie_of_negative_values_is_refused_in_the_picture(self) -> None:
        chart = Chart(
            "Pie", ChartType.PIE, [{"stage": "a", "amount": -1}, {"stage": "b", "amount": 2}], AMOUNT, STAGE
        )

        assert "A pie cannot show negative values" in svg(chart)

    def test_names_of_columns_mean_nothing_to_vega(self) -> None:
        column = Column("a.b[0]'", "Odd")
        chart = Chart("Bars", ChartType.BAR, [{column.name: "</script>", "amount": 1}], AMOUNT, column)

        assert values_of(chart) == [{"x": "</script>", "y": 1.0}]
        assert "<script" not in svg(chart)

    def test_a_file_says_which_charts_it_could_not_draw(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing() -> Any:
            raise ChartsNotInstalled

        monkeypatch.setattr(images, "_converter", missing)
        for format in ("html", "pdf", "xlsx"):
            _, result = rendered(format, Document("Charts", [CHARTS[ChartType.BAR]]))

            assert not result.is_complete
            assert result.notices[0].startswith("Bars: Charts cannot be drawn here")


class TestColors:
    @pytest.mark.parametrize("theme", THEMES)
    @pytest.mark.parametrize("sight", ["full", "protan", "deutan", "tritan"])
    def test_of_the_series_differ_for_every_sight(self, theme: str, sight: str) -> None:
        seen = [lab(simulated(color, sight)) for color in THEMES[theme].series[:6]]  # type: ignore[index]
        closest = min(
            sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) ** 0.5 for pair in combinations(seen, 2)
        )

        assert closest > 10

    @pytest.mark.parametrize("theme", THEMES)
    def test_of_the_series_stand_out_from_the_background(self, theme: str) -> None:
        look = THEMES[theme]  # type: ignore[index]

        assert min(contrast(color, look.background) for color in look.series[:1]) > 4.5
        assert contrast(look.subtle, look.background) > 4.5


# What people with one kind of cone missing see (Machado, Oliveira, Fernandes 2009), on linear light.
SIGHTS = {
    "full": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}  # fmt: skip


def linear(color: str) -> list[float]:
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def simulated(color: str, sight: str) -> list[float]:
    light = linear(color)
    return [min(1, max(0, sum(a * b for a, b in zip(row, light, strict=True)))) for row in SIGHTS[sight]]


def lab(light: list[float]) -> tuple[float, float, float]:
    red, green, blue = light
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    fx, fy, fz = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def contrast(one: str, other: str) -> float:
    bright, dark = sorted(
        (sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(x), strict=True)) for x in (one, other)),
        reverse=True,
    )
    return (bright + 0.05) / (dark + 0.05)


def test_specifications_are_of_a_version_the_renderer_knows() -> None:
    assert images.DIALECT.removeprefix("v") in vl_convert.get_vegalite_versions()

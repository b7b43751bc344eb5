"""A pivot as a document of a chart and a table, which every format of the renderer registry can hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from analytics.reports import queries
from analytics.reports.engine.layout import Header
from analytics.reports.pivots import Definition, Dimension, Measure, find_dimension, find_measure
from analytics.reports.queries import Answer, format_of
from analytics.reports.schemas import ChartDocument
from core.render import CellType, Chart, ChartType, Column, Document, Row, Table, TotalRow
from core.tenancy.actors import Actor

# How many series and categories a chart is drawn with; the database sums up the rest as one.
MAX_SERIES = 7
MAX_CATEGORIES = 19
_TYPES = {
    "bar": ChartType.BAR,
    "stacked_bar": ChartType.BAR,
    "funnel": ChartType.BAR,
    "line": ChartType.LINE,
    "area": ChartType.AREA,
    "pie": ChartType.PIE,
    "scatter": ChartType.SCATTER,
    "heatmap": ChartType.HEATMAP,
    "gauge": ChartType.GAUGE,
}


def report_document(
    answer: Answer,
    *,
    title: str,
    chart: Chart | None,
    description: str = "",
    by: str = "",
    company: str = "",
    locale: str = "en_US",
    zone: str = "UTC",
) -> Document:
    """The file of an answer: its chart, then its table."""
    table = table_of(answer, title)
    records = answer.definition.entity.noun_plural
    return Document(
        title=title,
        parts=[chart, table] if chart is not None else [table],
        subtitle=description,
        parameters=[(records.capitalize(), f"{answer.record_count:,}"), ("Currency", answer.currency)],
        generated_at=answer.generated_at,
        generated_by=by,
        company=company,
        locale=locale.replace("-", "_"),
        zone=ZoneInfo(zone),
    )


# --- the table -------------------------------------------------------------------------------------------------


def table_of(answer: Answer, title: str) -> Table:
    """The grid as a table: a column for each dimension of the rows, then one for each column and measure."""
    definition = answer.definition
    return Table(
        title=title,
        columns=_columns(answer),
        rows=_rows(answer),
        name="report",
        subtotal_levels=max(0, len(definition.rows) - 1) if definition.show_subtotals else 0,
    )


def _columns(answer: Answer) -> list[Column]:
    definition = answer.definition
    found = [Column(item.name, item.label) for item in definition.rows] or [Column("rows", "")]
    several = len(definition.measures) > 1
    for header in answer.grid.columns:
        heading = _heading(header, definition.columns)
        for measure in definition.measures:
            label = " · ".join(
                part for part in (heading, measure.label if several or not heading else "") if part
            )
            name = " · ".join(part for part in (heading, measure.name) if part)
            found.append(
                value_column(measure, name, label, answer.currency, is_total=header.kind != "detail")
            )
    return found


def value_column(measure: Measure, name: str, label: str, currency: str, *, is_total: bool = False) -> Column:
    kind = format_of(measure)
    if kind == "percent":
        return Column(name, label, CellType.PERCENT, decimals=1, is_total=is_total)
    if kind == "money":
        return Column(name, label, CellType.MONEY, currency=currency, is_total=is_total)
    if measure.aggregation in ("count", "count_distinct"):
        return Column(name, label, CellType.INTEGER, is_total=is_total)
    if measure.place is not None and measure.place.field.kind in ("date", "datetime"):
        return Column(name, label, CellType.DATE if measure.place.field.kind == "date" else CellType.DATETIME)
    return Column(name, label, CellType.DECIMAL, decimals=2, is_total=is_total)


def _heading(header: Header, dimensions: Sequence[Dimension]) -> str:
    if not dimensions:
        return ""
    if header.kind == "total":
        return "Total"
    labels = list(header.labels)
    return " · ".join([*labels, "Total"] if header.kind == "subtotal" else labels)


def _rows(answer: Answer) -> Iterator[Row]:
    wide = max(1, len(answer.definition.rows))
    empty = (None,) * len(answer.definition.measures)
    for header, cells in zip(answer.grid.rows, answer.grid.cells, strict=True):
        labels = list(header.labels)
        if header.kind != "detail":
            labels = [*labels, "Total"]
        values: list[Any] = [*labels[:wide], *[""] * (wide - len(labels))]
        for cell in cells:
            values += cell or empty
        yield values if header.kind == "detail" else TotalRow(values, len(header.key))


# --- the chart -------------------------------------------------------------------------------------------------


def chart_of(actor: Actor, document: Mapping[str, Any], title: str, *, now: datetime) -> Chart | None:
    """The chart that the report's `chart_config` asks for; None where it asks for none.

    It is a pivot of its own over the same records, so that what is drawn as one is what the database counts as one: nothing
    is added up from the cells of the table. Raises: as `queries.run`.
    """
    if not document.get("chart_config"):
        return None
    whole = queries.read_definition(actor, document)
    config = whole.chart
    assert config is not None  # noqa: S101 - it was read with the report
    y = find_measure(whole.measures, config.y_axis) or whole.measures[0]
    asked: dict[str, Any] = {
        **{name: document.get(name) for name in ("data_source", "pivot_filters", "filters", "sort")},
        "pivot_values": document.get("pivot_values"),
        "pivot_rows": [],
        "pivot_columns": [],
    }
    kind = _TYPES[config.type]
    x, color = _axes(whole, config)
    if kind is ChartType.GAUGE:
        x = color = None
    if kind in (ChartType.PIE, ChartType.SCATTER):
        color = None
    if x is not None:
        asked["pivot_rows"] = [_again(x, MAX_CATEGORIES)]
    if color is not None:
        asked["pivot_columns"] = [_again(color, MAX_CATEGORIES if kind is ChartType.HEATMAP else MAX_SERIES)]
    answer = queries.run(actor, asked, now=now)
    return _drawn(answer, config, kind, title, y.name)


def _axes(whole: Definition, config: ChartDocument) -> tuple[Dimension | None, Dimension | None]:
    """What lies along the axis and what the colors are; of what is left, the outermost, where the chart says nothing."""
    x = find_dimension(whole.dimensions, config.x_axis) if config.x_axis else None
    color = find_dimension(whole.dimensions, config.color_by) if config.color_by else None
    if x is None:
        x = next((item for item in whole.dimensions if item is not color), None)
    if color is None and config.type in ("heatmap", "stacked_bar"):
        color = next((item for item in (*whole.columns, *whole.rows) if item is not x), None)
    return x, color


def _again(dimension: Dimension, most: int) -> dict[str, Any]:
    """The dimension as a document; of one that is no span of days only the largest are kept."""
    found: dict[str, Any] = {"field": dimension.name.partition(":")[0], "label": dimension.label}
    if dimension.bucket:
        found["bucket"] = dimension.bucket
    if dimension.bin_size is not None:
        found["bin_size"] = dimension.bin_size
    if dimension.top:
        found["top"] = min(dimension.top, most)
    elif not dimension.bucket and dimension.bin_size is None:
        found["top"] = most
    return found


def _drawn(answer: Answer, config: ChartDocument, kind: ChartType, title: str, y_name: str) -> Chart:
    definition = answer.definition
    places = {item.name: place for place, item in enumerate(definition.measures)}
    y_measure = definition.measures[places[y_name]]
    y = value_column(y_measure, "y", y_measure.label, answer.currency)
    x = Column("x", definition.rows[0].label) if definition.rows else None
    color = Column("color", definition.columns[0].label) if definition.columns else None
    rows = []
    for header, cells in zip(answer.grid.rows, answer.grid.cells, strict=True):
        if definition.rows and header.kind != "detail":
            continue
        for beside, cell in zip(answer.grid.columns, cells, strict=True):
            if cell is None or (definition.columns and beside.kind != "detail"):
                continue
            rows.append(
                {
                    "x": header.labels[0] if header.labels else "",
                    "y": cell[places[y_name]],
                    "color": beside.labels[0] if beside.labels else "",
                }
            )
    if kind is ChartType.HEATMAP:
        # Two sides, and the number as the color.
        value = Column("value", y.label, y.type, currency=y.currency, decimals=y.decimals)
        side = color or Column("color", "")
        rows = [{"x": row["x"], "side": row["color"], "value": row["y"]} for row in rows]
        return Chart(
            config.title or title,
            kind,
            rows,
            y=Column("side", side.label),
            x=x or Column("x", ""),
            color=value,
        )
    if kind is ChartType.SCATTER:
        return _scattered(answer, config, title, y, places[y_name])
    return Chart(
        config.title or title,
        kind,
        rows,
        y=y,
        x=x,
        color=color,
        is_stacked=config.type == "stacked_bar",
        is_horizontal=True if config.type == "funnel" else None,
        max_categories=10_000,
        max_series=MAX_SERIES + 3,
        is_additive=y_measure.aggregation in ("sum", "count"),
        target=config.target,
        maximum=config.maximum,
    )


def _scattered(answer: Answer, config: ChartDocument, title: str, y: Column, place: int) -> Chart:
    """A point for each row: the first other measure, or the one that the axis names, against `y`."""
    measures = answer.definition.measures
    named = find_measure(measures, config.x_axis) if config.x_axis else None
    across = named or next((item for item in measures if item is not measures[place]), measures[place])
    at = measures.index(across)
    rows = [
        {"x": cells[-1][at], "y": cells[-1][place]}
        for header, cells in zip(answer.grid.rows, answer.grid.cells, strict=True)
        if header.kind == "detail" and cells[-1] is not None
    ]
    x = value_column(across, "x", across.label, answer.currency)
    return Chart(config.title or title, ChartType.SCATTER, rows, y=y, x=x)

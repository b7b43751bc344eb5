"""The shapes people send: dimensions, measures, order, limits. The documents are judged in `definitions`."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

NAME = r"^[a-z][a-z0-9_]{0,63}$"
MAX_PATH = 200

Bucket = Literal["year", "quarter", "month", "week", "day", "weekday", "fiscal_year", "fiscal_quarter"]
Aggregation = Literal["count", "count_distinct", "sum", "avg", "min", "max", "median", "percentile", "stddev"]
ShowAs = Literal[
    "value",
    "share_of_row",
    "share_of_column",
    "share_of_total",
    "running_total",
    "difference",
    "growth",
]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DimensionDocument(Part):
    """What to group by: a field, or a path over relations such as `account.industry`. A bare text is the field alone,
    `close_date:quarter` a field with its bucket, and `quarter` alone the source's main date by quarter."""

    field: str = Field(max_length=MAX_PATH)
    bucket: Bucket | None = Field(None, description="For dates: the span they are gathered in.")
    bin_size: Annotated[Decimal, Field(gt=0, le=10**12)] | None = Field(
        None, description="For numbers: the width of each bin."
    )
    label: str = Field("", max_length=100)
    top: int | None = Field(
        None, ge=1, le=1_000, description="Keep so many, the largest ones; the rest is one: Other."
    )


class MeasureDocument(Part):
    """What to show in each cell: an aggregation of a field, or a formula over the names of other measures."""

    field: str = Field("", max_length=MAX_PATH)
    aggregation: Aggregation | None = None
    percentile: float | None = Field(None, ge=0, le=100)
    formula: str = Field(
        "", max_length=500, description="Such as `won / total`; dividing by zero gives null."
    )
    name: str | None = Field(
        None, pattern=NAME, description="Its name; made of field and aggregation otherwise."
    )
    label: str = Field("", max_length=100)
    format: Literal["", "number", "money", "percent"] = ""
    show_as: ShowAs = "value"


class SortDocument(Part):
    """The order of rows and columns beside each other: by their names, or by a measure of their totals."""

    by: str = Field("label", max_length=64)
    descending: bool = False


class LimitsDocument(Part):
    """How many of the outermost rows and columns are kept, the largest by the first measure; the rest is one: Other."""

    rows: int | None = Field(None, ge=1, le=1_000)
    columns: int | None = Field(None, ge=1, le=1_000)


class ChartDocument(Part):
    """How the answer is drawn. The axes name a dimension and a measure by field or name."""

    type: Literal["bar", "stacked_bar", "line", "area", "pie", "scatter", "heatmap", "gauge", "funnel"] = (
        "bar"
    )
    x_axis: str = Field("", max_length=MAX_PATH)
    y_axis: str = Field("", max_length=MAX_PATH)
    color_by: str = Field("", max_length=MAX_PATH)
    title: str = Field("", max_length=200)
    target: float | None = Field(None, allow_inf_nan=False)
    maximum: float | None = Field(None, allow_inf_nan=False)


class ScheduleDocument(Part):
    """When a report is sent. What is not said: 8 o'clock, Monday, the first of the month, the company's time zone."""

    time: str = Field("08:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    weekday: int = Field(1, ge=1, le=7, description="1 is Monday.")
    day: int = Field(1, ge=1, le=31, description="Of the month; the last one where a month is shorter.")
    timezone: str = Field("", max_length=64)
    cron: str = Field("", max_length=100)
    per_recipient: bool = Field(
        False, description="Each recipient gets what they may see themselves, not what the owner sees."
    )


class WidgetDocument(Part):
    """A report at a place of a dashboard's grid of twelve columns."""

    report: str = Field(max_length=36)
    title: str = Field("", max_length=200)
    x: int = Field(0, ge=0, le=11)
    y: int = Field(0, ge=0, le=1_000)
    w: int = Field(6, ge=1, le=12)
    h: int = Field(4, ge=1, le=24)
    show: Literal["chart", "table", "both"] = "both"

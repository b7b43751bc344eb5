"""What the endpoints of reports take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.kernel.errors import Fault, Invalid


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReportPreviewInput(_Part):
    """A report that is not kept. The fields are those of a report."""

    data_source: str = Field(max_length=64, examples=["deals"])
    pivot_rows: list[Any] = Field(default_factory=list, examples=[["stage"]])
    pivot_columns: list[Any] = Field(default_factory=list)
    pivot_values: list[Any] = Field(
        default_factory=list, examples=[[{"field": "amount", "aggregation": "sum"}]]
    )
    pivot_filters: list[dict[str, Any]] | dict[str, Any] = Field(default_factory=list)
    sort: dict[str, Any] = Field(default_factory=dict)
    limits: dict[str, Any] = Field(default_factory=dict)
    show_subtotals: bool = True
    show_totals: bool = True
    chart_config: dict[str, Any] = Field(default_factory=dict)


class ReportRunInput(_Part):
    """Conditions beside those of the report, for this run alone."""

    filters: list[dict[str, Any]] | dict[str, Any] = Field(default_factory=list)


class PivotDimensionDocument(_Part):
    """A dimension of the answer."""

    name: str
    label: str
    kind: str
    bucket: str | None


class PivotValueDocument(_Part):
    """A measure of the answer."""

    name: str
    label: str
    field: str
    aggregation: str
    show_as: str
    format: str


class PivotHeaderDocument(_Part):
    """A row or a column: its keys from the outside in, none for the total. `drill/` takes a key as it stands."""

    key: list[Any]
    labels: list[str]
    kind: Literal["detail", "subtotal", "total"]


class PivotDocument(_Part):
    """A pivot. `cells[row][column]` holds a value for each measure; null where there are no records."""

    data_source: str
    currency: str
    row_dimensions: list[PivotDimensionDocument]
    column_dimensions: list[PivotDimensionDocument]
    values: list[PivotValueDocument]
    rows: list[PivotHeaderDocument]
    columns: list[PivotHeaderDocument]
    cells: list[list[list[Any] | None]]
    row_count: int
    limit: int | None
    complete: bool
    generated_at: datetime


class ReportFieldDocument(_Part):
    """What may be asked of a field: whether it can be grouped by, in which buckets, and how it can be summed up."""

    name: str
    label: str
    kind: str
    is_dimension: bool
    buckets: list[str]
    aggregations: list[str]
    is_filter: bool


class ReportFieldsDocument(_Part):
    """What the caller may report on."""

    data_source: str
    fields: list[ReportFieldDocument]


class ReportRunDocument(_Part):
    """One time that a report was run."""

    id: UUID
    trigger: str
    run_as: UUID | None
    status: str
    format: str
    recipient: str
    created_at: datetime
    finished_at: datetime | None
    duration_ms: int
    row_count: int | None
    complete: bool | None
    error: str
    job: UUID | None
    file: UUID | None


class WidgetAnswerDocument(_Part):
    """What a widget shows: its report's pivot and chart (a Vega-Lite specification), or why it shows neither."""

    report: str
    title: str
    x: int
    y: int
    w: int
    h: int
    show: str
    pivot: PivotDocument | None
    chart: dict[str, Any] | None
    problem: str


class DashboardAnswerDocument(_Part):
    """A dashboard's reports as the caller may see them."""

    name: str
    widgets: list[WidgetAnswerDocument]


def read_body(model: type[BaseModel], document: Any) -> Any:
    """The body as its model. Raises: Invalid with every fault."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        faults = []
        for item in error.errors(include_url=False, include_context=False, include_input=False):
            path = ".".join(map(str, item["loc"]))
            code = {"missing": "required", "extra_forbidden": "unknown_field"}.get(item["type"], item["type"])
            faults.append(Fault(path, code, f"{item['msg']}."))
        raise Invalid(faults=faults) from None

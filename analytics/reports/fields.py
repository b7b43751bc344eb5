"""What may be asked of a data source: the builder's choice of fields."""

from __future__ import annotations

from dataclasses import dataclass

from analytics.reports.pivots import BUCKETS, lines_of
from core.access import EntityView
from core.entities import Field
from core.entities.kinds import Kind

NUMBERS = ("sum", "avg", "min", "max", "median", "percentile", "stddev", "count", "count_distinct")


@dataclass(frozen=True)
class ReportField:
    """One field as reports may ask for it."""

    name: str
    label: str
    kind: str
    is_dimension: bool
    buckets: list[str]
    aggregations: list[str]
    is_filter: bool


def fields_of(source: EntityView) -> list[ReportField]:
    """The source's own fields, those of its relations and its lines', as far as the caller may ask for them."""
    found = [
        _described(field, field.name, "", measured=True)
        for field in source.askable.values()
        if field.name not in ("id", "version")
    ]
    for name, field in source.askable.items():
        if field.is_relation and source._leads_on(name):
            behind = source.related(name)
            found += [
                _described(inner, f"{name}.{inner.name}", f"{field.label}: ", measured=False)
                for inner in behind.askable.values()
                if inner.name not in ("id", "version")
            ]
    lines = lines_of(source)
    if lines is not None:
        found += [
            _described(field, field.name, "Line: ", measured=False)
            for field in lines.view.askable.values()
            if field.name not in source.modes and field is not lines.parent
        ]
    return [item for item in found if item.is_dimension or item.aggregations or item.is_filter]


def _described(field: Field, name: str, prefix: str, *, measured: bool) -> ReportField:
    is_date = field.kind in (Kind.DATE, Kind.DATETIME)
    aggregations: list[str] = []
    if field.kind not in (Kind.JSON, Kind.TAGS):
        aggregations = ["count", "count_distinct"] if measured else ["count_distinct"]
        if field.type.is_number and field.measure:
            aggregations = list(NUMBERS) if measured else ["count_distinct", "min", "max"]
        elif is_date:
            aggregations += ["min", "max"]
    is_dimension = (field.dimension or field.kind is Kind.BOOLEAN) and field.kind is not Kind.TAGS
    return ReportField(
        name,
        f"{prefix}{field.label}",
        field.kind.value,
        is_dimension and field.name not in ("id", "version"),
        list(BUCKETS) if is_date else [],
        aggregations,
        field.filterable,
    )

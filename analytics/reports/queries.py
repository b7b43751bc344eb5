"""Running reports: the pivot as a grid, the records behind a cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from psycopg.errors import QueryCanceled

from analytics.reports.compiling import MAX_GROUPS, Compiled, Compiler, Facts, drilled
from analytics.reports.definitions import read_definition
from analytics.reports.engine.layout import OTHER, Figure, Grid, Key, Layout
from analytics.reports.labels import axis_of
from analytics.reports.models import Report
from analytics.reports.pivots import Definition, Dimension
from core.identity.queries import get_company
from core.kernel.errors import Fault, Invalid, Unprocessable
from core.tenancy.actors import Actor

MAX_CELLS = 100_000
DEFINING = (
    "data_source",
    "pivot_rows",
    "pivot_columns",
    "pivot_values",
    "pivot_filters",
    "sort",
    "limits",
    "show_subtotals",
    "show_totals",
    "chart_config",
)


@dataclass(frozen=True)
class Answer:
    """A pivot as it was at one moment. `record_count`: the records that went into it."""

    definition: Definition
    grid: Grid
    record_count: int
    currency: str
    generated_at: datetime


def document_of(report: Report) -> dict[str, Any]:
    """What defines the report's pivot."""
    return {name: getattr(report, name) for name in DEFINING}


def run(actor: Actor, document: Mapping[str, Any], *, now: datetime) -> Answer:
    """The pivot over the records that the actor sees. Two statements, whatever it asks.

    Raises: Invalid and Forbidden as `read_definition`; Unprocessable for one that is too large, takes too long, or meets
    money without an exchange rate.
    """
    definition = read_definition(actor, document)
    facts = facts_of(actor)
    compiled = Compiler(definition, facts, records_of(definition, now)).compile()
    rows = [] if compiled is None else _fetch(compiled)
    if len(rows) > MAX_GROUPS:
        raise too_many_cells()
    sums, counts, titles, lost = _read(definition, rows)
    if lost:
        raise Unprocessable(
            f"{lost:,} amounts are in a currency that has no exchange rate to {facts.currency} on their day. "
            "Add the rates, or filter by currency.",
            code="rate_missing",
        )
    layout = Layout(
        axis_of(definition.rows, titles, facts.fiscal_start),
        axis_of(definition.columns, titles, facts.fiscal_start),
        [Figure(item.name, item.formula, item.show_as) for item in definition.measures],
        definition.show_subtotals,
        definition.show_totals,
        _sorted_by(definition),
        definition.sort.descending,
    )
    grid = layout.grid(sums)
    if len(grid.rows) * len(grid.columns) * len(definition.measures) > MAX_CELLS:
        raise too_many_cells()
    return Answer(definition, grid, counts, facts.currency, now)


def too_many_cells() -> Unprocessable:
    return Unprocessable(
        f"This would have more than {MAX_CELLS:,} cells. Group by less, take larger spans, or keep the largest (top).",
        code="too_many_cells",
    )


def facts_of(actor: Actor) -> Facts:
    company = get_company(actor)
    return Facts(company.pk, actor.zone, company.default_currency, company.fiscal_year_start_month)


def records_of(definition: Definition, now: datetime) -> QuerySet[Any]:
    """The records that the caller sees and the filters let through."""
    records = definition.source.records()
    for condition in definition.conditions:
        records = records.filter(condition.to_q(now=now))
    return records


def drill(
    actor: Actor, document: Mapping[str, Any], row: Key, column: Key, *, now: datetime
) -> QuerySet[Any]:
    """The records behind a cell, a subtotal or a total. Raises: as `run`; Invalid for keys that are none."""
    definition = read_definition(actor, document)
    faults = [
        Fault(name, "too_many", f"At most {len(dimensions)} keys are expected.")
        for name, key, dimensions in (("row", row, definition.rows), ("column", column, definition.columns))
        if len(key) > len(dimensions)
    ]
    if faults:
        raise Invalid(faults=faults)
    records = records_of(definition, now)
    compiled = Compiler(definition, facts_of(actor), records).compile()
    if compiled is None:
        return records.none()
    tests = dict(enumerate(row)) | {len(definition.rows) + place: part for place, part in enumerate(column)}
    sql, params = drilled(compiled, tests)
    return definition.source.records().filter(pk__in=RawSQL(sql, params))


def _sorted_by(definition: Definition) -> int | None:
    if definition.sort.by == "label":
        return None
    return next(place for place, item in enumerate(definition.measures) if item.name == definition.sort.by)


def _fetch(compiled: Compiled) -> list[tuple[Any, ...]]:
    with time_limit(), connection.cursor() as cursor:
        cursor.execute(compiled.statement, compiled.params)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


@contextmanager
def time_limit() -> Iterator[None]:
    """Makes of the database's limit on statements a refusal that says so. Raises: Unprocessable."""
    try:
        with transaction.atomic():
            yield
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        raise Unprocessable(
            "The report took too long. Filter it, or group by less.", code="took_too_long"
        ) from error


def _read(
    definition: Definition, rows: list[tuple[Any, ...]]
) -> tuple[dict[tuple[Key, Key], tuple[Any, ...]], int, dict[str, dict[Any, str]], int]:
    """The groups by their keys, the number of records, what relations' keys are called, amounts that were lost."""
    dimensions = definition.dimensions
    size, wide = len(dimensions), len(definition.rows)
    sums: dict[tuple[Key, Key], tuple[Any, ...]] = {}
    titles: dict[str, dict[Any, str]] = {item.name: {} for item in dimensions}
    count = lost = 0
    for level, n, missing, *rest in rows:
        parts: list[tuple[int, Any]] = []
        for place in range(size):
            key, is_other, title = rest[3 * place : 3 * place + 3]
            if level >> (size - 1 - place) & 1:
                continue
            parts.append((place, OTHER if is_other else key))
            if title:
                titles[dimensions[place].name][key] = title
        if not parts:
            count, lost = n, missing
        row = tuple(part for place, part in parts if place < wide)
        column = tuple(part for place, part in parts if place >= wide)
        sums[row, column] = tuple(rest[3 * size :])
    return sums, count, titles, lost


# --- as JSON ---------------------------------------------------------------------------------------------------


def as_document(answer: Answer) -> dict[str, Any]:
    """The pivot as JSON shows it: numbers that are not whole as texts, so that no digit is lost."""
    definition = answer.definition
    grid = answer.grid
    return {
        "data_source": definition.entity.plural,
        "currency": answer.currency,
        "row_dimensions": [dimension_document(item) for item in definition.rows],
        "column_dimensions": [dimension_document(item) for item in definition.columns],
        "values": [
            {
                "name": item.name,
                "label": item.label,
                "field": item.field_name,
                "aggregation": item.aggregation or "formula",
                "show_as": item.show_as,
                "format": format_of(item),
            }
            for item in definition.measures
        ],
        "rows": [header_document(item) for item in grid.rows],
        "columns": [header_document(item) for item in grid.columns],
        "cells": [
            [None if values is None else [plain_value(value) for value in values] for values in row]
            for row in grid.cells
        ],
        "row_count": answer.record_count,
        "limit": None,
        "complete": True,
        "generated_at": answer.generated_at.isoformat().replace("+00:00", "Z"),
    }


def dimension_document(item: Dimension) -> dict[str, Any]:
    return {
        "name": item.name,
        "label": item.label,
        "kind": item.field.kind.value,
        "bucket": item.bucket or None,
    }


def format_of(measure: Any) -> str:
    if measure.show_as in ("share_of_row", "share_of_column", "share_of_total", "growth"):
        return "percent"
    if measure.is_money:
        return "money"
    return measure.format or "number"


def header_document(header: Any) -> dict[str, Any]:
    return {
        "key": [key_document(part) for part in header.key],
        "labels": list(header.labels),
        "kind": header.kind,
    }


def key_document(part: Any) -> Any:
    """A key as JSON: `{"other": true}` for everything beside the largest."""
    return {"other": True} if part is OTHER else plain_value(part)


def plain_value(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


def read_key(document: Any, path: str) -> Key:
    """The key that a header's `key` says. Raises: Invalid."""
    if not isinstance(document, list):
        raise Invalid(faults=[Fault(path, "not_a_list", "A list of keys is expected, as headers have it.")])
    found: list[Any] = []
    for place, part in enumerate(document):
        if part == {"other": True}:
            found.append(OTHER)
        elif part is None or isinstance(part, str | int | bool | Decimal):
            if isinstance(part, str) and (
                "\x00" in part or any("\ud800" <= item <= "\udfff" for item in part)
            ):
                raise Invalid(faults=[Fault(f"{path}.{place}", "invalid_characters", "This is no key.")])
            found.append(part)
        else:
            raise Invalid(faults=[Fault(f"{path}.{place}", "not_a_key", "A key of a header is expected.")])
    return tuple(found)

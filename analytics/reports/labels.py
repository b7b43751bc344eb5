"""What people read for the keys of a dimension, and the order in which keys stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from analytics.reports.engine.layout import OTHER, Axis
from analytics.reports.pivots import Dimension
from core.entities.kinds import Kind

NOTHING = "(none)"
REST = "Other"
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def axis_of(
    dimensions: tuple[Dimension, ...], titles: Mapping[str, Mapping[Any, str]], fiscal_start: int
) -> Axis:
    """`titles`: by dimension, what the database calls the records behind its keys."""
    labels = tuple(label_of(item, titles.get(item.name, {}), fiscal_start) for item in dimensions)
    return Axis(
        labels,
        tuple(_order_of(item, label) for item, label in zip(dimensions, labels, strict=True)),
        tuple("" if item.bucket == "weekday" else item.bucket for item in dimensions),
    )


def label_of(dimension: Dimension, titles: Mapping[Any, str], fiscal_start: int) -> Callable[[Any], str]:
    choices = dict(dimension.field.choices)

    def label(key: Any) -> str:
        if key is None:
            return NOTHING
        if key is OTHER:
            return REST
        if dimension.bucket:
            return span_label(dimension.bucket, key, fiscal_start)
        if dimension.bin_size is not None:
            return f"{plain(key)} to {plain(key + dimension.bin_size)}"
        if isinstance(key, bool):
            return "Yes" if key else "No"
        if isinstance(key, Decimal):
            return plain(key)
        return titles.get(key) or choices.get(key) or str(key)

    return label


def span_label(bucket: str, key: Any, fiscal_start: int) -> str:
    """What people call a span: 2026, Q1 2026, March 2026, 2026-W05, 2026-03-31, Monday, FY2027, FY2027 Q1.

    A fiscal year is called by the year in which it ends.
    """
    match bucket:
        case "weekday":
            return WEEKDAYS[int(key) - 1]
        case "year":
            return str(key.year)
        case "quarter":
            return f"Q{(key.month - 1) // 3 + 1} {key.year}"
        case "month":
            return f"{key:%B} {key.year}"
        case "week":
            year, week, _ = key.isocalendar()
            return f"{year}-W{week:02}"
        case "fiscal_year":
            return f"FY{fiscal_year(key, fiscal_start)}"
        case "fiscal_quarter":
            return f"FY{fiscal_year(key, fiscal_start)} Q{(key.month - fiscal_start) % 12 // 3 + 1}"
    return str(key)


def fiscal_year(day: date, start: int) -> int:
    return day.year + (1 if start > 1 and day.month >= start else 0)


def plain(value: Decimal) -> str:
    """All digits that matter, grouped by thousands."""
    return f"{value.normalize():,f}" if value else "0"


def _order_of(dimension: Dimension, label: Callable[[Any], str]) -> Callable[[Any], Any]:
    if dimension.field.kind is Kind.CHOICE:
        places = {value: place for place, value in enumerate(dimension.field.choice_values)}
        return lambda key: (places.get(key, len(places)), str(key))
    if dimension.bucket or dimension.bin_size is not None:
        return lambda key: key
    if dimension.field.kind in (Kind.INTEGER, Kind.DECIMAL, Kind.MONEY, Kind.BOOLEAN):
        return lambda key: key
    return lambda key: (label(key).casefold(), str(key))


__all__ = ["NOTHING", "REST", "axis_of", "label_of", "span_label"]

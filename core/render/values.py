"""Cells as texts: exact for machines, readable for people. Each column's function is made once and called for every cell.

A cell may be a value of its type or the text of it as PostgreSQL writes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time
from babel.numbers import format_currency, format_decimal, format_percent, get_currency_precision

from core.render.documents import NUMBERS, CellType, Column, Document

Write = Callable[[Any], str]
# Of the readable kind: the cell and its row, for the currency.
Show = Callable[[Any, Sequence[Any]], str]


def number(value: Any) -> Decimal | None:
    """The value as an exact, finite number; None when it is none."""
    if isinstance(value, bool):
        return Decimal(int(value))
    try:
        found = value if isinstance(value, Decimal) else Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def plain_number(value: Any) -> str:
    """All digits, without an exponent; what is no finite number as it comes."""
    if type(value) is int:
        return str(value)
    found = number(value)
    return str(value) if found is None else format(found, "f")


def local(value: Any, zone: tzinfo) -> datetime | None:
    """A moment on the clocks of the zone; None when the value is none. Without a zone of its own it stays as it is."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    try:
        return value.astimezone(zone) if value.tzinfo is not None else value
    except OverflowError:
        return value


def day(value: Any) -> date | None:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, date) else None


def compact_json(value: Any) -> str:
    """The value as JSON on one line; a text is taken for JSON already."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


# --- for machines --------------------------------------------------------------------------------------------------


def machine_text(column: Column, zone: tzinfo) -> Write:
    """How cells of the column, None excepted, are written exactly: ISO dates, moments with their offset, all digits."""
    match column.type:
        case CellType.DATETIME:
            return lambda value: moment.isoformat() if (moment := local(value, zone)) else str(value)
        case CellType.DATE:
            return lambda value: value if isinstance(value, str) else value.isoformat()
        case CellType.BOOLEAN:
            return lambda value: ("true" if value else "false") if isinstance(value, bool) else str(value)
        case CellType.LIST:
            return lambda value: value if isinstance(value, str) else ",".join(map(str, value))
        case CellType.JSON:
            return compact_json
        case kind if kind in NUMBERS:
            return plain_number
    return str


# --- for people ----------------------------------------------------------------------------------------------------


@lru_cache(64)
def known_locale(name: str) -> Locale:
    """The locale; American English where there is no such."""
    try:
        return Locale.parse(name.replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        return Locale.parse("en_US")


@lru_cache(1024)
def _decimals_pattern(decimals: int) -> str:
    return "#,##0" + ("." + "0" * decimals if decimals else "")


def places(value: Decimal) -> int:
    return max(0, -int(value.as_tuple().exponent))


def show_number(value: Any, locale: Locale, decimals: int | None) -> str:
    found = number(value)
    if found is None:
        return str(value)
    shown = places(found) if decimals is None else decimals
    return str(format_decimal(found, _decimals_pattern(min(shown, 30)), locale=locale))


def show_money(value: Any, currency: str, locale: Locale, decimals: int | None) -> str:
    found = number(value)
    if found is None:
        return str(value)
    if not currency:
        return show_number(found, locale, max(2, places(found)) if decimals is None else decimals)
    wanted = get_currency_precision(currency) if decimals is None else decimals
    # More digits than the currency has are shown rather than rounded away.
    shown = max(wanted, places(found.normalize())) if decimals is None else wanted
    pattern = locale.currency_formats["standard"].pattern.replace("0.00", _decimals_pattern(shown)[4:])
    return str(format_currency(found, currency, pattern, locale=locale, currency_digits=False))


def show_percent(value: Any, locale: Locale, decimals: int | None) -> str:
    found = number(value)
    if found is None:
        return str(value)
    pattern = locale.percent_formats[None].pattern
    digits = 1 if decimals is None else decimals
    return str(format_percent(found, pattern.replace("0", _decimals_pattern(digits)[4:], 1) if "#,##0" in pattern else
                              None, locale=locale))  # fmt: skip


def show_moment(value: datetime, locale: Locale) -> str:
    try:
        return f"{format_date(value.date(), 'medium', locale=locale)}, {format_time(value.time(), 'HH:mm', locale=locale)}"
    except (OverflowError, ValueError):
        return value.isoformat()


def readable(column: Column, columns: Sequence[Column], document: Document) -> Show:
    """How people read cells of the column, None excepted."""
    locale, zone = known_locale(document.locale), document.zone
    match column.type:
        case CellType.INTEGER | CellType.DECIMAL:
            return lambda value, row: show_number(value, locale, column.decimals)
        case CellType.PERCENT:
            return lambda value, row: show_percent(value, locale, column.decimals)
        case CellType.MONEY:
            currency = currency_of(column, columns)
            return lambda value, row: show_money(value, currency(row), locale, column.decimals)
        case CellType.BOOLEAN:
            return lambda value, row: "Yes" if value is True or value == "true" else "No"
        case CellType.DATE:
            return lambda value, row: (
                str(format_date(found, "medium", locale=locale)) if (found := day(value)) else str(value)
            )
        case CellType.DATETIME:
            return lambda value, row: (
                show_moment(found, locale) if (found := local(value, zone)) else str(value)
            )
        case CellType.LIST:
            return lambda value, row: value if isinstance(value, str) else ", ".join(map(str, value))
        case CellType.JSON:
            return lambda value, row: compact_json(value)
    if choices := column.choices:
        return lambda value, row: choices.get(value, str(value))
    return lambda value, row: value if isinstance(value, str) else str(value)


def currency_of(column: Column, columns: Sequence[Column]) -> Callable[[Sequence[Any]], str]:
    """The currency of a row's amount in the column."""
    if column.currency_column:
        place = next((i for i, other in enumerate(columns) if other.name == column.currency_column), None)
        if place is not None:
            return lambda row: row[place] or ""
    return lambda row: column.currency


def zone_name(zone: tzinfo) -> str:
    return str(zone)

"""A pivot as a table of the back office: numbers as people read them, cells that lead to their records."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from analytics.reports.engine.layout import Header
from analytics.reports.queries import Answer, format_of, key_document
from core.backoffice.values import show_money, show_number

# What a page shows; the file holds everything.
ROWS_SHOWN = 500
COLUMNS_SHOWN = 60


def grid_context(answer: Answer, drill_url: str = "") -> dict[str, Any]:
    """What `backoffice/report_grid.html` shows. Without `drill_url` cells lead nowhere."""
    definition = answer.definition
    rows, columns = answer.grid.rows[:ROWS_SHOWN], answer.grid.columns[:COLUMNS_SHOWN]
    wide = max(1, len(definition.rows))
    shows = [_shown(format_of(measure), answer.currency) for measure in definition.measures]
    several = len(shows) > 1
    lines = []
    for place, header in enumerate(rows):
        cells = []
        for number, beside in enumerate(columns):
            values = answer.grid.cells[place][number]
            url = _url(drill_url, header, beside) if values is not None and drill_url else ""
            is_total = header.kind != "detail" or beside.kind != "detail"
            cells += [
                {"text": "" if values is None else show(values[at]), "url": url, "is_total": is_total}
                for at, show in enumerate(shows)
            ]
        labels = list(header.labels)
        if header.kind != "detail":
            labels = [*labels, "Total"]
        lines.append(
            {
                "labels": [*labels[:wide], *[""] * (wide - len(labels))],
                "cells": cells,
                "kind": header.kind,
            }
        )
    return {
        "corner": [item.label for item in definition.rows] or [""],
        "headings": [{"label": _heading(item), "is_total": item.kind != "detail"} for item in columns],
        "measures": [item.label for item in definition.measures],
        "span": len(shows),
        "has_headings": bool(definition.columns),
        "has_measures": several or not definition.columns,
        "lines": lines,
        "record_count": answer.record_count,
        "is_cut": len(answer.grid.rows) > ROWS_SHOWN or len(answer.grid.columns) > COLUMNS_SHOWN,
        "noun": definition.entity.noun_plural,
        "currency": answer.currency,
    }


def _heading(header: Header) -> str:
    if header.kind == "total":
        return "Total"
    return " · ".join([*header.labels, *(["Total"] if header.kind == "subtotal" else [])])


def _url(drill_url: str, row: Header, column: Header) -> str:
    keys = {
        name: json.dumps([key_document(part) for part in header.key])
        for name, header in (("row", row), ("column", column))
    }
    return f"{drill_url}?{urlencode(keys)}"


def _shown(kind: str, currency: str) -> Callable[[Any], str]:
    def show(value: Any) -> str:
        if value is None:
            return "—"
        if not isinstance(value, int | Decimal):
            return str(value)
        if kind == "percent":
            return f"{show_number(round(value * 100, 1))} %"
        if kind == "money":
            return show_money(round(Decimal(value), 2), currency)
        return show_number(round(value, 2) if isinstance(value, Decimal) else value)

    return show

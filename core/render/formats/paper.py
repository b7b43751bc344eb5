"""PDF by Typst: pages with numbers, headers of tables on each page, text that can be selected.

A printed table is bounded (`PDF_ROWS`, and `MAX_CELLS` over all columns); the document says when rows are left out. A table too
wide for the page is printed in bands of columns, the first column in each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.render.charts import Chart
from core.render.charts.images import ChartsNotInstalled, svg
from core.render.documents import CellType, Column, Document, Row, Table, TotalRow
from core.render.fonts import font_book, fonts_for
from core.render.rendering import NotRenderable, Rendering
from core.render.text import printable
from core.render.values import known_locale, readable, show_moment, show_number, zone_name

MAX_CELLS = 60_000
# Longer texts are cut, and say by how much.
MAX_CHARACTERS = 5_000
# Points, at the size the layout sets.
PORTRAIT, LANDSCAPE = 510.0, 756.0
PER_CHARACTER, PADDING = 4.9, 11.0
MIN_WIDTH, MAX_WIDTH = 34.0, 240.0
# Text columns may wrap down to this.
WRAPPED_WIDTH = 78.0
_WORD = re.compile(r"\S+")


@dataclass
class _Column:
    column: Column
    width: float
    # What may not wrap needs its width.
    is_rigid: bool


@dataclass
class _Printed:
    """A table as texts."""

    table: Table
    rows: list[list[str | None]] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def write_pdf(rendering: Rendering, *, paper: str = "a4") -> None:
    """Raises: NotRenderable where the optional package typst is not installed."""
    try:
        import typst
    except ModuleNotFoundError:
        raise NotRenderable("PDF files need the optional package typst, which is not installed.") from None
    content = json.dumps(_content(rendering, paper), ensure_ascii=False)
    compiler = typst.Compiler(_layout(), font_paths=font_book(), sys_inputs={"document": content})
    moment = rendering.document.generated_at
    pdf = compiler.compile(format="pdf", timestamp=int(moment.timestamp()) if moment else None)
    if not isinstance(pdf, bytes):
        raise TypeError("Typst made no PDF.")
    rendering.write(pdf)


@lru_cache(1)
def _layout() -> bytes:
    return Path(__file__).with_suffix(".typ").read_bytes()


def _content(rendering: Rendering, paper: str) -> dict[str, Any]:
    document = rendering.document
    printed = [part if isinstance(part, Chart) else _printed(rendering, part) for part in document.parts]
    plans = {id(part): _planned(part) for part in printed if isinstance(part, _Printed)}
    is_wide = any(sum(item.width for item in plan) > PORTRAIT for plan in plans.values())
    room = LANDSCAPE if is_wide else PORTRAIT
    parts = [
        _chart(rendering, part, is_wide) if isinstance(part, Chart) else _part(part, plans[id(part)], room)
        for part in printed
    ]
    facts = [[printable(label), printable(value)] for label, value in _facts(document)]
    content: dict[str, Any] = {
        "title": printable(document.title),
        "subtitle": printable(document.subtitle),
        "company": printable(document.company),
        "author": printable(document.generated_by),
        "language": known_locale(document.locale).language,
        "paper": paper,
        "landscape": is_wide,
        "facts": facts,
        "notes": [printable(note) for note in document.notes],
        "parts": [part for part in parts if part],
    }
    fonts, missing = fonts_for(json.dumps(content, ensure_ascii=False))
    if missing:
        rendering.leave_out(
            f"No font for {' and '.join(missing)} is installed: these characters show as empty boxes. Excel, CSV, HTML "
            "and JSON files hold them."
        )
    said_at_tables = {notice for part in printed if isinstance(part, _Printed) for notice in part.notices}
    notices = [notice for notice in rendering.notices if notice not in said_at_tables]
    return {
        **content,
        "fonts": fonts,
        "notices": notices,
        "footer": printable(" · ".join(_footer(rendering))),
    }


def _facts(document: Document) -> Iterator[tuple[str, str]]:
    yield from document.parameters
    if document.generated_at is not None:
        moment = document.generated_at.astimezone(document.zone)
        yield "Generated", show_moment(moment, known_locale(document.locale))
    if document.generated_by:
        yield "By", document.generated_by


def _footer(rendering: Rendering) -> Iterator[str]:
    count = rendering.row_count
    yield f"{show_number(count, known_locale(rendering.document.locale), 0)} row{'' if count == 1 else 's'}"
    if not rendering.is_complete:
        yield "incomplete"
    yield f"times in {zone_name(rendering.document.zone)}"


# --- tables --------------------------------------------------------------------------------------------------------


def _printed(rendering: Rendering, table: Table) -> _Printed:
    most = max(1, MAX_CELLS // max(1, len(table.columns)))
    limited = replace(table, limit=min(most, table.limit) if table.limit is not None else most)
    shows = [readable(column, table.columns, rendering.document) for column in table.columns]
    printed = _Printed(table)
    notices_before = len(rendering.notices)
    for row in rendering.rows(limited):
        cells, role = _unpacked(row)
        printed.rows.append(
            [
                None if value is None else _shortened(printable(show(value, cells)))
                for show, value in zip(shows, cells, strict=True)
            ]
        )
        printed.roles.append(role)
    printed.notices = rendering.notices[notices_before:]
    return printed


def _unpacked(row: Row) -> tuple[Sequence[Any], str]:
    if isinstance(row, TotalRow):
        return row.cells, "subtotal" if row.level else "total"
    return row, ""


def _shortened(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return text
    return f"{text[:MAX_CHARACTERS]}… ({len(text) - MAX_CHARACTERS:,} more characters)"


def _label(column: Column) -> str:
    return printable(f"{column.label} ({column.currency})" if column.currency else column.label)


def _planned(printed: _Printed) -> list[_Column]:
    """The width each column would like, of what stands in it."""
    planned = []
    for place, column in enumerate(printed.table.columns):
        is_rigid = column.is_number or column.type in (CellType.DATE, CellType.DATETIME, CellType.BOOLEAN)
        lengths = sorted(_length(row[place]) for row in printed.rows)
        # Long exceptions wrap; numbers and dates do not.
        typical = (lengths[-1] if is_rigid else lengths[int(len(lengths) * 0.95)]) if lengths else 0
        heading = max((len(word) for word in _label(column).split()), default=0)
        width = max(typical, heading) * PER_CHARACTER + PADDING
        planned.append(_Column(column, min(MAX_WIDTH, max(MIN_WIDTH, width)), is_rigid))
    return planned


def _length(text: str | None) -> int:
    if text is None:
        return 1
    longest = max(text.split("\n"), key=len, default="")[:200]
    # Characters of East Asia are about twice as wide.
    return len(longest) + sum(1 for character in longest if character > "\u2e7f")


def _part(printed: _Printed, planned: list[_Column], room: float) -> dict[str, Any]:
    bands = [_band(printed, planned, places) for places in _bands(planned, room)]
    if len(bands) > 1:
        total = len(planned)
        for band in bands:
            first, last = band.pop("first"), band.pop("last")
            band["caption"] = f"Columns {first} to {last} of {total}"
    return {
        "kind": "table",
        "title": printable(printed.table.title),
        "roles": printed.roles,
        "notices": [printable(notice) for notice in printed.notices],
        "bands": bands,
    }


def _bands(planned: list[_Column], room: float) -> list[list[int]]:
    """Which columns are printed beside each other. Columns of text give way before a table is divided."""
    excess = sum(item.width for item in planned) - room
    if excess > 0:
        soft = sum(max(0.0, item.width - WRAPPED_WIDTH) for item in planned if not item.is_rigid)
        share = min(1.0, excess / soft) if soft else 0.0
        for item in planned:
            if not item.is_rigid and item.width > WRAPPED_WIDTH:
                item.width -= (item.width - WRAPPED_WIDTH) * share
    if not planned:
        return []
    bands, used = [[0]], planned[0].width
    for place, item in enumerate(planned[1:], 1):
        if used + item.width > room + 1 and len(bands[-1]) > 1:
            bands.append([0])
            used = planned[0].width
        bands[-1].append(place)
        used += item.width
    return bands


def _band(printed: _Printed, planned: list[_Column], places: list[int]) -> dict[str, Any]:
    columns = [planned[place] for place in places]
    room = [max(6, int((item.width - PADDING) / PER_CHARACTER)) for item in columns]
    return {
        "caption": "",
        "first": places[min(1, len(places) - 1)] + 1 if places[0] == 0 and len(places) > 1 else places[0] + 1,
        "last": places[-1] + 1,
        "widths": [round(item.width, 1) for item in columns],
        "alignments": [item.column.alignment for item in columns],
        "headings": [_breakable(_label(item.column), most) for item, most in zip(columns, room, strict=True)],
        "rows": [
            [None if row[place] is None else _breakable(row[place] or "", most) for place, most in zip(places, room, strict=True)]
            for row in printed.rows
        ],
    }  # fmt: skip


def _breakable(text: str, most: int) -> str:
    """Words too long for the column get places where they may break."""
    if len(text) <= most:
        return text

    def parted(found: re.Match[str]) -> str:
        word = found.group()
        if len(word) <= most:
            return word
        return "\u200b".join(word[start : start + most] for start in range(0, len(word), most))

    return _WORD.sub(parted, text)


# --- charts --------------------------------------------------------------------------------------------------------


def _chart(rendering: Rendering, chart: Chart, is_wide: bool) -> dict[str, Any] | None:
    try:
        picture = svg(chart, locale=rendering.document.locale)
    except ChartsNotInstalled as error:
        rendering.leave_out(f"{chart.title}: {error}")
        return None
    return {
        "kind": "chart",
        "svg": picture,
        "alt": printable(chart.description),
        "width": 72 if is_wide else 100,
    }

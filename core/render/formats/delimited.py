"""CSV as RFC 4180 has it, streamed, with every text disarmed that a spreadsheet would calculate.

Nothing is an empty cell and the empty text a quoted one, as PostgreSQL has it. In a file of one column nothing is quoted
too, for an empty line would be no row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, tzinfo
from typing import Any

from core.render.documents import NUMBERS, CellType, Column, Row, TotalRow
from core.render.rendering import NotRenderable, Rendering
from core.render.text import encodable, safe_text
from core.render.values import machine_text, number

BOM = b"\xef\xbb\xbf"
DELIMITERS = (",", ";", "\t", "|")
FLUSH_AT = 1 << 16
_QUOTED = {mark: re.compile(f'["\r\n{re.escape(mark)}]|^$|^[ ]|[ ]$') for mark in DELIMITERS}


def write_csv(rendering: Rendering, *, delimiter: str = ",", bom: bool = False, labels: bool = False) -> None:
    """Columns are headed by their names, or by what people call them (`labels`). `bom` has Excel read it as UTF-8."""
    if delimiter not in DELIMITERS:
        raise NotRenderable(
            f"The delimiter {delimiter!r} is not one of: comma, semicolon, tab, vertical bar."
        )
    (table,) = rendering.document.tables
    if bom:
        rendering.write(BOM)
    headings = [column.label if labels else column.name for column in table.columns]
    for block in csv_blocks(
        headings, table.columns, rendering.rows(table), delimiter, rendering.document.zone
    ):
        rendering.write(block)


def csv_blocks(
    headings: Sequence[str],
    columns: Sequence[Column],
    rows: Iterable[Row],
    delimiter: str = ",",
    zone: tzinfo = UTC,
) -> Iterator[bytes]:
    """The file in blocks of some 64 kB, headings first."""
    quote = _quoting(delimiter)
    writers = [_cell(column, quote, zone) for column in columns]
    nothing = '""' if len(columns) == 1 else ""
    lines = [delimiter.join(quote(safe_text(encodable(heading))) for heading in headings)]
    size = 0
    for row in rows:
        cells = row.cells if isinstance(row, TotalRow) else row
        line = delimiter.join(
            nothing if value is None else write(value) for write, value in zip(writers, cells, strict=True)
        )
        lines.append(line)
        size += len(line)
        if size >= FLUSH_AT:
            lines.append("")
            yield "\r\n".join(lines).encode()
            lines.clear()
            size = 0
    if lines:
        lines.append("")
        yield "\r\n".join(lines).encode()


def _quoting(delimiter: str) -> Callable[[str], str]:
    search = _QUOTED[delimiter].search

    def quote(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if search(text) else text

    return quote


def _cell(column: Column, quote: Callable[[str], str], zone: tzinfo) -> Callable[[Any], str]:
    write = machine_text(column, zone)
    if column.type in NUMBERS:
        # Numbers stay numbers; whatever else comes in such a column is a text.
        return lambda value: (
            write(value)
            if type(value) is int or number(value) is not None
            else quote(safe_text(encodable(write(value))))
        )
    if column.type is CellType.BOOLEAN:
        return lambda value: (
            write(value) if value is True or value is False else quote(safe_text(write(value)))
        )
    return lambda value: quote(safe_text(encodable(write(value))))

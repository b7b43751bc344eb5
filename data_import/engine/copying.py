"""Records as PostgreSQL COPY data, made in blocks so that little work is left per row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple

from data_import.engine.detect import Detection
from data_import.engine.records import ParsedRecord, read_records

Layout = Literal["array", "columns"]

# Stand for cell and record borders while a block is escaped as one text; a record that holds them is
# escaped cell by cell instead.
_CELL, _ROW = "\x1f", "\x1e"


class CopyChunk(NamedTuple):
    """A block for `COPY … FROM STDIN` in the default text format (not CSV), UTF-8.

    `array`: columns (number, fault json, raw text[]). `columns`: (number, fault json, one text column for
    each header); there a record of another width is padded or cut, and its fault holds the whole `raw`.
    `fault` is NULL for a sound record. An empty cell is an empty string, never NULL.
    """

    first_number: int
    last_number: int
    rows: int
    faults: int
    data: bytes


def copy_chunks(
    stream: BinaryIO, detection: Detection, *, layout: Layout = "array", size: int = 10_000
) -> Iterator[CopyChunk]:
    """Blocks of at most `size` records in order. Blank records are left out, faulty ones are in.

    Memory is bounded by one block. Raises what `read_records` raises.
    """
    width = detection.column_count
    block = _Block(layout, width)
    for record in read_records(stream, detection):
        block.add(record)
        if len(block.lines) >= size:
            yield block.chunk()
            block = _Block(layout, width)
    if block.lines:
        yield block.chunk()


class _Block:
    """Records on their way to one chunk. Each is joined to one string at once, so that its cells are freed
    while they are still in the processor's cache; escaping is done on the block as a whole."""

    def __init__(self, layout: Layout, width: int) -> None:
        self.array = layout == "array"
        self.width = width
        self.numbers: list[int] = []
        self.lines: list[str] = []
        self.special: dict[int, str] = {}
        self.faults = 0

    def add(self, record: ParsedRecord) -> None:
        number, values, fault = record
        line = _CELL.join(values)
        if fault is not None or line.count(_CELL) != self.width - 1 or _ROW in line:
            self.special[len(self.lines)] = (
                _array_line(record) if self.array else _columns_line(record, self.width)
            )
            self.faults += fault is not None
            line = ""
        self.numbers.append(number)
        self.lines.append(line)

    def chunk(self) -> CopyChunk:
        text = _ROW.join(self.lines)
        if self.array:
            text = _escape(text.replace("\\", "\\\\").replace('"', '\\"')).replace(_CELL, '","')
            start, end = '\t\\N\t{"', '"}\n'
        else:
            text = _escape(text).replace(_CELL, "\t")
            start, end = "\t\\N\t", "\n"
        cells = text.split(_ROW)
        lines = [f"{number}{start}{line}{end}" for number, line in zip(self.numbers, cells, strict=True)]
        for position, line in self.special.items():
            lines[position] = line
        data = "".join(lines).encode()
        return CopyChunk(self.numbers[0], self.numbers[-1], len(lines), self.faults, data)


def _array_line(record: ParsedRecord) -> str:
    cells = ",".join('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in record.values)
    return f"{record.number}\t{_fault(record, raw=False)}\t{_escape('{' + cells + '}')}\n"


def _columns_line(record: ParsedRecord, width: int) -> str:
    values = (record.values + [""] * (width - len(record.values)))[:width]
    cells = "\t".join(map(_escape, values))
    return f"{record.number}\t{_fault(record, raw=True)}\t{cells}\n"


def _fault(record: ParsedRecord, *, raw: bool) -> str:
    fault = record.fault
    if fault is None:
        return "\\N"
    content: dict[str, object] = {"code": fault.code, "detail": fault.detail}
    if fault.expected is not None:
        content |= {"expected": fault.expected, "found": fault.found}
    if raw:
        content["raw"] = record.values
    return _escape(json.dumps(content, ensure_ascii=False))


def _escape(text: str) -> str:
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if "\t" in text:
        text = text.replace("\t", "\\t")
    if "\r" in text:
        text = text.replace("\r", "\\r")
    if "\n" in text:
        text = text.replace("\n", "\\n")
    return text

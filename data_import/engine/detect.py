"""What a delimited text file holds, found from a bounded sample; the encoding from the whole file."""

from __future__ import annotations

import re
import unicodedata
from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike
from typing import BinaryIO

from data_import.engine import dialect as dialects
from data_import.engine.dialect import Dialect
from data_import.engine.encoding import Encoding, find_encoding, refuse_other_formats, refuse_other_text
from data_import.engine.limits import (
    MAX_CELL_CHARS,
    MAX_COLUMNS,
    MAX_HEADER_CHARS,
    MAX_LEADING_RECORDS,
    MAX_RECORD_CHARS,
    SAMPLE_BYTES,
    UnusableFile,
)

_SAMPLE_ROWS = 100
_NUMBER = re.compile(r"[-+(]?[$€£]?\s?\d[\d.,' \u00a0\u202f]*%?\)?")
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?")
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, slots=True)
class Hints:
    """What a template or a user already says; None means: find out.

    `header_row` is the 0-based record index of the header; `has_header=False` says there is none.
    `quote` may be empty (quotes are plain characters).
    """

    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    header_row: int | None = None
    has_header: bool | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to show to whoever imports; `column` is a 0-based position or None."""

    code: str
    detail: str
    column: int | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """Everything `records.read_records` needs, and what a person wants to see before going on.

    `header_row` is a 0-based record index or None without a header; `headers` are unique, `raw_headers`
    as written. `newline` is crlf, lf, cr, mixed or none. `bad_at` is the byte offset of the first byte that
    is not UTF-8 in a file that otherwise is; only the records holding such bytes are faults.
    """

    encoding: str
    bom_length: int
    dialect: Dialect
    header_row: int | None
    headers: tuple[str, ...]
    raw_headers: tuple[str, ...]
    newline: str
    sample_rows: tuple[tuple[str, ...], ...]
    warnings: tuple[Notice, ...] = ()
    evidence: tuple[str, ...] = ()
    bad_at: int | None = None
    kind: str = field(default="csv")

    @property
    def bom(self) -> bool:
        return self.bom_length > 0

    @property
    def delimiter(self) -> str:
        return self.dialect.delimiter

    @property
    def quote(self) -> str:
        return self.dialect.quote

    @property
    def column_count(self) -> int:
        return len(self.headers)


@contextmanager
def opened(source: str | PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    """A path opened for reading, or a seekable binary file left at the position where it stood."""
    if isinstance(source, str | PathLike):
        with open(source, "rb") as file:
            yield file
        return
    position = source.tell()
    try:
        yield source
    finally:
        source.seek(position)


def detect(source: str | PathLike[str] | BinaryIO, *, hints: Hints | None = None) -> Detection:
    """Looks at a file (path or seekable binary file, read from its beginning).

    Memory is bounded by the sample. Raises `UnusableFile`.
    """
    hints = hints or Hints()
    _check_hints(hints)
    with opened(source) as file:
        file.seek(0)
        sample = file.read(SAMPLE_BYTES)
        if not sample:
            raise UnusableFile("empty", "The file has no content.")
        if not sample.strip(b" \t\r\n\x0b\x0c") and not file.read(1):
            raise UnusableFile("blank", "The file holds only blanks.")
        refuse_other_formats(sample)
        encoding = find_encoding(file, sample, hints.encoding)
        text, complete = _sample_text(file, encoding, hints.delimiter)
    if not text.strip():
        raise UnusableFile("blank", "The file holds only blanks.")
    refuse_other_text(text)
    dialect, evidence = dialects.find_dialect(text, delimiter=hints.delimiter, quote=hints.quote)
    records = _sample_records(text, dialect)
    header_row = _find_header(records, hints)
    return _describe(encoding, dialect, evidence, text, records, header_row, complete)


def _check_hints(hints: Hints) -> None:
    if hints.delimiter is not None and (len(hints.delimiter) != 1 or hints.delimiter in '\r\n\0"\\'):
        raise UnusableFile(
            "bad_hint", "The delimiter must be one character, no quote, backslash or line end."
        )
    if hints.quote is not None and (len(hints.quote) > 1 or hints.quote in {"\r", "\n", "\0", "\\", " "}):
        raise UnusableFile("bad_hint", "The quote must be one character or nothing.")
    if hints.quote and hints.quote == hints.delimiter:
        raise UnusableFile("bad_hint", "Delimiter and quote must differ.")
    if hints.header_row is not None and hints.header_row < 0:
        raise UnusableFile("bad_hint", "The header row counts from 0.")


def _sample_text(file: BinaryIO, encoding: Encoding, delimiter: str | None) -> tuple[str, bool]:
    """The text of the first bytes and whether that is all; a cut last line is dropped."""
    decoder = getincrementaldecoder(encoding.name)(
        "surrogateescape" if encoding.bad_at is not None else "strict"
    )
    file.seek(encoding.bom_length)
    text, complete = "", False
    while not complete:
        block = file.read(SAMPLE_BYTES)
        complete = len(block) < SAMPLE_BYTES
        text += decoder.decode(block, final=complete)
        end = max(text.rfind("\n"), text.rfind("\r"))
        if complete or end >= 0:
            break
        if len(text) > MAX_RECORD_CHARS:
            columns = max(text.count(mark) for mark in (delimiter or ",;\t|")) + 1
            if columns > MAX_COLUMNS:
                _refuse_columns(columns)
            raise UnusableFile(
                "line_too_long", f"The first line is longer than {MAX_RECORD_CHARS:,} characters."
            )
    return (text if complete else text[: end + 1]), complete


def _sample_records(text: str, dialect: Dialect) -> list[list[str]]:
    first_line = text.lstrip("\r\n").partition("\n")[0].partition("\r")[0]
    if len(first_line) > MAX_CELL_CHARS and first_line.count(dialect.delimiter) < MAX_COLUMNS:
        longest = max(map(len, first_line.split(dialect.delimiter)))
        if longest > MAX_CELL_CHARS:
            raise UnusableFile(
                "line_too_long",
                f"A cell of the first line has {longest:,} characters; the limit is {MAX_CELL_CHARS:,}.",
            )
    if first_line.count(dialect.delimiter) > MAX_COLUMNS * 100:
        _refuse_columns(first_line.count(dialect.delimiter) + 1)
    return dialects.parse_sample(text, dialect)


def _refuse_columns(count: int) -> None:
    raise UnusableFile(
        "too_many_columns", f"The file has at least {count:,} columns; the limit is {MAX_COLUMNS:,}."
    )


def _filled(record: Sequence[str]) -> int:
    return sum(1 for cell in record if cell.strip())


def _is_value(cell: str) -> bool:
    cell = cell.strip()
    return any(pattern.fullmatch(cell) for pattern in (_NUMBER, _DATE, _MAIL))


def _like_header(record: Sequence[str]) -> bool:
    names = [cell.strip() for cell in record if cell.strip()]
    return len(names) == len(set(names)) and not any(map(_is_value, names))


def _find_header(records: list[list[str]], hints: Hints) -> int | None:
    if hints.has_header is False:
        return None
    if hints.header_row is not None:
        if hints.header_row >= len(records) or not _filled(records[hints.header_row]):
            raise UnusableFile("header_not_found", f"Record {hints.header_row} does not exist or is blank.")
        return hints.header_row
    first = next((index for index, record in enumerate(records) if _filled(record)), None)
    if first is None:
        raise UnusableFile("blank", "The file holds only blanks.")
    widths = Counter(len(record) for record in records if _filled(record))
    width = widths.most_common(1)[0][0]
    if width < 2 or _filled(records[first]) * 2 > width:
        return first
    # Titles and notes fill few cells; the header is the first record that fills most of the table.
    for index in range(first + 1, min(first + MAX_LEADING_RECORDS, len(records))):
        record = records[index]
        if _filled(record) * 2 > width:
            narrow = all(len(leading) < width for leading in records[first:index] if _filled(leading))
            return index if narrow or _like_header(record) else first
    return first


def _describe(
    encoding: Encoding,
    dialect: Dialect,
    evidence: tuple[str, ...],
    text: str,
    records: list[list[str]],
    header_row: int | None,
    complete: bool,
) -> Detection:
    body = records if header_row is None else records[header_row + 1 :]
    rows = [record for record in body if any(map(str.strip, record))]
    if header_row is None:
        raw: list[str] = [""] * Counter(map(len, rows)).most_common(1)[0][0] if rows else []
    else:
        raw = records[header_row]
    if len(raw) > MAX_COLUMNS:
        _refuse_columns(len(raw))
    if not rows and not complete and header_row is None:
        raise UnusableFile("blank", f"The first {SAMPLE_BYTES:,} bytes hold only blanks.")
    if not rows and complete:
        if header_row is None:
            raise UnusableFile("blank", "The file holds only blanks.")
        raise UnusableFile("header_only", "The file has a header and no records.")
    headers, warnings = clean_headers(raw, named=header_row is not None)
    if header_row is not None and any(map(_is_value, raw)):
        warnings.append(
            Notice("header_looks_like_data", "The header holds values; the file may have no header.")
        )
    if encoding.bad_at is not None:
        warnings.append(
            Notice(
                "damaged_encoding", f"Not all of the file is UTF-8: first at byte offset {encoding.bad_at}."
            )
        )
    leading = [record for record in records[: header_row or 0] if any(map(str.strip, record))]
    if leading:
        warnings.append(Notice("leading_records", f"{len(leading)} records before the header are no data."))
    return Detection(
        encoding=encoding.name,
        bom_length=encoding.bom_length,
        dialect=dialect,
        header_row=header_row,
        headers=tuple(headers),
        raw_headers=tuple(raw) if header_row is not None else (),
        newline=dialects.find_newline(text),
        sample_rows=tuple(tuple(row) for row in rows[:_SAMPLE_ROWS]),
        warnings=tuple(warnings),
        evidence=(f"encoding: {encoding.evidence}", *evidence),
        bad_at=encoding.bad_at,
    )


def clean_headers(raw: Sequence[str], *, named: bool = True) -> tuple[list[str], list[Notice]]:
    """Unique readable names: white space and control characters become one space, a blank name becomes
    `column_N` (1-based), the second `name` becomes `name_2`; each change but the first kind is a warning.
    With `named=False` there is no header and no warning."""
    names: list[str] = []
    warnings: list[Notice] = []
    taken = {_readable(cell) for cell in raw}
    used: set[str] = set()
    for position, cell in enumerate(raw):
        name = _readable(cell)
        if not name:
            name = _free(f"column_{position + 1}", used | taken)
            if named:
                warnings.append(Notice("blank_header", f"Column {position + 1} is called {name}.", position))
        elif name in used:
            new = _free_number(name, used | taken)
            warnings.append(
                Notice("duplicate_header", f"{name!r} stands more than once; here it is {new!r}.", position)
            )
            name = new
        if len(_readable(cell, limit=None)) > MAX_HEADER_CHARS:
            warnings.append(
                Notice("long_header", f"The name was cut to {MAX_HEADER_CHARS} characters.", position)
            )
        used.add(name)
        names.append(name)
    return names, warnings


def _readable(cell: str, limit: int | None = MAX_HEADER_CHARS) -> str:
    spaced = "".join(
        " " if unicodedata.category(character) in {"Cc", "Zs", "Zl", "Zp"} else character
        for character in cell
        if unicodedata.category(character) not in {"Cf", "Cs"}
    )
    return " ".join(spaced.split())[:limit]


def _free(name: str, used: set[str]) -> str:
    return name if name not in used else _free_number(name, used)


def _free_number(name: str, used: set[str]) -> str:
    number = 2
    while f"{name}_{number}" in used:
        number += 1
    return f"{name}_{number}"

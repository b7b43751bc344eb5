"""Reading the records of a detected file: streaming, numbered, each fault on its record alone."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, NamedTuple

from data_import.engine.detect import Detection
from data_import.engine.dialect import Dialect
from data_import.engine.limits import (
    MAX_CELL_CHARS,
    MAX_COLUMNS,
    MAX_RECORD_CHARS,
    MAX_REREAD_CHARS,
    UnusableFile,
)


@dataclass(frozen=True, slots=True)
class RecordFault:
    """Why one record cannot be used: `wrong_width`, `nul`, `bad_encoding`, `runaway_quote`,
    `cell_too_long` or `record_too_long`. Widths are given where they matter."""

    code: str
    detail: str
    expected: int | None = None
    found: int | None = None


class ParsedRecord(NamedTuple):
    """`number` counts the records behind the header from 1, blank ones included; `values` are as written,
    also where there is a fault (then possibly cut to the limits)."""

    number: int
    values: list[str]
    fault: RecordFault | None


class _Runaway(Exception):
    """The record being read has grown beyond the limit, or the file ended inside a quoted cell."""


class _LongLine(Exception):
    """A line without an end within the limit; the rest of it is already skipped."""


class RecordReader:
    """Iterates over the records of a binary stream as `ParsedRecord`; blank records are counted, not given.

    Memory is bounded by `MAX_RECORD_CHARS`. After the last record `number` is the number of the last
    record and `blank_count`, `fault_count` tell how many were left out or faulty. Raises `UnusableFile`:
    `encoding_mismatch` when the bytes stop decoding, `too_many_runaway_quotes`.
    """

    def __init__(self, stream: BinaryIO, detection: Detection) -> None:
        self.number = 0
        self.blank_count = 0
        self.fault_count = 0
        self._detection = detection
        self._stream = stream
        self._pending: list[str] = []
        self._replay: deque[str] = deque()
        self._reread = 0
        self._nul = False

    def __iter__(self) -> Iterator[ParsedRecord]:
        detection = self._detection
        self._stream.seek(detection.bom_length)
        text = io.TextIOWrapper(
            self._stream,
            encoding=detection.encoding,
            errors="strict" if detection.bad_at is None else "surrogateescape",
            newline="",
        )
        try:
            yield from self._records(text.readline)
        except UnicodeDecodeError as error:
            raise UnusableFile(
                "encoding_mismatch",
                f"Behind record {self.number} the file is not {detection.encoding}: {error.reason}.",
            ) from error
        finally:
            if not self._stream.closed:
                text.detach()

    def _records(self, readline: Callable[[int], str]) -> Iterator[ParsedRecord]:
        detection = self._detection
        width, damaged = detection.column_count, detection.bad_at is not None
        pending = self._pending
        skip = 0 if detection.header_row is None else detection.header_row + 1
        number = -skip
        rows = self._reader(readline)
        while True:
            fault: RecordFault | None = None
            try:
                values = next(rows)
            except StopIteration:
                return
            except _Runaway:
                values, fault = self._start_again(number + 1)
                rows = self._reader(readline)
            except _LongLine:
                values = [pending[0][:1000]]
                fault = RecordFault(
                    "record_too_long", f"A line is longer than {MAX_RECORD_CHARS:,} characters."
                )
                rows = self._reader(readline)
            number += 1
            if number <= 0:
                pending.clear()
                self._nul = False
                continue
            self.number = number
            if fault is None:
                if len(values) != width:
                    if not any(map(str.strip, values)):
                        self.blank_count += 1
                        pending.clear()
                        continue
                    if len(pending) > 1 and self._swallowed(width):
                        values, fault = self._start_again(number)
                        rows = self._reader(readline)
                    else:
                        fault = RecordFault(
                            "wrong_width", f"{len(values)} cells instead of {width}.", width, len(values)
                        )
                        del values[MAX_COLUMNS:]
                elif not values[0].strip() and not any(map(str.strip, values)):
                    self.blank_count += 1
                    pending.clear()
                    continue
                if self._nul or damaged:
                    fault = _bad_characters(values) or fault
                    self._nul = False
                if len(pending) > 1 or len(pending[0]) > MAX_CELL_CHARS:
                    fault = _long_cell(values) or fault
            pending.clear()
            if fault is not None:
                self.fault_count += 1
            yield ParsedRecord(number, values, fault)

    def _reader(self, readline: Callable[[int], str]) -> Iterator[list[str]]:
        return self._detection.dialect.reader(self._lines(readline))

    def _lines(self, readline: Callable[[int], str]) -> Iterator[str]:
        """Lines for the reader, remembering those of the record under way so that it can be read again."""
        pending, replay = self._pending, self._replay
        size = 0
        while replay:
            line = replay.popleft()
            size = size + len(line) if pending else len(line)
            if "\0" in line:
                self._nul = True
            pending.append(line)
            yield line
        for line in iter(partial(readline, MAX_RECORD_CHARS), ""):
            if pending:
                size += len(line)
                if size > MAX_RECORD_CHARS:
                    pending.append(line)
                    _skip_line(line, readline)
                    raise _Runaway
            else:
                size = len(line)
                if size >= MAX_RECORD_CHARS and line[-1] not in "\r\n":
                    pending.append(line)
                    _skip_line(line, readline)
                    raise _LongLine
            if "\0" in line:
                self._nul = True
            pending.append(line)
            yield line
        if pending:
            raise _Runaway

    def _start_again(self, number: int) -> tuple[list[str], RecordFault]:
        """Gives up on a quote: its line alone is the faulty record, reading goes on with the next line."""
        self._reread += sum(map(len, self._pending))
        if self._reread > MAX_REREAD_CHARS:
            raise UnusableFile(
                "too_many_runaway_quotes",
                f"Too many quotes are never closed, the last in record {number}: "
                f"more than {MAX_REREAD_CHARS:,} characters would be read again.",
            )
        first, *rest = self._pending
        self._replay.extendleft(reversed(rest))
        self._pending.clear()
        self._pending.append(first)
        self._nul = False
        bare = Dialect(self._detection.delimiter, quote="")
        values = next(bare.reader([first]), [])
        fault = RecordFault(
            "runaway_quote",
            f"A quote opened in record {number} is not closed.",
            self._detection.column_count,
            len(values),
        )
        return [_shown(value) for value in values[:MAX_COLUMNS]], fault

    def _swallowed(self, width: int) -> bool:
        """Whether a record of the wrong width is rather a stray quote that ate whole records: every line
        behind its first one is a record of the right width by itself."""
        if width < 3 or self._reread > MAX_REREAD_CHARS // 2:
            return False
        dialect = self._detection.dialect
        inner = self._pending[1:-1] or self._pending[1:]
        return all(len(next(dialect.reader([line]), [])) == width for line in inner)


def read_records(stream: BinaryIO, detection: Detection) -> RecordReader:
    """The records of a seekable binary stream; see `RecordReader`."""
    return RecordReader(stream, detection)


def _skip_line(line: str, readline: Callable[[int], str]) -> None:
    """Reads on to the end of a line of which the first part was `line`."""
    while len(line) >= MAX_RECORD_CHARS and line[-1] not in "\r\n":
        line = readline(MAX_RECORD_CHARS)


def _shown(value: str) -> str:
    """A raw value in a form that text columns can hold."""
    return value[:MAX_CELL_CHARS].replace("\0", "\u2400").encode("utf-8", "replace").decode()


def _bad_characters(values: list[str]) -> RecordFault | None:
    for position, value in enumerate(values):
        if "\0" in value:
            code, detail = "nul", "holds a NUL character"
        elif not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            code, detail = "bad_encoding", "holds bytes that are not UTF-8"
        else:
            continue
        values[:] = map(_shown, values)
        return RecordFault(code, f"Cell {position + 1} {detail}.")
    return None


def _long_cell(values: list[str]) -> RecordFault | None:
    for position, value in enumerate(values):
        if len(value) > MAX_CELL_CHARS:
            values[:] = [cell[:MAX_CELL_CHARS] for cell in values]
            detail = f"Cell {position + 1} has {len(value):,} characters; the limit is {MAX_CELL_CHARS:,}."
            return RecordFault("cell_too_long", detail)
    return None

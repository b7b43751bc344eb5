"""Every error of an import as a CSV file that a spreadsheet opens without calculating anything."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from data_import import queries
from data_import.models import ImportJob

MAX_ERROR_ROWS = 100_000
COLUMNS = ("row", "column", "field", "value", "code", "detail")
# What spreadsheets would take for a formula.
_TRIGGERS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class ErrorReport:
    text: str
    row_count: int
    # Whether these are all.
    is_complete: bool


def write_error_report(job: ImportJob) -> ErrorReport:
    """The job's errors in the order of the file."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    rows, complete = queries.list_errors(job.company_id, job.pk, MAX_ERROR_ROWS)
    for row_no, error in rows:
        cells = (error.get(name) or "" for name in COLUMNS[1:])
        writer.writerow((row_no, *map(_disarmed, cells)))
    return ErrorReport(text.getvalue(), len(rows), complete)


def _disarmed(text: str) -> str:
    """Behind an apostrophe where a spreadsheet would calculate it; the import takes it off again."""
    return f"'{text}" if text.startswith(_TRIGGERS) else text

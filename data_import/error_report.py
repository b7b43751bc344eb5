"""Every error of an import as a CSV file that a spreadsheet opens without calculating anything."""

from __future__ import annotations

from dataclasses import dataclass

from core.render import CellType, Column
from core.render.formats.delimited import csv_blocks
from data_import import queries
from data_import.models import ImportJob

MAX_ERROR_ROWS = 100_000
COLUMNS = (
    Column("row", "Row", CellType.INTEGER),
    *(Column(name, name.capitalize()) for name in ("column", "field", "value", "code", "detail")),
)


@dataclass(frozen=True, slots=True)
class ErrorReport:
    text: str
    row_count: int
    # Whether these are all.
    is_complete: bool


def write_error_report(job: ImportJob) -> ErrorReport:
    """The job's errors in the order of the file."""
    rows, complete = queries.list_errors(job.company_id, job.pk, MAX_ERROR_ROWS)
    names = [column.name for column in COLUMNS]
    lines = ((row_no, *(error.get(name) or None for name in names[1:])) for row_no, error in rows)
    text = b"".join(csv_blocks(names, COLUMNS, lines)).decode()
    return ErrorReport(text, len(rows), complete)

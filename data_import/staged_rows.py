"""`/data-import/jobs/{id}/staging/`: the rows of a file, what they mean, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django_filters import FilterSet
from pydantic import BaseModel, ConfigDict

from core.access import view
from core.rest.filtered_lists import FilteredListView
from core.rest.filters import ChoiceFilter, IntegerFilter
from data_import import queries
from data_import.models import RowStatus

MAX_ROW = 2**31 - 1


class StagedRow(BaseModel):
    """A row of the file: its cells, their values by the plan's fields in canonical form, and what becomes of it."""

    model_config = ConfigDict(extra="forbid")

    row: int
    status: str
    action: str
    raw: list[str]
    mapped: list[str | None]
    errors: list[dict[str, Any]]
    record: UUID | None


def as_document(row: Any) -> StagedRow:
    """A row of `queries.staged_rows` as the API answers it."""
    return StagedRow(
        row=row.row_no,
        status=row.now,
        action=row.action,
        raw=row.raw,
        mapped=row.mapped,
        errors=row.errors or [],
        record=row.record,
    )


class StagedRowFilters(FilterSet):
    status = ChoiceFilter(choices=RowStatus.choices, method="by_status", label="What the row is now.")
    row__gte = IntegerFilter("row_no", "gte", max_value=MAX_ROW, label="From this row of the file on.")
    row__lte = IntegerFilter("row_no", "lte", max_value=MAX_ROW, label="Up to this row of the file.")

    def by_status(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return queries.of_status(rows, value)


class StagedRowsView(FilteredListView):
    """Rows of the file with what they mean and what is wrong with them, in the order of the file."""

    filterset_class = StagedRowFilters
    orderings = {"row": "row_no"}
    default_ordering = "row"
    document = StagedRow

    @cached_property
    def _job(self) -> Any:
        return view("import_job", self.actor).get(self.kwargs["pk"])

    def rows(self) -> QuerySet[Any]:
        return queries.staged_rows(self._job)

    def documents(self, rows: Sequence[Any]) -> list[StagedRow]:
        return [as_document(row) for row in rows]

"""Entries of the log as rows of a file, page by page in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Max, QuerySet
from django.utils import timezone

from audit.documents import AuditLogDocument, entry_documents
from audit.filters import AuditLogFilters
from audit.models import AuditLog
from audit.queries import entries, without_hidden
from core.kernel.errors import Fault
from core.kernel.transactions import unit_of_work
from core.render import CellType, Column, Document, Row, Table
from core.rest.filters import faults_of
from core.tenancy.actors import Actor

PAGE = 1_000
_TYPES = {
    "id": CellType.INTEGER,
    "at": CellType.DATETIME,
    "changed_fields": CellType.LIST,
    "old_values": CellType.JSON,
    "new_values": CellType.JSON,
    "transaction_id": CellType.INTEGER,
    "cause": CellType.INTEGER,
    "is_sensitive": CellType.BOOLEAN,
    "requires_review": CellType.BOOLEAN,
    "reviewed_at": CellType.DATETIME,
}
_LABELS = {"id": "Entry", "ip": "IP address", "user": "User id", "user_name": "User", "at": "Time"}
COLUMNS = tuple(
    Column(name, _LABELS.get(name, name.replace("_", " ").capitalize()), _TYPES.get(name, CellType.TEXT))
    for name in AuditLogDocument.model_fields
)
# What fits on paper.
ON_PAPER = ("id", "at", "user_name", "action", "entity_type", "entity_name", "changed_fields", "source", "ip")

Progress = Callable[[int], None]


def columns_for(file_format: str) -> tuple[Column, ...]:
    by_name = {column.name: column for column in COLUMNS}
    return tuple(by_name[name] for name in ON_PAPER) if file_format == "pdf" else COLUMNS


def read_filters(given: Any, zone: str) -> tuple[dict[str, str], list[Fault]]:
    """Filters as a client sends them, as texts; with what is wrong with them."""
    if not isinstance(given, Mapping):
        return {}, [
            Fault("filters", "not_an_object", "An object of parameters of `audit/logs/` is expected.")
        ]
    faults, found = [], {}
    known = AuditLogFilters.base_filters
    for name, value in given.items():
        path = f"filters.{name}"
        if name not in known:
            detail = f"There is no such parameter. There are: {', '.join(sorted(known))}."
            faults.append(Fault(path, "unknown_parameter", detail))
        elif isinstance(value, bool):
            found[name] = str(value).lower()
        elif isinstance(value, str) and value:
            found[name] = value
        else:
            faults.append(Fault(path, "empty_value", "A text, true or false is expected."))
    with timezone.override(ZoneInfo(zone)):
        wrong = faults_of(AuditLogFilters(found, queryset=AuditLog.objects.none()))
    faults += [Fault(f"filters.{fault.path}", fault.code, fault.detail) for fault in wrong]
    return found, faults


def chosen_entries(actor: Actor, filters: Mapping[str, str]) -> QuerySet[Any]:
    """The entries that the actor may see and checked filters let through. Raises: Forbidden."""
    found = without_hidden(actor, entries(actor), filters.get("field"))
    with timezone.override(ZoneInfo(actor.zone)):
        chosen: QuerySet[Any] = AuditLogFilters(dict(filters), queryset=found).qs
    return chosen


def size_of(actor: Actor, filters: Mapping[str, str]) -> tuple[int, int]:
    """How many entries there are, and the last of them: an export ends there, however long it takes."""
    chosen = chosen_entries(actor, filters)
    last = chosen.aggregate(last=Max("pk"))["last"]
    return chosen.count(), last or 0


def rows_of(
    actor: Actor, filters: Mapping[str, str], last: int, columns: tuple[Column, ...], progress: Progress
) -> Iterator[Row]:
    """The rows, the oldest first. Opens a transaction for each page; `progress` is told how many are read."""
    names = [column.name for column in columns]
    after = done = 0
    while True:
        with unit_of_work():
            found = chosen_entries(actor, filters).filter(pk__gt=after, pk__lte=last)
            page = list(found.order_by("pk")[:PAGE])
            documents = entry_documents(actor, page) if page else []
        for document in documents:
            yield tuple(getattr(document, name) for name in names)
        done += len(page)
        progress(done)
        if len(page) < PAGE:
            return
        after = page[-1].pk


def export_document(
    *,
    title: str,
    columns: tuple[Column, ...],
    rows: Iterator[Row],
    filters: Mapping[str, str],
    by: str,
    company: str,
    zone: str,
    now: datetime,
) -> Document:
    return Document(
        title=title,
        parts=[Table(title, columns, rows, name="entries")],
        parameters=sorted(filters.items()),
        generated_at=now,
        generated_by=by,
        company=company,
        zone=ZoneInfo(zone),
    )

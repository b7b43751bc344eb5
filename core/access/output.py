"""Records as JSON, read by one statement. Compiled once for each `FieldAccess` and choice of fields.

Lists, details, exports, streams and webhooks render through here; what is masked leaves PostgreSQL masked.
`tests/core/access/test_output.py` holds a plain Python
renderer against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from django.core.exceptions import EmptyResultSet
from django.db import models
from django.db.models import QuerySet

from core.entities import CUSTOM_FIELDS
from core.tenancy.postgresql.base import database

if TYPE_CHECKING:
    from core.access.field_access import FieldAccess
    from core.access.view import EntityView

# Fields that are wanted beside the document (sort keys of a cursor).
Extra = tuple[str, ...]
# SQL that selects whole rows, and its parameters.
Compiled = tuple[str, tuple[Any, ...]]
# What orjson writes as one record's JSON, and the values asked for beside it.
Document = tuple[Any, ...]


@lru_cache(maxsize=2048)
def _selected(
    access: FieldAccess, names: tuple[str, ...], beside: tuple[str, ...]
) -> tuple[str, tuple[int, ...]]:
    """What a statement over the rows `p` selects for each field, and the places of the values beside the document."""
    selected = access.select_sql("p", names)
    places = []
    for value in access.select_sql("p", beside):
        if value not in selected:
            selected.append(value)
        places.append(selected.index(value))
    return ", ".join(selected) or "NULL", tuple(places)


@lru_cache(maxsize=2048)
def _conversions(
    access: FieldAccess, names: tuple[str, ...]
) -> tuple[tuple[int, str, Callable[[str], Any]], ...]:
    return access.to_json(names)


@lru_cache(maxsize=2048)
def _custom(access: FieldAccess, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Names and keys of those that a document holds in its `custom_fields`."""
    return tuple((name, key) for name in names if (key := access.fields[name].custom_key))


class _WholeRow(models.Expression):
    """Every column of the table. Django compiles a list of forty columns for longer than PostgreSQL reads a page of them;
    PostgreSQL fetches only those that the document asks for."""

    def __init__(self, table: str) -> None:
        super().__init__(output_field=models.TextField())
        self.sql = f'"{table}".*'

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        return self.sql, ()


def rows_of(queryset: QuerySet[Any]) -> Compiled | None:
    """The queryset as SQL that selects whole rows; none when its conditions exclude each other."""
    query = queryset.query.chain()
    query.clear_select_clause()
    query.selected = None
    query.select = (_WholeRow(queryset.model._meta.db_table),)
    try:
        sql, params = query.sql_with_params()
    except EmptyResultSet:
        return None
    return sql, params


@dataclass(slots=True)
class Output:
    """How one actor gets records of one entity: which fields, which relations inlined as `<name>_detail`."""

    view: EntityView
    fields: tuple[str, ...]
    expand: tuple[str, ...] = ()

    def documents(self, queryset: QuerySet[Any], extra: Extra = ()) -> list[Document]:
        """Each record of the queryset, in its order, as `(document for orjson, *extra values)`; ids, times and decimals
        among those values as texts. One statement, plus one for each expanded relation."""
        return self.documents_of(rows_of(queryset), extra)

    def documents_of(self, compiled: Compiled | None, extra: Extra = ()) -> list[Document]:
        """`documents` of a query that is compiled already."""
        if compiled is None:
            return []
        inner, params = compiled
        selected, places = _selected(self.view.access, self.fields, (*extra, *self.expand))
        rows = database().fetch_prepared(f"SELECT {selected} FROM ({inner}) p", params, as_texts=True)
        documents = self._documents(places, rows)
        return self._expanded(documents) if self.expand else documents

    def texts(self, queryset: QuerySet[Any]) -> list[bytes]:
        """The JSON of each record."""
        return [orjson.dumps(row[0]) for row in self.documents(queryset)]

    def record(self, record_id: UUID, extra: Extra = ()) -> Document:
        """The `(document, *extra values)` of one record the actor sees, also from the recycle bin."""
        # Written out: Django compiles this query for longer than PostgreSQL runs it.
        table = self.view.entity.model._meta.db_table
        sql = f'SELECT * FROM "{table}" WHERE company_id = %s AND id = %s'
        [row] = self.documents_of((sql, (self.view.actor.company_id, record_id)), extra)
        return row

    def stream(self, queryset: QuerySet[Any], batch: int = 2_000) -> Iterator[bytes]:
        """The JSON of any number of records in bounded memory, in id order."""
        last: str | None = None
        while True:
            page = queryset.order_by("pk") if last is None else queryset.filter(pk__gt=last).order_by("pk")
            rows = self.documents(page[:batch], ("id",))
            for row in rows:
                yield orjson.dumps(row[0])
            if len(rows) < batch:
                return
            last = rows[-1][1]

    def _documents(self, places: tuple[int, ...], rows: list[tuple[Any, ...]]) -> list[Document]:
        """Each row as `(document, *values at the places)`."""
        names = self.fields
        documents = [dict(zip(names, row, strict=False)) for row in rows]
        access = self.view.access
        for place, name, convert in _conversions(access, names):
            for row, document in zip(rows, documents, strict=True):
                if row[place] is not None:
                    document[name] = convert(row[place])
        custom = _custom(access, names)
        if custom:
            for document in documents:
                document[CUSTOM_FIELDS] = {key: document.pop(name) for name, key in custom}
        return list(zip(documents, *(map(itemgetter(place), rows) for place in places), strict=True))

    def _expanded(self, rows: list[Document]) -> list[Document]:
        """The documents with the records behind their relations, whose ids stand last in each row."""
        for place, name in enumerate(self.expand, -len(self.expand)):
            details = self._details(name, {row[place] for row in rows} - {None})
            key = self.view.fields[name].custom_key
            for row in rows:
                # The detail stands beside the id.
                beside = row[0].setdefault(CUSTOM_FIELDS, {}) if key else row[0]
                beside[f"{key or name}_detail"] = details.get(row[place])
        return [row[: -len(self.expand)] for row in rows]

    def _details(self, name: str, ids: set[str]) -> dict[str, dict[str, Any]]:
        """The records behind a relation, by id."""
        if not ids:
            return {}
        related = self.view.related(name)
        found = related.output().documents(related.records().filter(pk__in=ids), ("id",))
        return {record_id: document for document, record_id in found}

"""`Rows`: candidate rows as an SQL relation, whether they come from a request or from staged import data.

The relation has `ord` (the row's place, from 0), `id` and one column for each database column it sets. Operations see
only this, so one row and a hundred thousand take the same path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection, models

from core.kernel.ids import uuid7

# What a client expects a record's version to be; not a column.
EXPECTED_VERSION = "expected_version"


def _plain(value: Any) -> Any:
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be a column's value")


to_json: Callable[[Any], str] = json.JSONEncoder(default=_plain, ensure_ascii=False).encode


@lru_cache(maxsize=256)
def columns_of(model: type[models.Model]) -> Mapping[str, str]:
    """The database columns by the names of their fields, and by their own."""
    columns = {str(field.column): str(field.column) for field in model._meta.concrete_fields}
    return columns | {field.name: str(field.column) for field in model._meta.concrete_fields}


@lru_cache(maxsize=256)
def _writable_names(model: type[models.Model]) -> Mapping[str, str]:
    """Column by each name under which a row may set it: the field's, the column's, and `expected_version`."""
    return {**columns_of(model), EXPECTED_VERSION: EXPECTED_VERSION}


@lru_cache(maxsize=4096)
def _columns_among(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Columns set by a row with these keys."""
    return tuple(sorted({*keys} - {"id", EXPECTED_VERSION}))


@lru_cache(maxsize=256)
def sql_types(model: type[models.Model]) -> Mapping[str, str]:
    """Every column of the model with its PostgreSQL type."""
    types: dict[str, str] = {}
    for field in model._meta.concrete_fields:
        typed: Any = field.output_field if isinstance(field, models.GeneratedField) else field
        types[str(field.column)] = (
            typed.rel_db_type(connection) if field.is_relation else typed.db_type(connection)
        )
    return types


def new_value(model: type[models.Model], column: str, sparse: bool) -> str:
    """SQL over the candidate row `r` and the record `o`: what an update sets a column to that candidates name. Of `sparse`
    ones each names its own."""
    value = f'r."{column}"'
    if column in getattr(model, "merged_columns", ()):
        value = f'jsonb_strip_nulls(o."{column}" || r."{column}")'
    return f"CASE WHEN r.doc ? '{column}' THEN {value} ELSE o.\"{column}\" END" if sparse else value


def _typed(model: type[models.Model], columns: tuple[str, ...], is_versioned: bool) -> dict[str, str]:
    """Every column of the relation but `ord`, with its PostgreSQL type."""
    types = sql_types(model)
    expected = {EXPECTED_VERSION: "integer"} if is_versioned else {}
    return {"id": "uuid", **expected, **{column: types[column] for column in columns}}


_LENGTH = re.compile(r"varchar\(\d+\)")


@lru_cache(maxsize=4096)
def _one_row(
    model: type[models.Model], columns: tuple[str, ...], is_versioned: bool
) -> tuple[str, dict[str, bool]]:
    """The SQL of a row of parameters, and their columns in order, each with whether it takes JSON."""
    # A cast to a length would cut off silently what is too long; the column refuses it.
    casts = {
        name: _LENGTH.sub("varchar", kind) for name, kind in _typed(model, columns, is_versioned).items()
    }
    selected = ", ".join(f'%s::{cast} AS "{name}"' for name, cast in casts.items())
    return f"SELECT 0 AS ord, {selected}", {name: cast == "jsonb" for name, cast in casts.items()}


def _text(value: Any, is_json: bool) -> Any:
    """A value as text, so that the statement's parameters have the same types whatever the values are."""
    if value is None or (isinstance(value, str) and not is_json):
        return value
    if is_json:
        return to_json(value)
    if isinstance(value, list):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)


@dataclass(slots=True)
class Rows:
    """Candidate rows of a write: `sql` selects `ord`, `id`, perhaps `expected_version`, and `columns`.

    `sparse` rows carry a `doc` (jsonb) that says which columns each row really sets; otherwise each sets them all.
    """

    sql: str
    params: tuple[Any, ...]
    columns: tuple[str, ...]
    count: int | None = None
    has_expected_version: bool = False
    sparse: bool = False
    # The model and the values, by column, of a row that was given alone.
    document: tuple[type[models.Model], Mapping[str, Any]] | None = None

    @classmethod
    def of(cls, model: type[models.Model], rows: Sequence[Mapping[str, Any]]) -> Rows:
        """Rows given as mappings of field name to value; `id` is made where it is missing."""
        names = _writable_names(model)
        documents = []
        shapes = set()
        for row in rows:
            document = {names[name]: value for name, value in row.items()}
            if "id" not in document:
                document["id"] = uuid7()
            shapes.add(_columns_among(tuple(document)))
            documents.append(document)
        if len(shapes) == 1:
            [columns] = shapes
        else:
            columns = tuple(sorted({name for shape in shapes for name in shape}))
        versioned = any(EXPECTED_VERSION in document for document in documents)
        sparse = len(shapes) > 1
        if len(documents) == 1:
            # Values of their own, so that the planner knows of one row; of the elements of an array it expects a hundred.
            return cls._one(model, documents[0], columns, versioned)
        shape = ", ".join(f'"{name}" {kind}' for name, kind in _typed(model, columns, versioned).items())
        sql = (
            "SELECT (e.place - 1)::int AS ord, x.*" + (", e.doc" if sparse else "") + " "
            "FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS e(doc, place) "
            f"CROSS JOIN LATERAL jsonb_to_record(e.doc) AS x({shape})"
        )
        return cls(sql, (to_json(documents),), columns, len(documents), versioned, sparse)

    @classmethod
    def _one(
        cls, model: type[models.Model], document: Mapping[str, Any], columns: tuple[str, ...], versioned: bool
    ) -> Rows:
        sql, places = _one_row(model, columns, versioned)
        params = tuple(
            [
                # Most are texts already.
                value if type(value := document[name]) is str and not is_json else _text(value, is_json)
                for name, is_json in places.items()
            ]
        )
        return cls(sql, params, columns, 1, versioned, document=(model, document))

    def only(self, *columns: str) -> Rows:
        """A single row with these columns alone, which are fewer parameters; others as they are."""
        return self if self.document is None else self._one(*self.document, columns, False)

    @classmethod
    def select(
        cls, sql: str, params: Iterable[Any], columns: Iterable[str], count: int | None = None
    ) -> Rows:
        """Rows of a query that selects `ord`, `id` and `columns` with their right types."""
        return cls(sql, tuple(params), tuple(columns), count)

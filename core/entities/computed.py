"""Fields that are no columns but SQL over their row, in querysets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import F, QuerySet
from django.db.models.expressions import Expression

from core.entities.registry import Field


class ComputedValue(Expression):
    """The value of a computed field of the record."""

    def __init__(self, field: Field) -> None:
        super().__init__(output_field=models.Field())
        self.field_of_entity = field
        self.row: Any = F("pk")

    def get_source_expressions(self) -> list[Any]:
        return [self.row]

    def set_source_expressions(self, exprs: Any) -> None:
        (self.row,) = exprs

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        sql = self.field_of_entity.sql_of(compiler.quote_name_unless_alias(self.row.alias))
        return sql.replace("%", "%%"), []


def with_computed(records: QuerySet[Any], fields: Iterable[Field]) -> QuerySet[Any]:
    """The records with the computed ones of the fields as `Field.attribute`, to be read, ordered and compared by."""
    computed = {field.attribute: ComputedValue(field) for field in fields if field.sql}
    return records.annotate(**computed) if computed else records

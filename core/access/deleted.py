"""What is in the recycle bin, over all entities."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F, TextField, Value
from django.db.models.functions import Cast

from core.access.view import EntityView, view
from core.entities import Entity, entities
from core.entities.computed import ComputedValue
from core.entities.kinds import Kind
from core.kernel.errors import Forbidden
from core.tenancy.actors import Actor


@dataclass(frozen=True, slots=True)
class Deleted:
    entity_name: str
    id: UUID
    name: str | None
    deleted_at: datetime
    deleted_by: UUID | None


def kinds_in_bin(actor: Actor) -> list[Entity]:
    """The kinds of records of which the actor sees what was deleted: those they may delete and restore themselves."""
    return [
        entity
        for entity in entities
        if entity.is_soft_deleted and (seen := view(entity, actor)).can("read") and seen.can("delete")
    ]


def list_deleted(actor: Actor, limit: int, only: str | None = None) -> list[Deleted]:
    """The newest deleted records that the actor may restore, of every entity or of `only` one. One statement.

    Raises: Forbidden when the actor may delete nothing at all.
    """
    kinds = kinds_in_bin(actor)
    if not kinds:
        raise Forbidden("Your role may not delete records, so you see no recycle bin.")
    union: Any = None
    for entity in kinds:
        if only not in (None, entity.name):
            continue
        seen = view(entity, actor)
        rows = (
            seen.bin("delete")
            .annotate(entity_name=Value(entity.name, TextField()), record_name=_name(seen))
            .order_by()
            .values_list("entity_name", "pk", "record_name", "deleted_at", "deleted_by_id")
        )
        union = rows if union is None else union.union(rows, all=True)
    if union is None:
        return []
    return [Deleted(*row) for row in union.order_by("-deleted_at", "pk")[:limit]]


def _name(seen: EntityView) -> Any:
    """What names a record, as the actor sees it."""
    field = seen.fields.get(seen.entity.title[0])
    if field is None or field.kind is Kind.JSON:
        return Value("")
    return Cast(ComputedValue(field) if field.sql else F(field.column), TextField())

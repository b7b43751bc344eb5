"""What is in the recycle bin, over all entities."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F, TextField, Value
from django.db.models.functions import Cast

from core.access.view import view
from core.entities import entities
from core.entities.kinds import Kind
from core.tenancy.actors import Actor


@dataclass(frozen=True, slots=True)
class Deleted:
    entity_name: str
    id: UUID
    name: str | None
    deleted_at: datetime
    deleted_by: UUID | None


def list_deleted(actor: Actor, limit: int, only: str | None = None) -> list[Deleted]:
    """The newest deleted records that the actor would see, of every entity or of `only` one. One statement."""
    union: Any = None
    for entity in entities:
        seen = view(entity, actor)
        if not entity.is_soft_deleted or not seen.can("read") or only not in (None, entity.name):
            continue
        shown = seen.fields.get(entity.title[0])
        name = Cast(F(shown.column), TextField()) if shown and shown.kind is not Kind.JSON else Value("")
        rows = (
            seen.bin()
            .annotate(entity_name=Value(entity.name, TextField()), record_name=name)
            .order_by()
            .values_list("entity_name", "pk", "record_name", "deleted_at", "deleted_by_id")
        )
        union = rows if union is None else union.union(rows, all=True)
    if union is None:
        return []
    return [Deleted(*row) for row in union.order_by("-deleted_at", "pk")[:limit]]

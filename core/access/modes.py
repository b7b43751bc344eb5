"""What an actor may do with each field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from core.entities import Entity, Field, entities
from core.tenancy.actors import Rights


class Mode(StrEnum):
    HIDDEN = "hidden"
    MASK = "mask"
    VIEW = "view"
    EDIT = "edit"


@dataclass(frozen=True, eq=False, slots=True)
class FieldAccess:
    """The fields of one entity as one kind of actor has them."""

    modes: Mapping[str, Mode]
    # Those that are not hidden.
    fields: Mapping[str, Field]
    # Of those: what may be set, what a new record needs, and what leads to other records, with the entities it leads to.
    editable: Mapping[str, Field]
    required: tuple[str, ...]
    relations: Mapping[str, str]


@lru_cache(maxsize=4096)
def _access(entity_name: str, may_write: bool) -> FieldAccess:
    entity = entities[entity_name]
    modes = {
        name: Mode.EDIT if may_write and not field.read_only else Mode.VIEW
        for name, field in entity.fields.items()
    }
    fields = {name: field for name, field in entity.fields.items() if modes[name] is not Mode.HIDDEN}
    return FieldAccess(
        modes,
        fields,
        {name: field for name, field in fields.items() if modes[name] is Mode.EDIT},
        tuple(name for name, field in fields.items() if field.required and not field.read_only),
        {name: field.to for name, field in fields.items() if field.is_relation},
    )


def access_to(entity: Entity, rights: Rights) -> FieldAccess:
    """The entity's fields for whoever has these rights. What nothing configures: edit where they may write, else view."""
    return _access(entity.name, rights.can("update", entity.name) or rights.can("create", entity.name))

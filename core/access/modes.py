"""What an actor may do with each field."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache

from core.entities import Entity, entities
from core.tenancy.actors import Rights


class Mode(StrEnum):
    HIDDEN = "hidden"
    MASK = "mask"
    VIEW = "view"
    EDIT = "edit"


@lru_cache(maxsize=4096)
def _modes(entity_name: str, may_write: bool) -> dict[str, Mode]:
    entity = entities[entity_name]
    return {
        name: Mode.EDIT if may_write and not field.read_only else Mode.VIEW
        for name, field in entity.fields.items()
    }


def modes_of(entity: Entity, rights: Rights) -> dict[str, Mode]:
    """The mode of every field. What nothing configures: edit where the role may write, else view."""
    return _modes(entity.name, rights.can("update", entity.name) or rights.can("create", entity.name))

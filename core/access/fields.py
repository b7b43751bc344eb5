"""Where an entity's fields come from: its declaration, and what a company adds."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Protocol
from uuid import UUID

from core.entities import Entity, Field
from core.kernel.registry import Registry
from core.tenancy.actors import Actor


class FieldProvider(Protocol):
    """Adds fields to entities. `core.entities.custom.custom_field` makes those that a company defines."""

    def version(self, actor: Actor) -> Hashable | None:
        """Another value whenever `fields` answers something else for the actor's company; None while it answers what every
        company has. Asked with every request, so it must cost no statement of its own."""
        ...

    def fields(self, entity: Entity, company_id: UUID | None) -> Mapping[str, Field]:
        """The fields by name; None as the company asks for those that every company has."""
        ...


class _DeclaredFields:
    """The fields of the entity's declaration, alike in every company."""

    def version(self, actor: Actor) -> None:
        return None

    def fields(self, entity: Entity, company_id: UUID | None) -> Mapping[str, Field]:
        return entity.fields


# Asked in order; names must be distinct.
FIELD_PROVIDERS: Registry[FieldProvider] = Registry("field provider")
FIELD_PROVIDERS.register("declared", _DeclaredFields())

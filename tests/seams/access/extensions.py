"""Registered for good, and silent until a test fills `added`, `narrowed` or `shared`."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from django.db.models import Q

from core.access.fields import FIELD_PROVIDERS
from core.access.modes import MODE_PROVIDERS, FieldMode
from core.access.visibility import SHARING
from core.entities import Entity, Field
from core.tenancy.actors import Actor, Rights


class CompanyFields:
    """Fields of companies, by entity."""

    def __init__(self) -> None:
        self.added: dict[UUID, dict[str, list[Field]]] = {}
        self.changes = 0

    def add(self, company_id: UUID, entity: str, *fields: Field) -> None:
        self.added.setdefault(company_id, {}).setdefault(entity, []).extend(fields)
        self.changes += 1

    def version(self, actor: Actor) -> int | None:
        return self.changes if actor.company_id in self.added else None

    def fields(self, entity: Entity, company_id: UUID | None) -> Mapping[str, Field]:
        if company_id is None:
            return {}
        return {field.name: field for field in self.added[company_id].get(entity.name, ())}


class RoleModes:
    """Field modes of roles, by entity."""

    def __init__(self) -> None:
        self.narrowed: dict[UUID, dict[str, dict[str, FieldMode]]] = {}
        self.changes = 0

    def narrow(self, role_id: UUID, entity: str, **modes: FieldMode) -> None:
        self.narrowed.setdefault(role_id, {}).setdefault(entity, {}).update(modes)
        self.changes += 1

    def version(self, actor: Actor) -> int | None:
        return self.changes if self.narrowed else None

    def modes(self, entity: Entity, company_id: UUID, rights: Rights) -> Mapping[str, FieldMode]:
        if rights.role_id is None:
            return {}
        return self.narrowed.get(rights.role_id, {}).get(entity.name, {})


class RoleSharing:
    """Further records that are open to roles, by entity and verb."""

    def __init__(self) -> None:
        self.shared: dict[tuple[UUID | None, str, str], Q] = {}

    def share(self, role_id: UUID, entity: str, records: Q, *verbs: str) -> None:
        for verb in verbs:
            self.shared[role_id, entity, verb] = records

    def __call__(self, entity: Entity, actor: Actor, verb: str) -> Q | None:
        return self.shared.get((actor.rights.role_id, entity.name, verb))


company_fields = FIELD_PROVIDERS.register("seams", CompanyFields())
role_modes = MODE_PROVIDERS.register("seams", RoleModes())
role_sharing = SHARING.register("seams", RoleSharing())


def forget() -> None:
    """Silent again."""
    company_fields.added.clear()
    role_modes.narrowed.clear()
    role_sharing.shared.clear()

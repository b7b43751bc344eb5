"""`FieldAccess`: the fields of an entity as one kind of actor has them, compiled from what providers say."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from core.access.fields import FIELD_PROVIDERS
from core.access.modes import ALWAYS_VISIBLE, MODE_PROVIDERS, FieldMode, Mask, Mode, masked, strictest
from core.conditions.sources import MaskedField, UnknownField
from core.entities import Entity, Field, entities
from core.tenancy.actors import Actor, Rights

Versions = tuple[Hashable | None, ...]


@dataclass(frozen=True, eq=False, slots=True)
class FieldAccess:
    """What may be seen, asked and written. Equal only to itself: what is compiled from it may be kept by it."""

    modes: Mapping[str, Mode]
    # Those that are not hidden; a masked one holds its mask and is a text.
    fields: Mapping[str, Field]
    # Of those: what a client may set.
    editable: Mapping[str, Field]
    # What may be filtered, sorted, grouped and searched by, as far as the field itself can be.
    askable: Mapping[str, Field]
    # What a new record needs and this actor may set.
    required: tuple[str, ...]
    # What leads to other records, with the entities it leads to.
    relations: Mapping[str, str]
    masks: Mapping[str, Mask]

    def ask(self, name: str) -> Field:
        """A field to filter, sort, group or search by.

        Raises: UnknownField, alike for one that is hidden and one that does not exist; MaskedField.
        """
        found = self.askable.get(name)
        if found is None:
            raise MaskedField(name) if name in self.fields else UnknownField(name)
        return found

    def select_sql(self, alias: str, names: Sequence[str]) -> list[str]:
        """SQL for the values of visible fields over the rows `alias`; masks are applied."""
        return [self.fields[name].sql_of(alias) for name in names]

    def to_json(self, names: Sequence[str]) -> tuple[tuple[int, str, Callable[[str], Any]], ...]:
        """Places and names of the values that JSON shows unlike PostgreSQL writes them, with what converts them."""
        return tuple(
            (place, name, convert)
            for place, name in enumerate(names)
            if (convert := self.fields[name].type.to_json) is not None
        )

    def show(self, name: str, value: Any) -> Any:
        """A stored value of a visible field as the actor sees it. Masks apply to texts, not to null or an empty one."""
        mask = self.masks.get(name)
        return value if mask is None or value in (None, "") else mask.python(str(value))

    @property
    def conceals(self) -> bool:
        """Whether anything is hidden or masked."""
        return bool(self.masks) or len(self.fields) < len(self.modes)


def may(rights: Rights, entity: Entity, verb: str) -> bool:
    """Whether the rights allow the verb on records of this kind, whichever they are."""
    guard = entity.read_guarded_by if verb == "read" else entity.guarded_by
    if guard:
        return rights.can(guard)
    return rights.can(verb, entity.name)


def access_to(entity: Entity, actor: Actor) -> FieldAccess:
    """The entity's fields for the actor. What nothing narrows: edit where they may write, else view.

    Compiled once for each entity, company, rights and versions of the providers; with providers that have nothing for the
    company, once for all companies.
    """
    rights = actor.rights
    field_versions = tuple([provider.version(actor) for provider in FIELD_PROVIDERS])
    mode_versions = tuple([provider.version(actor) for provider in MODE_PROVIDERS])
    if any(version is not None for version in mode_versions):
        return _narrowed(entity.name, actor.company_id, rights, field_versions, mode_versions)
    may_write = may(rights, entity, "update") or may(rights, entity, "create")
    if any(version is not None for version in field_versions):
        return _unnarrowed(entity.name, actor.company_id, may_write, field_versions)
    return _unnarrowed(entity.name, None, may_write, field_versions)


@lru_cache(maxsize=4096)
def _unnarrowed(
    entity_name: str, company_id: UUID | None, may_write: bool, versions: Versions
) -> FieldAccess:
    fields = _fields(entities[entity_name], company_id, versions)
    return _compiled(fields, {name: [_default(field, may_write)] for name, field in fields.items()})


@lru_cache(maxsize=4096)
def _narrowed(
    entity_name: str, company_id: UUID, rights: Rights, field_versions: Versions, mode_versions: Versions
) -> FieldAccess:
    entity = entities[entity_name]
    fields = _fields(entity, company_id, field_versions)
    may_write = may(rights, entity, "update") or may(rights, entity, "create")
    modes = {name: [_default(field, may_write)] for name, field in fields.items()}
    for provider, version in zip(MODE_PROVIDERS, mode_versions, strict=True):
        if version is None:
            continue
        for name, narrowed in provider.modes(entity, company_id, rights).items():
            if name in modes and name not in ALWAYS_VISIBLE:
                modes[name].append(narrowed)
    return _compiled(fields, modes)


def _fields(entity: Entity, company_id: UUID | None, versions: Versions) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for provider, version in zip(FIELD_PROVIDERS, versions, strict=True):
        added = provider.fields(entity, company_id if version is not None else None)
        if not found.keys().isdisjoint(added):
            raise ValueError(f"{entity.name} has {sorted(found.keys() & added.keys())} twice")
        found |= added
    return found


def _default(field: Field, may_write: bool) -> FieldMode:
    return FieldMode(Mode.EDIT if may_write and not field.read_only else Mode.VIEW)


def _compiled(fields: Mapping[str, Field], modes: Mapping[str, list[FieldMode]]) -> FieldAccess:
    settled = {name: strictest(answers) for name, answers in modes.items()}
    masks = {name: item.mask for name, item in settled.items() if item.mode is Mode.MASK}
    askable = {
        name: field
        for name, field in fields.items()
        if settled[name].mode is not Mode.HIDDEN and name not in masks
    }
    editable = {name: field for name, field in askable.items() if settled[name].mode is Mode.EDIT}
    return FieldAccess(
        modes={name: item.mode for name, item in settled.items()},
        fields={
            name: masked(field, masks[name]) if name in masks else field
            for name, field in fields.items()
            if settled[name].mode is not Mode.HIDDEN
        },
        editable=editable,
        askable=askable,
        required=tuple(name for name, field in editable.items() if field.required),
        relations={name: field.to for name, field in askable.items() if field.is_relation},
        masks=masks,
    )

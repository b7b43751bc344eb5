"""`EntityView`: an entity narrowed to what one actor may see, ask and write."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from core.access.modes import access_to
from core.access.output import Output
from core.access.visibility import sees_everything, visible
from core.changes.rows import EXPECTED_VERSION
from core.conditions.sources import UnknownField
from core.entities import Entity, Field, entities
from core.entities.kinds import BadValue
from core.kernel.errors import Fault, Forbidden, Invalid, NotFound, as_object
from core.tenancy.actors import Actor

# Entities that only who may manage users may write.
GUARDED_ENTITIES = frozenset({"user", "role", "api_key"})
MANAGE_USERS = "manage_users"


def view(entity: str | Entity, actor: Actor) -> EntityView:
    return EntityView(entities[entity] if isinstance(entity, str) else entity, actor)


class EntityView:
    """The one door to an entity's data. Needs the actor's company in context when it reads."""

    def __init__(self, entity: Entity, actor: Actor) -> None:
        self.entity = entity
        self.actor = actor
        self._access = access_to(entity, actor.rights)
        self.modes = self._access.modes
        self.fields = self._access.fields

    # --- what may be done ---------------------------------------------------------------------------------------

    def can(self, verb: str) -> bool:
        rights = self.actor.rights
        if verb != "read" and self.entity.name in GUARDED_ENTITIES:
            return rights.can(MANAGE_USERS)
        return rights.can(verb, self.entity.name)

    def require(self, verb: str) -> None:
        """Raises: Forbidden."""
        if not self.can(verb):
            raise Forbidden(f"Your role may not {verb} {self.entity.noun_plural}.")

    # --- which fields -------------------------------------------------------------------------------------------

    def field(self, name: str) -> Field:
        """Raises: UnknownField."""
        found = self.fields.get(name)
        if found is None:
            raise UnknownField(name)
        return found

    def related(self, name: str) -> EntityView:
        """The view of the entity that a relation points to.

        Raises: UnknownField when the field is no relation, or leads to records the actor may not read at all.
        """
        field = self.field(name)
        if not self._leads_on(field):
            raise UnknownField(name)
        return EntityView(entities[field.to], self.actor)

    def _leads_on(self, field: Field) -> bool:
        return field.is_relation and self.actor.rights.can("read", field.to)

    # --- which records ------------------------------------------------------------------------------------------

    def records(self) -> QuerySet[Any]:
        """Every record the actor sees, not those in the recycle bin."""
        queryset = self._manager.filter(visible(self.entity, self.actor))
        return queryset.filter(deleted_at__isnull=True) if self.entity.is_soft_deleted else queryset

    def bin(self) -> QuerySet[Any]:
        """The records in the recycle bin that the actor would see."""
        return self._manager.filter(visible(self.entity, self.actor), deleted_at__isnull=False)

    @property
    def _manager(self) -> Any:
        return self.entity.model._default_manager

    def get(self, record_id: str | UUID, among: QuerySet[Any] | None = None) -> Any:
        """One visible record.

        Raises: NotFound, alike for what never was, what is another company's and what the actor may not see.
        """
        try:
            key = record_id if isinstance(record_id, UUID) else UUID(record_id)
        except ValueError:
            raise NotFound() from None
        found = (self.records() if among is None else among).filter(pk=key).first()
        if found is None:
            raise NotFound()
        return found

    # --- output -------------------------------------------------------------------------------------------------

    def output(self, fields: Iterable[str] | None = None, expand: Iterable[str] = ()) -> Output:
        """How records are rendered.

        Raises: Invalid for names that are unknown, or cannot be expanded.
        """
        known = self.fields
        chosen = tuple(known) if fields is None else tuple(dict.fromkeys(fields))
        faults = [
            Fault("fields", "unknown_field", f"There is no field {name!r}.")
            for name in chosen
            if name not in known
        ]
        expanded = list(dict.fromkeys(expand))
        for name in expanded:
            if name not in known or not self._leads_on(known[name]):
                faults.append(Fault("expand", "not_expandable", f"{name!r} cannot be expanded."))
        if faults:
            raise Invalid(faults=faults)
        return Output(self, chosen, tuple(expanded))

    # --- input --------------------------------------------------------------------------------------------------

    def read_input(
        self, document: Any, *, partial: bool, operation: str = "create", comes_later: str = ""
    ) -> dict[str, Any]:
        """A client's document as field name → value; `version` becomes the expected version.

        `partial` leaves out what is not sent; otherwise a missing required field is a fault, but for the one that the caller
        fills in later, and the others are left to their defaults. Raises: Invalid with every fault.
        """
        document = as_object(document)
        values: dict[str, Any] = {}
        faults: list[Fault] = []
        for name, sent in document.items():
            try:
                if name == "version" and operation == "update":
                    values[EXPECTED_VERSION] = self._expected_version(sent)
                else:
                    values[name] = self._read(name, sent)
            except BadValue as bad:
                faults.append(Fault(str(name), bad.code, bad.detail))
        if not partial:
            faults += [
                Fault(name, "required", "This field is required.")
                for name in self._access.required
                if name not in document and name != comes_later
            ]
        if not faults:
            faults = self._unseen_references(values)
        if faults:
            raise Invalid(faults=faults)
        return values

    def _read(self, name: str, sent: Any) -> Any:
        field = self._access.editable.get(name)
        if field is None:
            raise self._not_settable(name)
        if sent is None:
            if field.nullable:
                return None
            raise BadValue("null", "This field cannot be null.")
        value = field.type.from_json(field, sent)
        if field.required and isinstance(value, str) and not value.strip():
            raise BadValue("required", "This field cannot be blank.")
        return value

    def _not_settable(self, name: str) -> BadValue:
        field = self.fields.get(name)
        if field is None:
            return BadValue("unknown_field", "There is no such field.")
        if field.read_only:
            return BadValue("read_only", "This field is set by the system.")
        return BadValue("not_editable", "Your role may not change this field.")

    def _expected_version(self, sent: Any) -> int:
        # 3.0 is a whole number to JSON.
        if isinstance(sent, bool) or not isinstance(sent, int | Decimal) or not 0 < sent < 2**31 or sent % 1:
            raise BadValue("not_an_integer", "The version you read, a whole number, is expected.")
        return int(sent)

    def _unseen_references(self, values: Mapping[str, Any]) -> list[Fault]:
        """References to records the actor does not see. That they exist at all is checked where they are written."""
        relations = {
            name: target for name, target in self._access.relations.items() if values.get(name) is not None
        }
        if not relations:
            return []
        asked: dict[str, set[UUID]] = defaultdict(set)
        for name, target in relations.items():
            if not sees_everything(entities[target], self.actor):
                asked[target].add(values[name])
        seen = {
            target: set(
                EntityView(entities[target], self.actor)
                .records()
                .filter(pk__in=ids)
                .values_list("pk", flat=True)
            )
            for target, ids in asked.items()
        }
        return [
            Fault(name, "does_not_exist", "There is no such record.")
            for name, target in relations.items()
            if target in seen and values[name] not in seen[target]
        ]

    # --- search -------------------------------------------------------------------------------------------------

    @cached_property
    def searched(self) -> tuple[Field, ...]:
        return tuple(field for field in self.fields.values() if field.search)

    def search(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Records that match the text, best first. See `core.access.search`."""
        from core.access.search import search

        return search(self, queryset, text)

    def none_of(self) -> Q:
        return Q(pk__in=[])

"""`EntityView`: an entity narrowed to what one actor may see, ask and write."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, Case, QuerySet, Value, When

from core.access.field_access import access_to, may
from core.access.input import InputReader
from core.access.output import Output
from core.access.search import search
from core.access.visibility import sees_everything, visible
from core.conditions.sources import MaskedField, UnknownField
from core.entities import CUSTOM_FIELDS, Entity, Field, entities
from core.kernel.errors import MASKED, Fault, Forbidden, NotFound, refused_input
from core.tenancy.actors import Actor


def view(entity: str | Entity, actor: Actor) -> EntityView:
    return EntityView(entities[entity] if isinstance(entity, str) else entity, actor)


class EntityView:
    """The one door to an entity's data. Needs the actor's company in context when it reads."""

    def __init__(self, entity: Entity, actor: Actor) -> None:
        self.entity = entity
        self.actor = actor
        self.access = access_to(entity, actor)
        # What may be seen, and of that set, and asked for. See `FieldAccess`.
        self.modes = self.access.modes
        self.fields = self.access.fields
        self.editable = self.access.editable
        self.askable = self.access.askable

    # --- what may be done ---------------------------------------------------------------------------------------

    def can(self, verb: str) -> bool:
        """Whether the role has the verb on records of this kind; which of them, `records` and `get` decide."""
        return may(self.actor.rights, self.entity, verb)

    def require(self, verb: str) -> None:
        """Raises: Forbidden."""
        if not self.can(verb):
            raise Forbidden(f"Your role may not {verb} {self.entity.noun_plural}.")

    # --- which fields -------------------------------------------------------------------------------------------

    def field(self, name: str) -> Field:
        """A field to filter, sort, group or search by.

        Raises: UnknownField, MaskedField.
        """
        return self.access.ask(name)

    def related(self, name: str) -> EntityView:
        """The view of the entity that a relation points to.

        Raises: UnknownField when the field is no relation, or leads to records the actor may not read at all; MaskedField.
        """
        field = self.field(name)
        if not self._leads_on(name):
            raise UnknownField(name)
        return EntityView(entities[field.to], self.actor)

    def _leads_on(self, name: str) -> bool:
        target = self.access.relations.get(name)
        return target is not None and may(self.actor.rights, entities[target], "read")

    def can_ask(self, *names: str) -> bool:
        """Whether the actor may read these records and filter, sort and sum them by all these fields."""
        return self.can("read") and all(name in self.askable for name in names)

    @cached_property
    def searched(self) -> tuple[Field, ...]:
        """The fields that a search looks into."""
        return tuple(field for field in self.askable.values() if field.search)

    @cached_property
    def default_ordering(self) -> str:
        """The entity's own order; by id where the actor may not sort by that."""
        ordering = self.entity.ordering
        return ordering if ordering.removeprefix("-") in self.askable else "-id"

    # --- which records ------------------------------------------------------------------------------------------

    def records(self, verb: str = "read") -> QuerySet[Any]:
        """Every record that is open to the actor for the verb, not those in the recycle bin."""
        queryset = self._manager.filter(visible(self.entity, self.actor, verb))
        return queryset.filter(deleted_at__isnull=True) if self.entity.is_soft_deleted else queryset

    def bin(self, verb: str = "read") -> QuerySet[Any]:
        """The records in the recycle bin that would be open to the actor for the verb."""
        return self._manager.filter(visible(self.entity, self.actor, verb), deleted_at__isnull=False)

    @property
    def _manager(self) -> Any:
        return self.entity.model._default_manager

    def get(self, record_id: str | UUID, among: QuerySet[Any] | None = None, *, verb: str = "read") -> Any:
        """One record that is open to the actor for the verb. One statement.

        Raises: NotFound, alike for what never was, what is another company's and what the actor may not see; Forbidden for
        what they see and the verb is not open for.
        """
        try:
            key = record_id if isinstance(record_id, UUID) else UUID(record_id)
        except ValueError:
            raise NotFound() from None
        found = self.with_verbs(self.records() if among is None else among, (verb,)).filter(pk=key).first()
        if found is None:
            raise NotFound()
        if not self.allows(found, verb):
            raise self.not_open(verb)
        return found

    def not_open(self, verb: str) -> Forbidden:
        """The refusal of a record that the actor sees and the verb is not open for."""
        return Forbidden(f"You may see this {self.entity.noun}, but not {verb} it.")

    def with_verbs(self, records: QuerySet[Any], verbs: Collection[str]) -> QuerySet[Any]:
        """Visible records that know what `allows` asks of them."""
        flags = {
            f"allows_{verb}": Case(
                When(visible(self.entity, self.actor, verb), then=Value(True)),
                default=Value(False),
                output_field=BooleanField(),
            )
            for verb in verbs
            if verb != "read" and not sees_everything(self.entity, self.actor, verb)
        }
        return records.annotate(**flags) if flags else records

    def allows(self, record: Any, verb: str) -> bool:
        """Whether the verb is open for a record of `with_verbs`. Whether the role has the verb is another question: `can`."""
        if verb == "read" or sees_everything(self.entity, self.actor, verb):
            return True
        return bool(getattr(record, f"allows_{verb}", False))

    def open_for(
        self, ids: Collection[UUID], verbs: Collection[str], among: QuerySet[Any] | None = None
    ) -> Mapping[UUID, frozenset[str]]:
        """Of these records those that the actor sees, each with the verbs that are open for it. One statement.

        `among`: other records than those outside the recycle bin.
        """
        if not ids:
            return {}
        records = self.with_verbs(self.records() if among is None else among, verbs).filter(pk__in=ids)
        return {
            record.pk: frozenset(verb for verb in verbs if self.allows(record, verb))
            for record in records.order_by().only("pk")
        }

    # --- output -------------------------------------------------------------------------------------------------

    def output(self, fields: Iterable[str] | None = None, expand: Iterable[str] = ()) -> Output:
        """How records are rendered. `custom_fields` stands for all of the company's own.

        Raises: Invalid for names that are unknown, or cannot be expanded.
        """
        chosen = tuple(self.fields) if fields is None else self._chosen(fields)
        faults = [
            Fault("fields", "unknown_field", f"There is no field {name!r}.")
            for name in chosen
            if name not in self.fields
        ]
        expanded = tuple(dict.fromkeys(expand))
        for name in expanded:
            if name in self.access.masks:
                faults.append(Fault("expand", MASKED, f"{name!r} is masked for you and cannot be expanded."))
            elif not self._leads_on(name):
                faults.append(Fault("expand", "not_expandable", f"{name!r} cannot be expanded."))
        if faults:
            raise refused_input(faults=faults)
        return Output(self, chosen, expanded)

    def _chosen(self, names: Iterable[str]) -> tuple[str, ...]:
        custom = [name for name, field in self.fields.items() if field.custom_key]
        named: list[str] = []
        for name in names:
            named += custom if name == CUSTOM_FIELDS and custom else [name]
        return tuple(dict.fromkeys(named))

    # --- input --------------------------------------------------------------------------------------------------

    def read_input(
        self, document: Any, *, partial: bool, operation: str = "create", comes_later: str = ""
    ) -> dict[str, Any]:
        """A client's document as field name → value; `version` becomes the expected version, `custom_fields` one object.

        `partial` leaves out what is not sent; otherwise a missing required field is a fault, but for the one that the caller
        fills in later, and the others are left to their defaults. Raises: Invalid with every fault; Forbidden likewise, if a
        field is not the actor's to change.
        """
        reader = InputReader(self, operation)
        return reader.read(document, partial=partial, comes_later=comes_later)

    def defaults(self, values: Mapping[str, Any], kept: Collection[str] = ()) -> dict[str, Any]:
        """What replacing a whole record sets besides `values`: fields that the actor may edit fall back to their defaults, but
        for those `kept`."""
        return InputReader(self, "update").defaults(values, kept)

    def shown_faults(self, faults: Iterable[Fault]) -> tuple[Fault, ...]:
        """Faults of an operation without those that would tell of a field hidden from the actor."""
        return tuple(
            Fault("", "refused", "The record cannot be written like this.") if self._tells(fault) else fault
            for fault in faults
        )

    def _tells(self, fault: Fault) -> bool:
        path = fault.path
        name = path if path.startswith(f"{CUSTOM_FIELDS}.") else path.partition(".")[0]
        return name in self.modes and name not in self.fields

    # --- search -------------------------------------------------------------------------------------------------

    def search(self, queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Records that match the text, best first. See `core.access.search`."""
        return search(self, queryset, text)


__all__ = ["EntityView", "MaskedField", "UnknownField", "view"]

"""`/metadata/entities/`: kinds of records and their fields, as far as the caller may see them, and what they may do."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict
from rest_framework.request import Request
from rest_framework.response import Response

from core.access import EntityView, view
from core.access.modes import Mode
from core.conditions.operators import OPERATORS
from core.entities import Field, entities
from core.entities.kinds import Kind
from core.kernel.errors import NotFound
from core.rest.schema import documented
from core.rest.views import MEMBER, ApiView
from core.tenancy.actors import VERBS


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ChoiceMetadata(_Document):
    value: str
    label: str


class FieldMetadata(_Document):
    name: str
    label: str
    description: str
    type: Kind
    # What the caller may do with it.
    mode: Mode
    required: bool
    nullable: bool
    read_only: bool
    unique: bool
    default: str | int | bool | None
    choices: list[ChoiceMetadata]
    max_length: int | None
    decimal_places: int | None
    minimum: str | None
    maximum: str | None
    # The entity that a relation points to.
    relation: str | None
    filterable: bool
    operators: list[str]
    sortable: bool
    searchable: bool
    groupable: bool
    summable: bool
    # The part it plays: name, owner, amount, …
    meaning: str | None


class EntitySummary(_Document):
    name: str
    label: str
    label_plural: str
    path: str
    # Fields that together name a record to people.
    title: list[str]
    ordering: str
    recycle_bin: bool
    # Which verbs the caller's role has here.
    can: dict[str, bool]


class EntityMetadata(EntitySummary):
    fields: list[FieldMetadata]


class EntityList(_Document):
    results: list[EntitySummary]


class FieldList(_Document):
    results: list[FieldMetadata]


_NAME: dict[str, Any] = {"name": {"type": "string", "pattern": "^[a-z_]{1,100}$"}}


class _MetadataView(ApiView):
    verbs = {"get": MEMBER}

    def find(self, name: str) -> EntityView:
        """Raises: NotFound, alike for what is not there and what the caller may not read."""
        entity = entities.find(name)
        seen = view(entity, self.actor) if entity is not None else None
        if seen is None or not seen.can("read"):
            raise NotFound()
        return seen

    def answer(self, document: BaseModel) -> Response:
        return Response(document.model_dump(mode="json"))


class EntitiesView(_MetadataView):
    """The kinds of records the caller may read."""

    @documented(response=EntityList)
    def get(self, request: Request) -> Response:
        seen = [view(entity, self.actor) for entity in entities]
        return self.answer(
            EntityList(results=[EntitySummary(**_summary(one)) for one in seen if one.can("read")])
        )


class EntityMetadataView(_MetadataView):
    """One kind of record with its fields."""

    @documented(response=EntityMetadata, path=_NAME)
    def get(self, request: Request, name: str) -> Response:
        seen = self.find(name)
        return self.answer(EntityMetadata(**_summary(seen), fields=_fields(seen)))


class FieldsView(_MetadataView):
    """The fields of one kind of record."""

    @documented(response=FieldList, path=_NAME)
    def get(self, request: Request, name: str) -> Response:
        return self.answer(FieldList(results=_fields(self.find(name))))


def _summary(seen: EntityView) -> dict[str, Any]:
    entity = seen.entity
    return {
        "name": entity.name,
        "label": entity.label,
        "label_plural": entity.label_plural,
        "path": f"/api/v1/{entity.path}/",
        "title": [name for name in entity.title if name in seen.fields],
        "ordering": seen.default_ordering,
        "recycle_bin": entity.is_soft_deleted,
        "can": {verb: seen.can(verb) for verb in VERBS},
    }


def _fields(seen: EntityView) -> list[FieldMetadata]:
    return [_field(field, seen.modes[name]) for name, field in seen.fields.items()]


def _field(field: Field, mode: Mode) -> FieldMetadata:
    """What is masked is described as the masked text that is shown: it can be neither asked for nor written."""
    is_decimal = field.kind in (Kind.DECIMAL, Kind.MONEY)
    default = str(field.default) if isinstance(field.default, Decimal) else field.default
    return FieldMetadata(
        name=field.name,
        label=field.label,
        description=field.description,
        type=field.kind,
        mode=mode,
        required=field.required and not field.read_only,
        nullable=field.nullable,
        read_only=field.read_only,
        unique=field.unique,
        default=default if isinstance(default, str | int | bool) else None,
        choices=[ChoiceMetadata(value=value, label=label) for value, label in field.choices],
        max_length=field.max_length,
        decimal_places=field.decimal_places if is_decimal else None,
        minimum=None if field.minimum is None else str(field.minimum),
        maximum=None if field.maximum is None else str(field.maximum),
        relation=field.to or None,
        filterable=field.filterable,
        operators=[name for name in OPERATORS if field.filterable and name in field.type.operators],
        sortable=field.sortable,
        searchable=bool(field.search),
        groupable=field.dimension,
        summable=field.measure,
        meaning=field.meaning or None,
    )

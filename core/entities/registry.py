"""Entries of the registry and how they are completed from the models when Django has started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.text import capfirst

from core.entities.kinds import KINDS, Kind, KindType
from core.kernel.registry import Registry
from core.tenancy.fields import PersonField, TenantForeignKey


@dataclass(frozen=True, slots=True)
class Fact:
    """What a declaration adds to what a field's model column already says."""

    name: str
    kind: Kind | None = None
    label: str = ""
    # Set by the system alone; a client that sends it gets a fault.
    read_only: bool = False
    required: bool | None = None
    # Personal data: masking, erasure and export care.
    pii: bool = False
    # The weight in full-text search, A (most) to D; empty: not searched.
    search: str = ""
    # Identifies a record among those of its company: relations may be given by it, imports may match on it.
    key: bool = False
    # The part this field plays: owner, name, amount, currency, stage, status, close_date, …
    meaning: str = ""
    filterable: bool = True
    sortable: bool = True
    # May be grouped by, may be summed.
    dimension: bool | None = None
    measure: bool | None = None
    # For a value that is no column: SQL over the row, `{t}` being its table.
    sql: str = ""
    # The column that holds `lower(btrim(value))` and has an index, for finding records by the value.
    folded: str = ""
    description: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    # The type of what a field of JSON holds, as pydantic reads it, for the API's document; None: anything.
    json_type: Any = None


def fact(name: str, **facts: Any) -> Fact:
    return Fact(name, **facts)


@dataclass(frozen=True)
class Field:
    """One field of an entity, complete."""

    name: str
    kind: Kind
    label: str
    column: str
    required: bool
    nullable: bool
    read_only: bool
    pii: bool
    search: str
    key: bool
    meaning: str
    filterable: bool
    sortable: bool
    dimension: bool
    measure: bool
    sql: str
    description: str
    choices: tuple[tuple[str, str], ...]
    max_length: int | None
    max_digits: int
    decimal_places: int
    minimum: Decimal | int | None
    maximum: Decimal | int | None
    unique: bool
    # The entity a relation or person points to.
    to: str
    default: Any
    # See `Fact`.
    folded: str = ""
    # What a queryset calls the value of a field that is no column.
    alias: str = ""
    # The key in the record's `custom_fields` of a field that a company added.
    custom_key: str = ""
    # See `Fact`.
    json_type: Any = None

    @cached_property
    def type(self) -> KindType:
        return KINDS[self.kind]

    @cached_property
    def is_relation(self) -> bool:
        return self.kind in (Kind.RELATION, Kind.PERSON)

    @property
    def attribute(self) -> str:
        """What a queryset and its records call the value; a computed one after `with_computed`."""
        return self.column or self.alias or self.name

    @cached_property
    def choice_values(self) -> tuple[str, ...]:
        return tuple(value for value, _ in self.choices)

    def sql_of(self, table: str) -> str:
        """The value as SQL over the alias or table `table`."""
        if self.sql:
            return f"({self.sql.format(t=table)})"
        return f'{table}."{self.column}"'


@dataclass(frozen=True)
class Writes:
    """The operations of an entity. Each takes `actor`, `rows` (`core.changes.Rows`) and `now`, and returns an `Outcome`.

    `judge` takes the verb before them and the options of `core.changes.judge`, and says what the operation would do.
    """

    create: Callable[..., Any] | None = None
    update: Callable[..., Any] | None = None
    delete: Callable[..., Any] | None = None
    restore: Callable[..., Any] | None = None
    # Judges the values of one row that is created or changed, before any is written: content of JSON columns that their
    # kind does not check. Raises: Invalid.
    check: Callable[[Mapping[str, Any]], None] | None = None
    judge: Callable[..., Any] | None = None


# Every company's row has these, set by the system.
BASE_FACTS = (
    fact("id", read_only=True, sortable=True),
    fact("created_at", read_only=True),
    fact("updated_at", read_only=True),
    fact("created_by", read_only=True),
    fact("updated_by", read_only=True),
    fact("version", read_only=True, dimension=False, measure=False),
)

# What every `Record` has besides, declared after the entity's own fields.
RECORD_FACTS = (
    fact("owner", meaning="owner"),
    fact("tags"),
    fact("external_source"),
    fact("external_id", key=True),
)
# The column that holds the values of the company's own fields, and in documents the object that does.
CUSTOM_FIELDS = "custom_fields"
# Columns of every `Record` that no client sees as they are.
RECORD_INTERNAL = frozenset({CUSTOM_FIELDS, "deleted_at", "deleted_by"})


@dataclass(frozen=True)
class Nested:
    """A list of an entity below one parent: `/{parents}/{id}/{path}/`.

    `parent` is the entity's relation to it. `with_records`: each record has its address there, too.
    """

    parent: str
    path: str
    with_records: bool = False


@dataclass(frozen=True)
class Entity:
    """What is true of a kind of record. `facts` name every column of the model that is not `internal`."""

    name: str
    plural: str
    model_label: str
    facts: tuple[Fact, ...]
    internal: frozenset[str] = frozenset()
    writes: Writes = Writes()
    # What the records are, in a sentence or two: the API's document shows it.
    description: str = ""
    # Where its list stands below `/api/v1/`, when that is not the plural.
    served_at: str = ""
    # Where it is also listed: below the records of its parents.
    nested: tuple[Nested, ...] = ()
    # Fields that a PUT leaves alone when they are not sent; the owner always is.
    put_keeps: frozenset[str] = frozenset()
    # Fields that together name a record to people.
    title: tuple[str, ...] = ("name",)
    ordering: str = "-created_at"
    # Relations through which a record is visible besides its own owner.
    visible_through: tuple[str, ...] = ()
    # The permission word that creating, changing and deleting take, in place of the verbs: for records that decide how
    # others work. Empty: the verbs.
    guarded_by: str = ""
    # The permission word that reading takes, in place of the verb.
    read_guarded_by: str = ""
    # Named events beyond created, updated, deleted and restored: name -> condition over `changed`, `old` and `new`.
    events: Mapping[str, Callable[[frozenset[str], Mapping[str, Any], Mapping[str, Any]], bool]] = field(
        default_factory=dict
    )

    @cached_property
    def model(self) -> type[models.Model]:
        return apps.get_model(self.model_label)

    @property
    def class_name(self) -> str:
        """The name in CamelCase, for what is made of the entity: components of the API's document, viewsets."""
        return "".join(part.capitalize() for part in self.name.split("_"))

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    @property
    def noun(self) -> str:
        """The kind's name inside a sentence."""
        return str(self.model._meta.verbose_name)

    @property
    def noun_plural(self) -> str:
        return str(self.model._meta.verbose_name_plural)

    @property
    def label(self) -> str:
        return capfirst(self.noun)

    @property
    def label_plural(self) -> str:
        return capfirst(self.noun_plural)

    @cached_property
    def fields(self) -> dict[str, Field]:
        return {item.name: _complete(self, item) for item in (*BASE_FACTS, *self.facts)}

    @cached_property
    def by_meaning(self) -> dict[str, Field]:
        return {item.meaning: item for item in self.fields.values() if item.meaning}

    def relations_to(self, target: str) -> list[Field]:
        """The declared fields that lead to records of another entity."""
        return [item for item in self.fields.values() if item.is_relation and item.to == target]

    def target_of(self, relation: str) -> str:
        """The name of the entity that a declared relation leads to."""
        return self.fields[relation].to

    @cached_property
    def has_external_id(self) -> bool:
        return "external_id" in self.fields

    @cached_property
    def is_soft_deleted(self) -> bool:
        return any(column.name == "deleted_at" for column in self.model._meta.concrete_fields)

    @cached_property
    def takes_custom_fields(self) -> bool:
        """Whether its records have a place for fields that a company adds."""
        return any(column.name == CUSTOM_FIELDS for column in self.model._meta.concrete_fields)

    @property
    def owner(self) -> Field | None:
        return self.by_meaning.get("owner")

    @cached_property
    def path(self) -> str:
        """Where its list stands below `/api/v1/`."""
        return self.served_at or self.plural.replace("_", "-")


entities: Registry[Entity] = Registry("entity")


def register(entity: Entity) -> Entity:
    return entities.register(entity.name, entity)


def get_entity(name: str) -> Entity:
    """Raises: KeyError."""
    return entities[name]


def entity_of_model(model: type[models.Model]) -> Entity | None:
    return next((entity for entity in entities if entity.model is model), None)


_KIND_BY_CLASS: tuple[tuple[type[models.Field], Kind], ...] = (
    (PersonField, Kind.PERSON),
    (TenantForeignKey, Kind.RELATION),
    (models.ForeignKey, Kind.RELATION),
    (models.EmailField, Kind.EMAIL),
    (models.URLField, Kind.URL),
    (models.UUIDField, Kind.UUID),
    (models.CharField, Kind.TEXT),
    (models.TextField, Kind.LONG_TEXT),
    (models.BooleanField, Kind.BOOLEAN),
    (models.DateTimeField, Kind.DATETIME),
    (models.DateField, Kind.DATE),
    (models.DecimalField, Kind.DECIMAL),
    (models.IntegerField, Kind.INTEGER),
    (models.JSONField, Kind.JSON),
    (ArrayField, Kind.TAGS),
)


def _kind_of(column: models.Field) -> Kind:
    if column.choices:
        return Kind.CHOICE
    return next(kind for kind_class, kind in _KIND_BY_CLASS if isinstance(column, kind_class))


def _limit(column: models.Field, validator: type[MinValueValidator] | type[MaxValueValidator]) -> Any:
    return next((item.limit_value for item in column.validators if isinstance(item, validator)), None)


def _complete(entity: Entity, declared: Fact) -> Field:
    if declared.sql:
        return _computed(declared)
    column: Any = entity.model._meta.get_field(declared.name)
    generated = isinstance(column, models.GeneratedField)
    typed: Any = column.output_field if generated else column
    kind = declared.kind or _kind_of(typed)
    to = ""
    if kind is Kind.PERSON:
        to = "user"
    elif kind is Kind.RELATION:
        to = next(item.name for item in entities if item.model_label == column.related_model._meta.label)
    has_default = column.has_default() or column.db_default is not models.NOT_PROVIDED
    groupable = kind not in (Kind.LONG_TEXT, Kind.JSON, Kind.UUID, Kind.EMAIL, Kind.PHONE, Kind.URL)
    summable = kind in (Kind.INTEGER, Kind.DECIMAL, Kind.MONEY)
    return Field(
        name=declared.name,
        kind=kind,
        label=declared.label or _label(declared.name),
        column=column.column,
        required=declared.required
        if declared.required is not None
        else not (column.blank or column.null or has_default),
        nullable=column.null,
        read_only=declared.read_only or generated,
        pii=declared.pii,
        search=declared.search,
        key=declared.key,
        meaning=declared.meaning,
        filterable=declared.filterable,
        sortable=declared.sortable and kind not in (Kind.LONG_TEXT, Kind.JSON, Kind.TAGS),
        dimension=declared.dimension if declared.dimension is not None else groupable,
        measure=declared.measure if declared.measure is not None else summable,
        sql="",
        description=declared.description or str(column.help_text),
        choices=declared.choices or tuple((str(value), str(label)) for value, label in typed.choices or ()),
        max_length=getattr(typed, "max_length", None),
        max_digits=getattr(typed, "max_digits", None) or 18,
        decimal_places=getattr(typed, "decimal_places", None) or 0,
        minimum=_limit(typed, MinValueValidator),
        maximum=_limit(typed, MaxValueValidator),
        unique=column.unique and declared.name != "id",
        to=to,
        default=None if generated or not has_default or callable(column.default) else column.default,
        folded=declared.folded,
        json_type=declared.json_type,
    )


def _label(name: str) -> str:
    """The name as people read it; a switch is called by what it switches."""
    return name.removeprefix("is_").replace("_", " ").capitalize()


def _computed(declared: Fact) -> Field:
    if declared.kind is None:
        raise ValueError(f"{declared.name}: a computed field must declare its kind")
    return Field(
        name=declared.name,
        kind=declared.kind,
        label=declared.label or _label(declared.name),
        column="",
        required=False,
        nullable=True,
        read_only=True,
        pii=declared.pii,
        search="",
        key=declared.key,
        meaning=declared.meaning,
        filterable=declared.filterable,
        sortable=declared.sortable,
        dimension=bool(declared.dimension),
        measure=bool(declared.measure),
        sql=declared.sql,
        description=declared.description,
        choices=declared.choices,
        max_length=None,
        max_digits=18,
        decimal_places=2,
        minimum=None,
        maximum=None,
        unique=False,
        to="",
        default=None,
    )


def with_facts(facts: tuple[Fact, ...], **changes: Fact) -> tuple[Fact, ...]:
    """The same facts with some replaced by name."""
    return tuple(
        replace(changes[item.name], name=item.name) if item.name in changes else item for item in facts
    )

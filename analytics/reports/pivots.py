"""A typed pivot: where its values lie, what it groups by and what it sums up."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from analytics.reports.schemas import ChartDocument, SortDocument
from core.access import EntityView, view
from core.conditions import Condition
from core.entities import Entity, Field, entities
from core.entities.kinds import Kind
from core.tenancy.actors import Actor

BUCKETS = ("year", "quarter", "month", "week", "day", "weekday", "fiscal_year", "fiscal_quarter")


@dataclass(frozen=True)
class Lines:
    """The lines of a source's records, whose totals stand in for the records' amount where lines are grouped by."""

    view: EntityView
    # The lines' relation to the record.
    parent: Field
    total: Field

    def has(self, name: str) -> bool:
        return name in self.view.modes and name != self.parent.name


@dataclass(frozen=True)
class Place:
    """A field and the relations that lead to it: each with the view of the records it leads to."""

    field: Field
    steps: tuple[tuple[Field, EntityView], ...] = ()
    of_lines: bool = False


@dataclass(frozen=True)
class Dimension:
    """What is grouped by."""

    name: str
    label: str
    place: Place
    bucket: str = ""
    bin_size: Decimal | None = None
    top: int | None = None
    # The records behind the field, where it is itself a relation: their titles are its labels.
    target: EntityView | None = None

    @property
    def field(self) -> Field:
        return self.place.field


@dataclass(frozen=True)
class Measure:
    """What each cell shows. A formula has a tree and no aggregation; a count of records has no place."""

    name: str
    label: str
    aggregation: str
    field_name: str
    place: Place | None = None
    percentile: float = 50
    formula: ast.expr | None = None
    format: str = ""
    show_as: str = "value"

    @property
    def is_money(self) -> bool:
        if self.format == "money":
            return True
        return (
            self.place is not None
            and self.place.field.kind is Kind.MONEY
            and self.aggregation not in ("count", "count_distinct")
            and self.format in ("", "money")
        )


@dataclass(frozen=True)
class Definition:
    """A pivot ready to be compiled. `measures` are in the order in which they are shown."""

    source: EntityView
    rows: tuple[Dimension, ...]
    columns: tuple[Dimension, ...]
    measures: tuple[Measure, ...]
    conditions: tuple[Condition, ...] = ()
    sort: SortDocument = field(default_factory=lambda: SortDocument(by="label"))
    show_subtotals: bool = True
    show_totals: bool = True
    chart: ChartDocument | None = None
    lines: Lines | None = None

    @property
    def entity(self) -> Entity:
        return self.source.entity

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        return (*self.rows, *self.columns)

    @property
    def fans_out(self) -> bool:
        """Whether a record stands with each of its lines."""
        return any(item.place.of_lines for item in self.dimensions)


# --- sources ---------------------------------------------------------------------------------------------------


def find_source(actor: Actor, name: Any) -> EntityView | None:
    """The records of a data source as the actor sees them; None where they may not report on such."""
    for entity in entities:
        if isinstance(name, str) and name in (entity.plural, entity.name, entity.path):
            found = view(entity, actor)
            return found if found.can("read") and found.can("analytics") else None
    return None


def lines_of(source: EntityView) -> Lines | None:
    """What lists the source's records line by line: records nested below it whose own amounts make up its amount."""
    if "amount" not in source.entity.by_meaning:
        return None
    for entity in entities:
        total = entity.by_meaning.get("amount")
        for nested in entity.nested:
            parents = [item for item in entity.relations_to(source.entity.name) if item.name == nested.parent]
            if total is not None and parents and nested.parent in entity.visible_through:
                found = view(entity, source.actor)
                return Lines(found, parents[0], total) if found.can("read") else None
    return None


def main_date(entity: Entity) -> str:
    """The date that `quarter` alone means: the close date where there is one, else the time of creation."""
    found = entity.by_meaning.get("close_date")
    return found.name if found else "created_at"


def find_dimension(dimensions: Iterable[Dimension], name: str) -> Dimension | None:
    """The dimension of this name, or over the field of this name; `quarter` means the one with that bucket."""
    return next(
        (item for item in dimensions if name in (item.name, item.name.partition(":")[0], item.bucket)), None
    )


def find_measure(measures: Iterable[Measure], name: str) -> Measure | None:
    return next((item for item in measures if name in (item.name, item.field_name)), None)

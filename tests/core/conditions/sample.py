"""A record with a field of every kind, in a temporary table of its own, and a source that shows it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import connection, models

from core.conditions import UnknownField
from core.entities import Entity, Field, fact
from core.entities.kinds import Kind
from core.entities.registry import _complete


class Sample(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=50, default="", blank=True)
    nickname = models.CharField(max_length=50, null=True)  # noqa: DJ001 - a text that may be null is the point
    story = models.TextField(default="", blank=True)
    email = models.EmailField(default="", blank=True)
    status = models.CharField(
        max_length=10, choices=[("new", "New"), ("won", "Won"), ("lost", "Lost")], default="new"
    )
    score = models.IntegerField(null=True)
    amount = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    is_open = models.BooleanField(null=True)
    close_date = models.DateField(null=True)
    met_at = models.DateTimeField(null=True)
    tags = ArrayField(models.CharField(max_length=64), default=list)
    extra = models.JSONField(null=True)
    custom_fields = models.JSONField(default=dict)
    parent = models.ForeignKey("self", null=True, on_delete=models.DO_NOTHING, db_constraint=False)
    is_visible = models.BooleanField(default=True)

    class Meta:
        app_label = "conditions_tests"
        managed = False

    def __str__(self) -> str:
        return self.name


FACTS = (
    *(fact(name) for name in ("id", "name", "nickname", "story", "email", "status", "score")),
    fact("amount", kind=Kind.MONEY),
    *(fact(name) for name in ("is_open", "close_date", "met_at", "tags", "extra")),
    # The kind that needs no registered entity to point to.
    fact("parent", kind=Kind.PERSON),
    fact("secret", kind=Kind.TEXT, sql="'hush'"),
    fact("unasked", kind=Kind.TEXT, sql="'x'", filterable=False),
    fact("custom_fields.color", kind=Kind.TEXT, sql="{t}.custom_fields->>'color'"),
    fact("custom_fields.size", kind=Kind.INTEGER, sql="({t}.custom_fields->>'size')::bigint"),
)


class SampleEntity(Entity):
    @property
    def model(self):
        return Sample

    @cached_property
    def fields(self) -> dict[str, Field]:
        return {item.name: _complete(self, item) for item in self.facts}


ENTITY = SampleEntity(name="sample", plural="samples", model_label="conditions_tests.Sample", facts=FACTS)


@dataclass(frozen=True)
class Source:
    hidden: frozenset[str] = frozenset({"secret"})
    entity: Entity = field(default=ENTITY)

    @property
    def askable(self):
        return {name: found for name, found in self.entity.fields.items() if name not in self.hidden}

    def field(self, name):
        if name not in self.entity.fields or name in self.hidden:
            raise UnknownField(name)
        return self.entity.fields[name]

    def related(self, name):
        return self

    def records(self):
        return Sample.objects.filter(is_visible=True)


NAMES = tuple(
    name for name in ENTITY.fields if "." not in name and name not in ("secret", "unasked", "parent")
)


def record_of(row: Sample | None) -> dict[str, Any] | None:
    """What the back end in memory gets: nested records three relations deep, invisible ones as None."""
    return None if row is None else _record(row, 3)


def _record(row: Sample, depth: int) -> dict[str, Any]:
    record = {name: getattr(row, name) for name in NAMES}
    record |= {"custom_fields": row.custom_fields, "parent": row.parent_id}
    if row.parent_id and depth:
        record["parent_detail"] = _record(row.parent, depth - 1) if row.parent.is_visible else None
    return record


def make_table() -> None:
    """Gone with the transaction."""
    with connection.cursor() as cursor:
        columns = ", ".join(
            f'"{column.column}" {column.rel_db_type(connection) if column.is_relation else column.db_type(connection)}'
            for column in Sample._meta.concrete_fields
        )
        cursor.execute(f'CREATE TEMP TABLE "{Sample._meta.db_table}" ({columns}) ON COMMIT DROP')

"""Which rule each record meets: the first by priority, of equal ones that of the deeper territory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Case, QuerySet, UUIDField, Value, When

from core.access import view
from core.conditions import compile_condition
from core.conditions.compiler import Condition
from core.entities import Entity
from core.kernel.errors import DomainError
from core.tenancy.actors import system_actor
from core.tenancy.context import current_company_id
from territories.models import TerritoryRule
from territories.queries import in_effect


@dataclass(frozen=True)
class Ordered:
    """The rules of one kind of records in the order in which they are asked, with their conditions.

    A rule whose condition no longer fits the fields there are (a field was removed, say) is in `broken`, and asked never.
    """

    rules: dict[UUID, TerritoryRule]
    conditions: dict[UUID, Condition]
    broken: tuple[TerritoryRule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rules)


@dataclass(frozen=True)
class Match:
    """Where a record is, and the rule that it meets."""

    record_id: UUID
    territory_id: UUID | None
    owner_id: UUID | None
    rule_id: UUID | None
    target_id: UUID | None

    @property
    def moves(self) -> bool:
        return self.target_id is not None and self.target_id != self.territory_id


def ordered_rules(entity: Entity, now: datetime) -> Ordered:
    """The active rules of territories that are active and in effect. One statement."""
    found = TerritoryRule.objects.filter(
        in_effect(now.date(), "territory__"),
        entity_type=entity.name,
        is_active=True,
        territory__is_active=True,
    )
    rules: dict[UUID, TerritoryRule] = {}
    conditions: dict[UUID, Condition] = {}
    broken = []
    seen = view(entity, system_actor(current_company_id()))
    for rule in found.select_related("territory").order_by("priority", "-territory__hierarchy_level", "pk"):
        try:
            conditions[rule.pk] = compile_condition(rule.condition, seen)
        except DomainError:
            broken.append(rule)
            continue
        rules[rule.pk] = rule
    return Ordered(rules, conditions, tuple(broken))


def match_records(entity: Entity, ordered: Ordered, now: datetime, records: QuerySet[Any]) -> list[Match]:
    """The rule of each record that is not pinned and not in the recycle bin. One statement."""
    return list(_matches(entity, ordered, now, records))


def _matches(entity: Entity, ordered: Ordered, now: datetime, records: QuerySet[Any]) -> Iterator[Match]:
    if not ordered:
        return
    first = Case(
        *(
            When(condition.to_q(now=now), then=Value(rule_id, UUIDField()))
            for rule_id, condition in ordered.conditions.items()
        ),
        default=Value(None, UUIDField()),
        output_field=UUIDField(),
    )
    asked = records.filter(deleted_at__isnull=True, territory_pinned=False).annotate(first_rule=first)
    for pk, territory_id, owner_id, rule_id in asked.values_list(
        "pk", "territory_id", "owner_id", "first_rule"
    ):
        target = ordered.rules[rule_id].territory_id if rule_id else None
        yield Match(pk, territory_id, owner_id, rule_id, target)

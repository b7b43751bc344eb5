"""Writes of the tree. Path and level follow by themselves (`territories.migrations.0002_tree`)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.contrib.postgres.functions import TransactionNow

from core.changes import Outcome, Rows, WriteSpec, insert, update
from core.changes.gates import Verb
from core.changes.judging import Judged
from core.changes.rules import PlainOperations, in_use, no_cycle, refuse_cycles, take_turns
from core.entities import entities
from core.kernel.errors import Conflict, Fault, Invalid
from core.tenancy.actors import Actor
from territories.models import AssignmentReason, Territory, TerritoryAssignment
from territories.queries import scoped_entities

_SPEC = WriteSpec(
    Territory,
    rules=(
        no_cycle(
            "territories_territory",
            "parent_territory_id",
            "parent_territory",
            "A territory cannot be above itself.",
        ),
    ),
)


@lru_cache(maxsize=1)
def _operations() -> PlainOperations:
    """The registry is complete only when Django has started."""
    records = tuple((entity.table, "territory_id") for entity in scoped_entities())
    removal = WriteSpec(
        Territory,
        rules=(
            in_use(
                "There are territories below it; say where they go with reparent_to.",
                ("territories_territory", "parent_territory_id"),
            ),
            in_use("Records belong to it; say where they go with reparent_to.", *records),
        ),
        also={
            name: f"DELETE FROM {table} x WHERE x.company_id = %(company)s::uuid "
            "AND x.territory_id IN (SELECT old_id FROM written)"
            for name, table in (
                ("members", "territories_territorymember"),
                ("rules", "territories_territoryrule"),
            )
        },
    )
    return PlainOperations(_SPEC, _SPEC, removal)


def create_territories(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """New territories. Needs a transaction; the company's tree is locked."""
    _lock(actor)
    return insert(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)


def update_territories(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change territories; with a new parent, all below moves along. Needs a transaction; the company's tree is locked.

    Raises: Invalid (`cycle`) where changes that are right one by one would close a circle together.
    """
    _lock(actor)
    outcome = update(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)
    if "parent_territory_id" in rows.columns and len(outcome.ids) > 1:
        refuse_cycles(Territory, "parent_territory_id", outcome)
    return outcome


def delete_territories(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Remove territories with their members and rules. Refused where others or records are below. Needs a transaction."""
    _lock(actor)
    return _operations().delete(actor=actor, rows=rows, now=now, all_or_none=all_or_none)


def judge_territories(verb: Verb, *, rows: Rows, **options: Any) -> dict[int, Judged]:
    """What the operation of that verb would do."""
    return _operations().judge(verb, rows=rows, **options)


def remove_territory(*, actor: Actor, territory_id: UUID, reparent_to: UUID, now: datetime) -> None:
    """Remove a territory; what is right below it, and its records, go to `reparent_to`. Needs a transaction.

    Raises: Invalid where `reparent_to` is the territory itself or lies below it; what the records' operations refuse.
    """
    _lock(actor)
    territory = Territory.objects.get(pk=territory_id)
    if territory.get_all_children(include_self=True).filter(pk=reparent_to).exists():
        detail = "It is the territory that is removed, or lies below it."
        raise Invalid(faults=[Fault("reparent_to", "cycle", detail)])
    children = list(Territory.objects.filter(parent_territory=territory_id).values_list("pk", flat=True))
    moved = [{"id": pk, "parent_territory": reparent_to} for pk in children]
    if moved:
        update(_SPEC, Rows.of(Territory, moved), actor=actor, now=now).raise_if_refused()
    for entity in scoped_entities():
        move_records(actor, entity.name, territory_id, reparent_to, now)
    rows = Rows.of(Territory, [{"id": territory_id}])
    _operations().delete(actor=actor, rows=rows, now=now).raise_if_refused()


def move_records(actor: Actor, entity_name: str, source: UUID, target: UUID, now: datetime) -> None:
    """All records of one territory, those in the recycle bin too, to another. Set by set."""
    entity = entities[entity_name]
    operation: Callable[..., Outcome] = entity.writes.update  # type: ignore[assignment]
    here = entity.model._default_manager.filter(territory_id=source)
    while batch := list(here.filter(deleted_at__isnull=True).values_list("pk", flat=True)[:2_000]):
        rows = [{"id": pk, "territory": target} for pk in batch]
        outcome = operation(actor=actor, rows=Rows.of(entity.model, rows), now=now)
        if outcome.refused:
            raise Conflict("A record of the territory cannot be changed now.", code="records_busy")
        TerritoryAssignment.objects.bulk_create(
            TerritoryAssignment(
                company_id=actor.company_id,
                created_by_id=actor.user_id,
                created_at=TransactionNow(),
                entity_type=entity_name,
                record_id=pk,
                territory_id=target,
                previous_territory_id=source,
                reason=AssignmentReason.REPARENTING,
            )
            for pk in batch
        )
    # What is in the bin is out of reach of the operation, and would hold the territory.
    here.update(territory_id=target)


def _lock(actor: Actor) -> None:
    """The lock of the triggers, taken before any row of the tree."""
    take_turns(f"{actor.company_id}:territory tree")

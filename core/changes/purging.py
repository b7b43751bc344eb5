"""Emptying the recycle bin: the only place that takes records away for good. The triggers log each of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import IntegrityError, connection, models

from core.entities.registry import Entity, entities
from core.kernel.faultpoints import declare, fault
from core.kernel.transactions import savepoint, unit_of_work
from core.tenancy.actors import system_actor
from core.tenancy.context import company_context
from core.tenancy.fields import TenantForeignKey
from core.tenancy.guard import company_models

declare("purge.before_commit")

KEPT_IN_BIN = timedelta(days=30)
BATCH = 500

_log = structlog.get_logger("atrium.purge")


def purge_deleted(company_id: UUID, *, deleted_before: datetime, batch: int = BATCH) -> dict[str, int]:
    """Take away the company's records that were deleted before the given time, each batch in a transaction of its own.

    What belongs to a record (a key that cascades) goes with it and an optional reference to it is emptied, as its model
    says. A record that something else still refers to stays until that is gone. Returns the counts by entity.
    """
    counts: dict[str, int] = {}
    with company_context(company_id, actor=system_actor(company_id), source="task"):
        # A record is free only when those that point to it have gone: rounds, until one takes nothing.
        while True:
            taken = 0
            for entity in entities:
                if entity.is_soft_deleted:
                    count = _purge_entity(entity, company_id, deleted_before, batch)
                    counts[entity.name] = counts.get(entity.name, 0) + count
                    taken += count
            if not taken:
                return {name: count for name, count in counts.items() if count}


def _purge_entity(entity: Entity, company_id: UUID, before: datetime, batch: int) -> int:
    taken, after = 0, UUID(int=0)
    while True:
        with unit_of_work():
            ids = _free_ids(entity, company_id, before, after, batch)
            if ids:
                taken += _take_away(entity, company_id, ids)
                after = ids[-1]
                fault("purge.before_commit")
        if len(ids) < batch:
            return taken


def _free_ids(entity: Entity, company_id: UUID, before: datetime, after: UUID, batch: int) -> list[UUID]:
    held = "".join(
        f' AND NOT EXISTS (SELECT FROM "{key.model._meta.db_table}" x WHERE x.company_id = t.company_id '
        f'AND x."{key.column}" = t.id)'
        for key in _keys_to(entity.model)
        if _rule_of(key) not in (models.CASCADE, models.SET_NULL)
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f'SELECT t.id FROM "{entity.table}" t WHERE t.company_id = %s AND t.deleted_at < %s AND t.id > %s'
            f"{held} ORDER BY t.id LIMIT %s FOR UPDATE SKIP LOCKED",
            [company_id, before, after, batch],
        )
        return [record_id for (record_id,) in cursor.fetchall()]


def _take_away(entity: Entity, company_id: UUID, ids: list[UUID]) -> int:
    """Those of the batch that go; when something deeper down holds one of them, each alone."""
    try:
        with savepoint():
            _delete(entity.model, company_id, ids)
            connection.check_constraints()
    except IntegrityError:
        if len(ids) == 1:
            _log.warning("record still referred to", entity=entity.name, record_id=str(ids[0]))
            return 0
        return sum(_take_away(entity, company_id, [record_id]) for record_id in ids)
    return len(ids)


def _delete(model: type[models.Model], company_id: UUID, ids: list[UUID]) -> None:
    """The rows, what cascades from them, and references to them that may be empty."""
    with connection.cursor() as cursor:
        for key in _keys_to(model):
            table, where = key.model._meta.db_table, f'company_id = %s AND "{key.column}" = ANY(%s)'
            if _rule_of(key) is models.SET_NULL:
                cursor.execute(f'UPDATE "{table}" SET "{key.column}" = NULL WHERE {where}', [company_id, ids])
            elif _rule_of(key) is models.CASCADE:
                cursor.execute(f'SELECT id FROM "{table}" WHERE {where}', [company_id, ids])
                below = [row_id for (row_id,) in cursor.fetchall() if row_id not in ids]
                if below:
                    _delete(key.model, company_id, below)
        cursor.execute(
            f'DELETE FROM "{model._meta.db_table}" WHERE company_id = %s AND id = ANY(%s)',
            [company_id, ids],
        )


def _keys_to(model: type[models.Model]) -> list[TenantForeignKey]:
    return [
        key
        for other in company_models()
        for key in other._meta.concrete_fields
        if isinstance(key, TenantForeignKey) and key.related_model is model
    ]


def _rule_of(key: TenantForeignKey) -> object:
    return key.remote_field.on_delete

"""A list that nothing narrows, compiled once.

It is the list that is requested most, and Django takes longer to compile its query than PostgreSQL takes to run it. The query
depends on nothing but the arguments of the functions that are cached here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from core.access import EntityView
from core.access.output import Compiled, rows_of
from core.entities import entities
from core.entities.computed import with_computed
from core.entities.kinds import Kind
from core.rest.keyset import Ordering, behind, order, typed
from core.tenancy.actors import system_actor

# Field, descending.
_Ordering = tuple[tuple[str, bool], ...]
# Entity, company, the locks that hold, order.
PlainKey = tuple[str, UUID, frozenset[str], _Ordering]


def counting(queryset: QuerySet[Any]) -> tuple[str, tuple[Any, ...]]:
    """The ids of a queryset as SQL, to be counted."""
    sql, params = queryset.order_by().values("pk").query.sql_with_params()
    return sql, params


def _plain_queryset(entity: str, company_id: UUID, ordering: _Ordering) -> QuerySet[Any]:
    everything = EntityView(entities[entity], system_actor(company_id))
    asked = [(everything.field(name), descending) for name, descending in ordering]
    records = with_computed(everything.records(), (field for field, _ in asked))
    return records.order_by(*(order(field, descending) for field, descending in asked))


@lru_cache(maxsize=4096)
def plain_rows(
    entity: str, company_id: UUID, locks: frozenset[str], ordering: _Ordering, start: int, stop: int
) -> Compiled | None:
    return rows_of(_plain_queryset(entity, company_id, ordering)[start:stop])


# Values that stand for a cursor's in a compiled query; no record has them.
_STAND_INS: Mapping[type, Callable[[int], Any]] = {
    datetime: lambda place: datetime(1, 1, 1 + place, tzinfo=UTC),
    UUID: lambda place: UUID(int=1 + place),
}


def plain_rows_behind(
    key: PlainKey, ordering: Ordering, texts: tuple[str | None, ...], backwards: bool, limit: int
) -> Compiled | None:
    """The rows behind a cursor in a plain list; none where it is ordered by other values than times and ids."""
    values = [typed(field, text) for (field, _), text in zip(ordering, texts, strict=True)]
    if any(type(value) not in _STAND_INS for value in values):
        return None
    sql, params = _plain_template(*key, backwards, limit)
    given = {_STAND_INS[type(value)](place): value for place, value in enumerate(values)}
    return sql, tuple(given.get(param, param) for param in params)


@lru_cache(maxsize=4096)
def _plain_template(
    entity: str,
    company_id: UUID,
    locks: frozenset[str],
    ordering: _Ordering,
    backwards: bool,
    limit: int,
) -> Compiled:
    everything = EntityView(entities[entity], system_actor(company_id))
    fields = [everything.field(name) for name, _ in ordering]
    kinds = {Kind.DATETIME: datetime}
    stand_ins = tuple(_STAND_INS[kinds.get(field.kind, UUID)](place) for place, field in enumerate(fields))
    asked = tuple((field, descending) for field, (_, descending) in zip(fields, ordering, strict=True))
    turned = tuple((name, descending != backwards) for name, descending in ordering)
    found = _plain_queryset(entity, company_id, turned).filter(behind(asked, stand_ins, backwards))
    compiled = rows_of(found[:limit])
    assert compiled is not None  # noqa: S101 - there is always something behind a time or an id
    return compiled


@lru_cache(maxsize=1024)
def plain_counting(
    entity: str, company_id: UUID, locks: frozenset[str], ordering: _Ordering
) -> tuple[str, tuple[Any, ...]]:
    return counting(_plain_queryset(entity, company_id, ordering))

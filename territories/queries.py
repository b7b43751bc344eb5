"""Reads of territories that are no plain list."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

from django.db.models import Q

from core.entities import Entity, entities


@lru_cache(maxsize=1)
def scoped_entities() -> tuple[Entity, ...]:
    """The kinds of records that belong to territories, in the order of their registration."""
    return tuple(
        entity for entity in entities if any(fact.name == "territory_pinned" for fact in entity.facts)
    )


def in_effect(day: date, prefix: str = "") -> Q:
    """The condition that the dates of a territory or membership (behind `prefix`) hold the day."""
    begins = Q(**{f"{prefix}effective_from__isnull": True}) | Q(**{f"{prefix}effective_from__lte": day})
    ends = Q(**{f"{prefix}effective_to__isnull": True}) | Q(**{f"{prefix}effective_to__gte": day})
    return begins & ends

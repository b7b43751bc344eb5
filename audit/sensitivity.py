"""Which entries are sensitive: what was recorded so, and every change of personal data."""

from __future__ import annotations

from functools import lru_cache

from django.db.models import Q

from audit.models import AuditLog
from core.entities import entities


@lru_cache(maxsize=256)
def personal_fields(entity_type: str) -> frozenset[str]:
    """The fields of a kind of record that hold personal data."""
    entity = entities.find(entity_type)
    return frozenset(
        name for name, field in (entity.fields if entity else {}).items() if field.pii and field.column
    )


def is_sensitive(entry: AuditLog) -> bool:
    return entry.is_sensitive or not personal_fields(entry.entity_type).isdisjoint(entry.changed_fields or ())


def sensitive() -> Q:
    """`is_sensitive` as a condition."""
    found = Q(is_sensitive=True)
    for entity in entities:
        if personal := sorted(personal_fields(entity.name)):
            found |= Q(entity_type=entity.name, changed_fields__overlap=personal)
    return found

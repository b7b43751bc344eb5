"""Entries of the log as consumers see them, and the names of what happened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from core.entities.registry import entities

# The actions of the log that are changes of a record, as their events are called.
_PAST = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "restore": "restored",
    "purge": "purged",
    "merge": "merged",
}


@dataclass(frozen=True)
class Change:
    """One entry of the log. `old` and `new` hold what changed; both are empty for a `create`: read the record itself."""

    log_id: int
    at: datetime
    company_id: UUID
    action: str
    entity_type: str
    entity_id: UUID | None
    changed: frozenset[str]
    old: dict[str, Any]
    new: dict[str, Any]
    actor_id: UUID | None
    source: str
    # The log id of the change that caused this one, and how many such steps lie behind it (0: a person's own doing).
    cause: int | None
    depth: int
    correlation_id: str

    @cached_property
    def events(self) -> tuple[str, ...]:
        return events_of(self)


def events_of(change: Change) -> tuple[str, ...]:
    """The names under which a change is known: `lead.updated`, and what its entity declares besides."""
    entity = entities.find(change.entity_type)
    names = [f"{change.entity_type}.{_PAST.get(change.action, change.action)}"]
    if entity is not None and change.action == "update":
        names += [
            event_name(entity.name, event)
            for event, happened in entity.events.items()
            if happened(change.changed, change.old, change.new)
        ]
    return tuple(names)


def event_name(entity_type: str, event: str) -> str:
    return event if "." in event else f"{entity_type}.{event}"


def event_names() -> list[str]:
    """Every event the registered entities can cause."""
    return [
        event_name(entity.name, event)
        for entity in entities
        for event in ("created", "updated", "deleted", "restored", *entity.events)
    ]

"""The events that may start a workflow, and the words that conditions may ask of one as `event.…`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from core.access.view import EntityView
from core.changes.events import Change, event_names
from core.conditions import FieldSource, UnknownField
from core.entities import Entity, Field, argument, entities
from core.entities.kinds import Kind

RUN_FAILED = "workflow.run_failed"


@dataclass(frozen=True)
class EventType:
    """An event: its name, and the kind of records it is about."""

    name: str
    entity: str
    label: str


@lru_cache(maxsize=1)
def event_types() -> Mapping[str, EventType]:
    """Every event that can start a workflow, by name."""
    found = {}
    for name in [*event_names(), RUN_FAILED]:
        kind, _, verb = name.partition(".")
        entity = entities.find(kind)
        noun = entity.label if entity is not None else kind.replace("_", " ").capitalize()
        found[name] = EventType(name, kind, f"{noun}: {verb.replace('_', ' ')}")
    return found


@lru_cache(maxsize=1)
def _aliases() -> Mapping[str, str]:
    return {name.replace(".", "_"): name for name in event_types()}


def find_event_type(name: str) -> EventType | None:
    """The event by its name, or by the name with an underscore in place of the dot (`deal_won`)."""
    return event_types().get(name) or event_types().get(_aliases().get(name, ""))


def _asked(name: str, kind: Kind, description: str) -> Field:
    return replace(argument(name, kind, nullable=True, description=description), filterable=True)


EVENT_FIELDS: Mapping[str, Field] = {
    field.name: field
    for field in (
        _asked("type", Kind.TEXT, "The event's name."),
        _asked("source", Kind.TEXT, "Where it came from: api, import, workflow, …"),
        _asked("at", Kind.DATETIME, "When it happened."),
        _asked("actor", Kind.PERSON, "Who did it."),
        _asked("depth", Kind.INTEGER, "How many changes in a row caused each other before it."),
    )
}
_EVENT = replace(argument("event", Kind.RELATION, to="", nullable=True), filterable=True)


class EventSource:
    """The words of `event.…`, as a source of conditions."""

    entity: Entity

    def __init__(self, entity: Entity) -> None:
        self.entity = entity

    @property
    def askable(self) -> Mapping[str, Field]:
        return EVENT_FIELDS

    def field(self, name: str) -> Field:
        """Raises: UnknownField."""
        if name not in EVENT_FIELDS:
            raise UnknownField(name)
        return EVENT_FIELDS[name]

    def related(self, name: str) -> FieldSource:
        """Raises: UnknownField."""
        raise UnknownField(name)

    def records(self) -> Any:
        raise NotImplementedError("an event is no record")


class ChangedRecords:
    """An entity's view, to which `event` is added: what conditions on events are compiled against."""

    def __init__(self, view: EntityView) -> None:
        self.view = view
        self.entity = view.entity

    @property
    def askable(self) -> Mapping[str, Field]:
        return {**self.view.askable, "event": _EVENT}

    def field(self, name: str) -> Field:
        """Raises: UnknownField, MaskedField."""
        return _EVENT if name == "event" else self.view.field(name)

    def related(self, name: str) -> FieldSource:
        """Raises: UnknownField, MaskedField."""
        return EventSource(self.entity) if name == "event" else self.view.related(name)

    def records(self) -> Any:
        return self.view.records()


def event_document(change: Change, event_type: str) -> dict[str, Any]:
    """What happened, as conditions and templates see it and as a run keeps it."""
    return {
        "type": event_type,
        "source": change.source,
        "at": change.at.isoformat(),
        "actor": None if change.actor_id is None else str(change.actor_id),
        "depth": change.depth,
        "action": change.action,
        "changed": sorted(change.changed),
        "old": change.old,
        "new": change.new,
    }

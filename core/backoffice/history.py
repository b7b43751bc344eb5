"""The change log as people read it: who, when, from where, and each field from what to what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from core.access import EntityView
from core.access.changes import visible_changes, visible_values
from core.backoffice.values import NOTHING, names_of, read_logged, show, show_relation
from core.changes.models import ChangeLog
from core.entities import Field, entities
from core.entities.kinds import BadValue

ENTRIES_SHOWN = 100
ACTIONS = {
    "create": "created",
    "update": "changed",
    "delete": "deleted",
    "restore": "restored",
    "purge": "erased",
}
# Where a change came from, as people call it.
SOURCES = {
    "admin": "back office",
    "api": "API",
    "task": "background work",
    "command": "command line",
    "sql": "database",
}


@dataclass(frozen=True)
class FieldChange:
    label: str
    old: str
    new: str


@dataclass(frozen=True)
class Entry:
    """One change of one record, or a fact about it."""

    at: datetime
    who: str
    source: str
    action: str
    changes: Sequence[FieldChange] = ()
    note: str = ""


def read_history(
    seen: EntityView, record_id: UUID, limit: int = ENTRIES_SHOWN, logged_as: str = ""
) -> list[Entry]:
    """The newest changes of one record first, only of fields the actor sees. The caller checked that they see it.

    `logged_as` is the log's name of the kind, where it is not the entity's.
    """
    log = (
        ChangeLog.objects.filter(entity_type=logged_as or seen.entity.name, entity_id=record_id)
        .select_related("context")
        .order_by("-id")[:limit]
    )
    return _entries(seen, list(log))


def _entries(seen: EntityView, log: Sequence[Any]) -> list[Entry]:
    people: set[UUID] = set()
    asked: dict[str, set[UUID]] = defaultdict(set)
    for item in log:
        if item.context is not None:
            people |= {item.context.actor_id, item.context.impersonator_id}
        for changed, value in _values(seen, item):
            if changed.is_relation:
                record_id = id_of(changed, value)
                if record_id is not None:
                    asked[changed.to].add(record_id)
    asked["user"] |= people - {None}
    names = {target: names_of(seen.actor, entities[target], ids) for target, ids in asked.items()}
    return [
        Entry(
            at=item.at,
            who=who(item.context, names["user"]),
            source=source_of(item.context),
            action=ACTIONS.get(item.action, item.action.replace("_", " ")),
            changes=_changes(seen, item, names),
            note=item.description or "",
        )
        for item in log
    ]


def source_of(context: Any) -> str:
    """Where a change came from, in words."""
    if context is None:
        return ""
    return SOURCES.get(context.source, context.source.replace("_", " "))


def who(context: Any, names: dict[UUID, str]) -> str:
    """The person behind a change as far as the log knows."""
    if context is None or context.actor_id is None:
        return "The system"
    name = names.get(context.actor_id, "Someone from outside this company")
    if context.impersonator_id is not None:
        name += f" (as whom {names.get(context.impersonator_id, 'staff')} acted)"
    return name


def _values(seen: EntityView, item: Any) -> Iterable[tuple[Field, Any]]:
    for values in (item.old_values, item.new_values):
        for name, value in visible_values(seen, values).items():
            yield seen.fields[name], value


def id_of(changed: Field, value: Any) -> UUID | None:
    """The record that a logged value of a relation names."""
    try:
        return changed.type.from_json(changed, value)
    except BadValue:
        return None


def _changes(seen: EntityView, item: Any, names: dict[str, dict[UUID, str]]) -> list[FieldChange]:
    if item.action != "update":
        return []
    changes = visible_changes(seen, item.changed_fields or (), item.old_values, item.new_values)
    return [
        FieldChange(
            seen.fields[name].label,
            shown_value(seen.fields[name], old, names),
            shown_value(seen.fields[name], new, names),
        )
        for name, (old, new) in changes.items()
    ]


def shown_value(changed: Field, value: Any, names: dict[str, dict[UUID, str]]) -> str:
    """A logged value as HTML; `names` are those of records, by kind."""
    if changed.is_relation:
        record_id = id_of(changed, value)
        if record_id is None:
            return NOTHING
        return show_relation(entities[changed.to], record_id, names[changed.to].get(record_id))
    return show(changed, read_logged(changed, value), brief=True)


def last_change_by_others(seen: EntityView, record_id: UUID) -> str:
    """A sentence on who changed the record last and what, for someone whose own change came too late."""
    entries = read_history(seen, record_id, limit=1)
    if not entries:
        return "The record has changed since you opened it."
    entry = entries[0]
    fields = ", ".join(change.label for change in entry.changes)
    what = f": {fields}" if fields else ""
    return (
        f"Changed meanwhile by {entry.who}{what}. Your entries are kept below, with the new values of the fields "
        "you did not touch; save again to apply them."
    )

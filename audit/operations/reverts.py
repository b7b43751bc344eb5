"""Reverting a change: its old values are written back as a new change, through the door that every write takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from audit.models import AuditLog
from audit.queries import get_entry
from core.access import EntityView, view
from core.access.writing import write_one
from core.entities import CUSTOM_FIELDS, entities
from core.entities.kinds import BadValue
from core.kernel.errors import NOT_EDITABLE, Conflict, Fault, refused_input
from core.tenancy import context
from core.tenancy.actors import Actor
from core.tenancy.context import actor_context

# What undoes an action that changed no values.
_OPPOSITE = {"create": "delete", "delete": "restore", "restore": "delete"}
MOST_CONFLICTS = 50


class LaterChanges(Conflict):
    """The same fields changed again since; `conflicts` lists the entries."""

    code = "later_changes"
    title = "Later changes stand in the way"


def revert_entry(
    *, actor: Actor, log_id: int | str, now: datetime, fields: Sequence[str] | None = None
) -> UUID:
    """Undo the change of an entry; the record's id. Needs a transaction; locks the record.

    An update gets its old values back: of the fields it changed, those given, or all that are not set by the system alone. A
    deleted record is restored, a created or restored one is deleted. The new change names the entry as its cause. What the
    actor may not do by hand is refused here too. Raises: Forbidden, NotFound, Invalid (`fields` that it did not change),
    Conflict (`not_revertible`, `nothing_to_revert`, or LaterChanges), and what the write refuses.
    """
    entry = get_entry(actor, log_id)
    entity = entities.find(entry.entity_type)
    known = entry.action == "update" or entry.action in _OPPOSITE
    if entity is None or entry.entity_id is None or not known:
        raise Conflict("This entry is no change of a record that could be undone.", code="not_revertible")
    if entry.action in ("delete", "restore") and not entity.is_soft_deleted:
        raise Conflict("The record is gone for good.", code="not_revertible")
    follower = replace(actor, cause=entry.pk, depth=actor.depth + 1)
    now_bound = context.current()
    with actor_context(follower, source=now_bound.source, origin=now_bound.origin):
        seen = view(entity, follower)
        verb = _OPPOSITE.get(entry.action, "update")
        if verb != "update":
            _refuse_conflicts(entry, _later(entry).filter(action__in=["delete", "restore", "purge"]))
            return write_one(seen, verb, entry.entity_id, now=now)
        seen.get(entry.entity_id, seen.records().select_for_update(of=("self",)), verb="update")
        values = _old_values(seen, entry, fields)
        _refuse_conflicts(entry, _later(entry, sorted(values)))
        return write_one(seen, "update", entry.entity_id, values, now=now)


def _later(entry: AuditLog, fields: Sequence[str] = ()) -> Any:
    found = AuditLog.objects.filter(
        entity_id=entry.entity_id, entity_type=entry.entity_type, pk__gt=entry.pk
    ).select_related("context")
    return found.filter(changed_fields__overlap=list(fields)) if fields else found


def _refuse_conflicts(entry: AuditLog, later: Any) -> None:
    found = list(later.order_by("pk")[:MOST_CONFLICTS])
    if not found:
        return
    raise LaterChanges(
        "The record changed again since; undo that first, or choose other fields.",
        conflicts=[
            {
                "id": item.pk,
                "at": item.at.isoformat(),
                "action": item.action,
                "user": str(item.context.actor_id) if item.context and item.context.actor_id else None,
                "fields": sorted(set(item.changed_fields or ()) & set(entry.changed_fields or ())),
            }
            for item in found
        ],
    )


def _old_values(seen: EntityView, entry: AuditLog, fields: Sequence[str] | None) -> dict[str, Any]:
    """The values to be written, by field. Raises: as `revert_entry` says."""
    before, exact = _flat(entry.old_values), _exact_values(entry)
    after = _flat(entry.new_values)
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    faults: list[Fault] = []
    for name in fields or ():
        if name not in changed or name not in seen.fields:
            faults.append(Fault("fields", "not_changed", f"This entry did not change {name!r}."))
    if faults:
        raise refused_input(faults=faults)
    values: dict[str, Any] = {}
    for name in changed if fields is None else fields:
        field = seen.fields.get(name)
        if field is None or (field.read_only and fields is None):
            continue
        if name not in seen.editable:
            faults.append(Fault("fields", NOT_EDITABLE, "Your role may not change what this entry changed."))
            continue
        old = exact.get(name) if isinstance(before.get(name), float) else before.get(name)
        try:
            values[name] = None if old is None else field.type.from_json(field, old)
        except BadValue as bad:
            faults.append(Fault(name, bad.code, bad.detail))
    if faults:
        raise refused_input(faults=faults)
    if not values:
        raise Conflict("The system alone sets what this entry changed.", code="nothing_to_revert")
    custom = {name: values.pop(name) for name in list(values) if name.startswith(f"{CUSTOM_FIELDS}.")}
    if custom:
        values[CUSTOM_FIELDS] = {
            name.removeprefix(f"{CUSTOM_FIELDS}."): value for name, value in custom.items()
        }
    return values


def _exact_values(entry: AuditLog) -> dict[str, Any]:
    """The old values with all digits: what is no whole number is a text."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT old_values::text FROM core_changelog WHERE id = %s", [entry.pk])
        [(text,)] = cursor.fetchall()
    return _flat(json.loads(text, parse_float=str)) if text else {}


def _flat(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Values by field, the company's own each by itself."""
    found: dict[str, Any] = {}
    for name, value in (values or {}).items():
        if name == CUSTOM_FIELDS:
            found |= {f"{CUSTOM_FIELDS}.{key}": inner for key, inner in (value or {}).items()}
        else:
            found[name] = value
    return found

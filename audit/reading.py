"""Entries of the log as one actor may read them: names of records and people, values by their field modes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from audit.states import by_field
from core.access import EntityView, view
from core.access.changes import visible_changes, visible_values
from core.changes.ddl import ROW_ACTIONS
from core.entities import entities
from core.identity.rights import EVERYTHING
from core.tenancy.actors import Actor

Key = tuple[str, UUID]


class LogReader:
    """What an actor with the right to see the log sees of its entries.

    Every entry is theirs to see. Of records' values, they see those of kinds their role may read, by its field modes; kinds
    that are no entities show theirs to whoever may do everything. Facts that are no row's change are shown as recorded.
    """

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self._views: dict[str, EntityView | None] = {}

    def view_of(self, entity_type: str) -> EntityView | None:
        """The kind as the actor sees it; None when there is no such entity or they may not read it."""
        if entity_type not in self._views:
            entity = entities.find(entity_type)
            seen = None if entity is None else view(entity, self.actor)
            self._views[entity_type] = seen if seen is not None and seen.can("read") else None
        return self._views[entity_type]

    def sees_all_of(self, entity_type: str) -> bool:
        """Whether this is a kind that is no entity and the actor may see whatever the log holds of it."""
        return entities.find(entity_type) is None and self.actor.rights.can(EVERYTHING)

    def values(
        self, entity_type: str, values: Mapping[str, Any] | None, *, action: str = "update"
    ) -> dict[str, Any]:
        """Old or new values, by field."""
        if action not in ROW_ACTIONS:
            return dict(values or {})
        named = by_field(entity_type, values)
        seen = self.view_of(entity_type)
        if seen is not None:
            return visible_values(seen, named)
        return named if self.sees_all_of(entity_type) else {}

    def field_names(self, entity_type: str, names: Iterable[str] | None) -> list[str]:
        """Those of the fields that the actor knows of."""
        seen = self.view_of(entity_type)
        if seen is not None:
            return [name for name in names or () if name in seen.fields or name == "custom_fields"]
        return list(names or ()) if self.sees_all_of(entity_type) else []

    def changes(
        self, entity_type: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
    ) -> dict[str, tuple[Any, Any]]:
        """The visible fields that differ between two states, with both values; nothing to see is null."""
        old, new = before or {}, after or {}
        differing = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        seen = self.view_of(entity_type)
        if seen is not None:
            return visible_changes(seen, differing, old, new)
        if self.sees_all_of(entity_type):
            return {name: (old.get(name), new.get(name)) for name in differing}
        return {}

    def label(self, entity_type: str, name: str) -> str:
        seen = self.view_of(entity_type)
        if seen is not None and name in seen.fields:
            return seen.fields[name].label
        return name.replace("_", " ").capitalize()

    def names(self, keys: Iterable[Key]) -> dict[Key, str]:
        """What the records are called today, as far as they are still there. One statement for all kinds together."""
        grouped: dict[str, set[UUID]] = defaultdict(set)
        for kind, record_id in keys:
            grouped[kind].add(record_id)
        parts: list[str] = []
        params: list[Any] = []
        for kind, ids in grouped.items():
            seen = self.view_of(kind)
            if seen is None:
                continue
            titles = [
                name
                for name in seen.entity.title
                if name in seen.fields and not seen.fields[name].is_relation
            ]
            if not titles:
                continue
            shown = ", ".join(f"nullif(({sql})::text, '')" for sql in seen.access.select_sql("t", titles))
            parts.append(
                f"SELECT %s, t.id, concat_ws(' · ', {shown}) FROM \"{seen.entity.table}\" t "
                "WHERE t.company_id = %s AND t.id = ANY(%s)"
            )
            params += [kind, self.actor.company_id, list(ids)]
        if not parts:
            return {}
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(parts), params)
            return {(kind, record_id): name for kind, record_id, name in cursor.fetchall()}

    def hidden_kinds(self, field: str) -> Sequence[str]:
        """Kinds that have the field, hidden from the actor: that it changed is not told either."""
        return [
            entity.name
            for entity in entities
            if (seen := self.view_of(entity.name)) is None
            or (field in seen.modes and field not in seen.fields)
        ]

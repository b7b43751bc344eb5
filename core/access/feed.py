"""What happened to records, in the order of commit, as one actor may know it: for programs that keep a copy."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from core.access.output import Document
from core.access.view import EntityView, view
from core.access.visibility import sees_everything, visible
from core.entities import CUSTOM_FIELDS, Entity, entities
from core.tenancy.actors import Actor

# The actions of the log, and what they are to whoever keeps a copy.
KINDS = {
    "create": "created",
    "update": "updated",
    "merge": "updated",
    "delete": "deleted",
    "purge": "deleted",
    "restore": "restored",
}


@dataclass(frozen=True, order=True)
class Place:
    """Everything up to this transaction and entry of the log has been told."""

    xid: int = 0
    log_id: int = 0


@dataclass(frozen=True)
class FeedEntry:
    """One change. `version` and `document` are the record's present ones; None once it is deleted or out of sight."""

    place: Place
    at: datetime
    entity: str
    id: UUID
    kind: str
    changed_fields: tuple[str, ...]
    version: int | None
    document: Document | None


@dataclass(frozen=True)
class Feed:
    """Entries, where to go on, and whether there was more when they were read."""

    entries: list[FeedEntry]
    place: Place
    has_more: bool


_READ = """
SELECT xid, id, at, action, entity_type, entity_id, changed_fields, CASE WHEN action IN ('purge', 'delete') THEN old_values END
FROM core_changelog
WHERE company_id = %(company)s AND (xid, id) > (%(xid)s, %(log_id)s) AND xid < %(horizon)s
  AND entity_type = ANY(%(types)s) AND action = ANY(%(actions)s) AND entity_id IS NOT NULL
ORDER BY xid, id LIMIT %(limit)s"""


def present() -> Place:
    """The place behind everything that has been committed: what is still running comes after it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        return Place(int(cursor.fetchone()[0]) - 1, 2**63 - 1)


def kinds_in_feed(actor: Actor) -> list[Entity]:
    """The kinds of records whose changes the actor may follow: logged ones that they may read."""
    return [
        entity
        for entity in entities
        if getattr(entity.model, "logged", False) and view(entity, actor).can("read")
    ]


def read_feed(
    actor: Actor, kinds: Sequence[Entity], after: Place, limit: int, *, with_documents: bool = False
) -> Feed:
    """The changes of up to `limit` entries of the log behind `after`.

    Only transactions older than every one still running are read, so nothing that commits late is passed over. A change of
    nothing but fields that the actor does not see is left out, and so is what is out of their sight; there may be fewer
    entries than `limit` although there is more. Three statements, and up to three for each kind of record among them.
    """
    horizon = present()
    with connection.cursor() as cursor:
        cursor.execute(
            _READ,
            {
                "company": actor.company_id,
                "xid": after.xid,
                "log_id": after.log_id,
                "horizon": horizon.xid + 1,
                "types": [entity.name for entity in kinds],
                "actions": list(KINDS),
                "limit": limit,
            },
        )
        rows = cursor.fetchall()
    by_kind: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_kind[row[4]].append(row)
    found: dict[tuple[str, UUID], _Seen] = {}
    for name, of_kind in by_kind.items():
        seen = _seen(view(name, actor), of_kind, with_documents)
        found |= {(name, record_id): item for record_id, item in seen.items()}
    views = {name: view(name, actor) for name in by_kind}
    entries = []
    for xid, log_id, at, action, name, record_id, changed, _ in rows:
        item = found.get((name, record_id))
        if item is None:
            continue
        fields = _visible_names(views[name], changed)
        if KINDS[action] == "updated" and not fields:
            continue
        kind, place = KINDS[action], Place(xid, log_id)
        entries.append(FeedEntry(place, at, name, record_id, kind, fields, item.version, item.document))
    has_more = len(rows) == limit
    place = Place(rows[-1][0], rows[-1][1]) if has_more else max(after, horizon)
    return Feed(entries, place, has_more)


@dataclass(frozen=True)
class _Seen:
    version: int | None = None
    document: Document | None = None


def _seen(seen: EntityView, rows: Sequence[Any], with_documents: bool) -> dict[UUID, _Seen]:
    """Of the records of these entries, those in the actor's sight."""
    entity, ids = seen.entity, {row[5] for row in rows}
    alive = dict(seen.records().filter(pk__in=ids).values_list("pk", "version"))
    found = {pk: _Seen(version) for pk, version in alive.items()}
    if with_documents and alive:
        chosen = entity.model._default_manager.filter(pk__in=list(alive))
        for document in seen.output().documents(chosen, ("id",)):
            pk = UUID(document[1])
            found[pk] = _Seen(alive[pk], document[0])
    rest = ids - alive.keys()
    if rest and entity.is_soft_deleted:
        found |= {pk: _Seen() for pk in seen.bin().filter(pk__in=rest).values_list("pk", flat=True)}
        rest -= found.keys()
    if rest:
        gone = {
            row[5]: json.loads(row[7] or "{}")
            for row in rows
            if row[3] in ("purge", "delete") and row[5] in rest
        }
        # What is there and not found is out of sight.
        stand = entity.model._default_manager.filter(pk__in=list(gone)).values_list("pk", flat=True)
        gone = {pk: old for pk, old in gone.items() if pk not in set(stand)}
        found |= {pk: _Seen() for pk in _seen_before(seen, gone)}
    return found


def _seen_before(seen: EntityView, gone: Mapping[UUID, Mapping[str, Any]]) -> set[UUID]:
    """Of records that are gone for good, by what they were: those the actor saw by themselves or through a parent."""
    entity, actor = seen.entity, seen.actor
    if sees_everything(entity, actor):
        return set(gone)
    owner = entity.owner
    found = {
        pk for pk, old in gone.items() if owner is not None and old.get(owner.column) == str(actor.user_id)
    }
    for name in entity.visible_through:
        relation = seen.fields.get(name)
        if relation is None:
            continue
        parent, column = entities[relation.to], relation.column
        ids = {old[column] for old in gone.values() if old.get(column)}
        records = parent.model._default_manager.filter(visible(parent, actor), pk__in=ids)
        seen_parents = {str(pk) for pk in records.values_list("pk", flat=True)}
        found |= {pk for pk, old in gone.items() if str(old.get(column)) in seen_parents}
    return found


def _visible_names(seen: EntityView, changed: Sequence[str] | None) -> tuple[str, ...]:
    shows_custom = any(field.custom_key for field in seen.fields.values())
    return tuple(
        sorted(
            name for name in changed or () if name in seen.fields or (name == CUSTOM_FIELDS and shows_custom)
        )
    )
